//! Which settings a request may change.
//!
//! A list of what is allowed, since the engine has well over a thousand settings, new ones with each version, and among
//! them file names (`format_template_row`, `output_format_schema`), expressions in a string
//! (`additional_result_filter`: it calls functions that no look at the query would see) and other dialects. Families
//! of harmless ones go by prefix, and then only with a value that can be neither a path nor an expression.

/// Families: numbers, switches and small enumerations only.
const FAMILIES: [&str; 18] = [
    "max_",
    "min_",
    "input_format_",
    "output_format_",
    "insert_",
    "async_insert",
    "join_",
    "group_by_",
    "distinct_",
    "optimize_",
    "date_time_",
    "aggregate_functions_",
    "cast_",
    "low_cardinality_",
    "describe_",
    "query_plan_",
    "use_",
    "deduplicate_",
];

/// Single settings besides.
const SINGLES: [&str; 33] = [
    "alter_sync",
    "allow_replace_partition_from_empty_source",
    "count_distinct_implementation",
    "data_type_default_nullable",
    "default_table_engine",
    "enable_analyzer",
    "enable_named_columns_in_function_tuple",
    "enable_optimize_predicate_expression",
    "extremes",
    "empty_result_for_aggregation_by_empty_set",
    "final",
    "force_primary_key",
    "format_csv_allow_single_quotes",
    "format_csv_delimiter",
    "fsync_metadata",
    "insert_deduplicate",
    "insert_deduplication_token",
    "interval_output_format",
    "lightweight_deletes_sync",
    "log_queries",
    "materialized_views_ignore_errors",
    "mutations_sync",
    "parallel_view_processing",
    "prefer_column_name_to_alias",
    "priority",
    "read_overflow_mode",
    "result_overflow_mode",
    "select_sequential_consistency",
    "session_timezone",
    "throw_on_max_partitions_per_insert_block",
    "timeout_overflow_mode",
    "totals_mode",
    "transform_null_in",
];

/// In a family, and yet not harmless.
const NOT_THESE: [&str; 8] = [
    // Files.
    "output_format_schema",
    "input_format_record_errors_file_path",
    // They make code of data.
    "input_format_values_interpret_expressions",
    "input_format_values_deduce_templates_of_expressions",
    // Ours: they are the limits.
    "max_memory_usage_for_user",
    "max_concurrent_queries_for_user",
    "max_concurrent_queries_for_all_users",
    // Parser limits guard the parser.
    "max_parser_depth",
];

/// What the read-only user may set: how results look, nothing about how they are made.
const READER_FAMILIES: [&str; 2] = ["output_format_", "describe_"];
const READER_SINGLES: [&str; 5] = [
    "date_time_output_format",
    "extremes",
    "join_use_nulls",
    "session_timezone",
    "interval_output_format",
];

/// Settings of a table, in CREATE and ALTER.
const TABLE_SETTINGS: [&str; 31] = [
    "allow_nullable_key",
    "assign_part_uuids",
    "deduplicate_merge_projection_mode",
    "enable_mixed_granularity_parts",
    "enforce_index_structure_match_on_partition_manipulation",
    "fsync_after_insert",
    "fsync_part_directory",
    "index_granularity",
    "index_granularity_bytes",
    "max_bytes_to_merge_at_max_space_in_pool",
    "max_parts_in_total",
    "max_rows",
    "max_suspicious_broken_parts",
    "merge_max_block_size",
    "merge_with_ttl_timeout",
    "min_bytes_for_full_part_storage",
    "min_bytes_for_wide_part",
    "min_bytes_to_rebalance_partition_over_jbod",
    "min_merge_bytes_to_use_direct_io",
    "min_rows",
    "min_rows_for_wide_part",
    "non_replicated_deduplication_window",
    "non_replicated_deduplication_window_seconds",
    "number_of_free_entries_in_pool_to_execute_mutation",
    "old_parts_lifetime",
    "parts_to_delay_insert",
    "parts_to_throw_insert",
    "replicated_deduplication_window",
    "replicated_deduplication_window_seconds",
    "ttl_only_drop_parts",
    "write_final_mark",
];

/// Longest value of a setting, in bytes. A deduplication token is the longest in use.
pub(crate) const MAX_VALUE_BYTES: usize = 512;

/// Whether `name` may be set to `value` for a query; `value` is `None` where it was not read (then only the name counts).
pub(crate) fn query_setting(name: &str, value: Option<&str>, reader: bool) -> bool {
    let (families, singles): (&[&str], &[&str]) = if reader {
        (&READER_FAMILIES, &READER_SINGLES)
    } else {
        (&FAMILIES, &SINGLES)
    };
    if NOT_THESE.contains(&name) || value.is_some_and(|v| v.len() > MAX_VALUE_BYTES) {
        return false;
    }
    singles.contains(&name)
        || (families.iter().any(|f| name.starts_with(f)) && value.is_none_or(plain))
}

/// Whether a table may be made with this setting.
pub(crate) fn table_setting(name: &str) -> bool {
    TABLE_SETTINGS.contains(&name)
}

/// A number, a switch or a name: no path, no expression.
fn plain(value: &str) -> bool {
    value
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'+' | b'.' | b','))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ingest_and_stats_need_is_allowed() {
        for (name, value) in [
            ("async_insert", "0"),
            ("insert_deduplication_token", "v1:0123/45-'any"),
            ("max_insert_block_size", "100000000"),
            ("min_insert_block_size_bytes", "0"),
            ("max_insert_threads", "1"),
            ("max_memory_usage", "1000"),
            ("describe_include_subcolumns", "0"),
            ("session_timezone", "Europe/Berlin"),
            ("optimize_on_insert", "0"),
            ("throw_on_max_partitions_per_insert_block", "1"),
            ("fsync_metadata", "1"),
        ] {
            assert!(query_setting(name, Some(value), false), "{name}");
        }
    }

    #[test]
    fn files_expressions_and_dialects_are_not() {
        for name in [
            "format_schema",
            "format_template_row",
            "format_template_resultset",
            "output_format_schema",
            "additional_result_filter",
            "additional_table_filters",
            "implicit_table_at_top_level",
            "dialect",
            "log_comment",
            "readonly",
            "profile",
            "allow_introspection_functions",
            "allow_experimental_eval_table_function",
            "input_format_record_errors_file_path",
            "compatibility",
            "",
        ] {
            assert!(!query_setting(name, Some("1"), false), "{name}");
        }
        assert!(!query_setting("max_threads", Some("/etc/passwd"), false));
        assert!(!query_setting("output_format_x", Some("f('x')"), false));
    }

    #[test]
    fn a_reader_cannot_touch_a_limit() {
        for name in [
            "max_memory_usage",
            "max_execution_time",
            "max_threads",
            "async_insert",
        ] {
            assert!(!query_setting(name, Some("1"), true), "{name}");
        }
        assert!(query_setting(
            "output_format_json_quote_64bit_integers",
            Some("0"),
            true
        ));
    }
}
