//! What the engine reads at its start: a server configuration and the rights of its one user.
//!
//! Written anew at each start, so that a change of ours or of a setting takes effect and an edit by hand does not last.
//! The rights are the second wall behind `sql`: they hold whatever the text of a query looks like, save for what the
//! engine does without asking them (the scalar function `file`, `INTO OUTFILE`, `\i`: seen), which only `sql` stops.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;

/// Folder of these files in the data folder; beside the storage, so that nothing of the engine's own is mixed in.
const FOLDER: &str = "clickhouse.config";

/// Settings of every MergeTree table, unless the table says otherwise: an insert is on disk when it is answered.
/// Seen to hold for tables created without SETTINGS.
pub const MERGE_TREE_SETTINGS: [(&str, &str); 2] =
    [("fsync_after_insert", "1"), ("fsync_part_directory", "1")];

/// Rights of the engine's user. No `FILE`, `URL`, `S3`, `REMOTE` and other sources, no functions, users, named
/// collections, dictionaries, `SYSTEM`, `BACKUP`, nothing on clusters; table engines that reach outside need a right
/// of their own, which is not here.
const GRANT: &str = "GRANT SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP, TRUNCATE, OPTIMIZE, SHOW, CHECK, KILL QUERY ON *.*";

/// Writes the files and gives the path of the configuration.
pub(super) fn write(config: &Config) -> io::Result<PathBuf> {
    let folder = std::path::absolute(&config.data_dir)?.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let users = folder.join("users.xml");
    let server = folder.join("config.xml");
    fs::write(&users, users_xml(config))?;
    fs::write(&server, server_xml(config, &users))?;
    Ok(server)
}

fn server_xml(config: &Config, users: &Path) -> String {
    let merge_tree: String = MERGE_TREE_SETTINGS
        .iter()
        .map(|(name, value)| format!("<{name}>{value}</{name}>"))
        .collect();
    // Caches live inside the total; an eighth each leaves the most to queries and merges.
    let cache = config.memory_total / 8;
    format!(
        "<clickhouse>\n\
         <max_server_memory_usage>{}</max_server_memory_usage>\n\
         <mark_cache_size>{cache}</mark_cache_size>\n\
         <primary_index_cache_size>{cache}</primary_index_cache_size>\n\
         <merge_tree>{merge_tree}</merge_tree>\n\
         <users_config>{}</users_config>\n\
         </clickhouse>\n",
        config.memory_total,
        escaped(&users.to_string_lossy()),
    )
}

fn users_xml(config: &Config) -> String {
    let memory = config.memory_per_query;
    // `min` 1, because 0 means without limit. What changed its default between versions is set outright. Data behind
    // VALUES is literals: as expressions it would be code that no wall sees (`VALUES (file('…'))`, seen).
    format!(
        "<clickhouse>\n\
         <profiles><default>\n\
         <max_memory_usage>{memory}</max_memory_usage>\n\
         <async_insert>0</async_insert>\n\
         <allow_introspection_functions>0</allow_introspection_functions>\n\
         <implicit_select>0</implicit_select>\n\
         <input_format_values_interpret_expressions>0</input_format_values_interpret_expressions>\n\
         <input_format_values_deduce_templates_of_expressions>0</input_format_values_deduce_templates_of_expressions>\n\
         <constraints>\n\
         <max_memory_usage><min>1</min><max>{memory}</max></max_memory_usage>\n\
         <allow_introspection_functions><readonly/></allow_introspection_functions>\n\
         <dialect><readonly/></dialect>\n\
         <input_format_values_interpret_expressions><readonly/></input_format_values_interpret_expressions>\n\
         <input_format_values_deduce_templates_of_expressions><readonly/></input_format_values_deduce_templates_of_expressions>\n\
         </constraints>\n\
         </default></profiles>\n\
         <users><default><password></password><networks><ip>::/0</ip></networks>\
         <profile>default</profile><quota>default</quota><grants><query>{GRANT}</query></grants></default></users>\n\
         <quotas><default></default></quotas>\n\
         </clickhouse>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_markup_stays_text() {
        let config = Config::new("/d", "/l");
        let xml = server_xml(&config, Path::new("/a<b>&c/users.xml"));
        assert!(
            xml.contains("<users_config>/a&lt;b&gt;&amp;c/users.xml</users_config>"),
            "{xml}"
        );
    }
}
