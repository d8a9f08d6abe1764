-- Clicks, their roll-ups and the books. Columns are explained in README.md beside this file.
--
-- Settings every table shares, spelled out because defaults changed between versions:
--   fsync_after_insert, fsync_part_directory: an acknowledged insert is on disk (none by default);
--   non_replicated_deduplication_window: a repeated insert with the same token is dropped for that many inserts.
-- Roll-ups also have min_age_to_force_merge_*: a day after a month of ingest has ended it becomes one part, so that a value
-- is one row of it and a question opens one part a month.
--
-- Columns that hold one number over many rows (workspace, link, days) have Delta before ZSTD: ZSTD alone copies such a
-- run eight bytes at a time, and reading a million rows of one link took three times as long.
CREATE DATABASE IF NOT EXISTS signpost
;
CREATE TABLE IF NOT EXISTS signpost.migrations
(
    number UInt32,
    name   String,
    at     DateTime DEFAULT now()
)
ENGINE = MergeTree ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
;
CREATE TABLE IF NOT EXISTS signpost.clicks
(
    epoch           UInt64,
    worker          UInt16,
    position        UInt64 CODEC(Delta, ZSTD),
    log_partition   UInt32 CODEC(ZSTD),
    log_offset      UInt64 CODEC(Delta, ZSTD),
    ingested        DateTime('UTC') CODEC(Delta, ZSTD),

    time            DateTime64(3, 'UTC') CODEC(Delta, ZSTD),
    workspace       UInt64 CODEC(Delta, ZSTD),
    link            UInt64 CODEC(Delta, ZSTD),
    rolled_up       Bool CODEC(ZSTD),
    domain          UInt32 CODEC(ZSTD),
    host            LowCardinality(String),
    slug            String CODEC(ZSTD),

    outcome         LowCardinality(String),
    status          UInt16 CODEC(ZSTD),
    rule            UInt16 CODEC(ZSTD),
    variant         UInt16 CODEC(ZSTD),

    is_bot          Bool CODEC(ZSTD),
    bot_reason      LowCardinality(String),
    bot_name        LowCardinality(String),
    is_scan         Bool CODEC(ZSTD),
    visitor         Nullable(UInt64),

    country         LowCardinality(String),
    region          LowCardinality(String),
    city            LowCardinality(String),
    device          LowCardinality(String),
    os              LowCardinality(String),
    os_version      LowCardinality(String),
    browser         LowCardinality(String),
    browser_version LowCardinality(String),
    language        LowCardinality(String),

    referrer_host   LowCardinality(String),
    referrer        String CODEC(ZSTD),
    utm_source      LowCardinality(String),
    utm_medium      LowCardinality(String),
    utm_campaign    LowCardinality(String),
    utm_term        LowCardinality(String),
    utm_content     LowCardinality(String),
    query           String CODEC(ZSTD),
    ip              String CODEC(ZSTD),

    INDEX epoch_minmax    epoch      TYPE minmax GRANULARITY 1,
    INDEX position_minmax position   TYPE minmax GRANULARITY 1,
    INDEX offset_minmax   log_offset TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(ingested)
ORDER BY (workspace, link, rolled_up, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000
;
-- Per link and quarter of an hour (15 minutes, because of time zones at +5:30 and +5:45), for every link. A row with
-- link = 0 is a receipt: positions of (epoch, worker) below rolled_to are in this table. It is in the same part as what
-- it vouches for. No visitor states here: they made the table ten times larger; see visitors_by_month.
CREATE TABLE IF NOT EXISTS signpost.clicks_15m
(
    ingested_month UInt32,
    workspace UInt64 CODEC(Delta, ZSTD),
    link      UInt64 CODEC(Delta, ZSTD),
    bucket    DateTime('UTC') CODEC(Delta, ZSTD),
    is_bot    Bool,
    epoch     UInt64 CODEC(ZSTD),
    worker    UInt16 CODEC(ZSTD),
    clicks    SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD),
    scans     SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD),
    rolled_to SimpleAggregateFunction(max, UInt64) CODEC(ZSTD)
)
ENGINE = AggregatingMergeTree
PARTITION BY ingested_month
ORDER BY (workspace, link, bucket, is_bot, epoch, worker)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
;
-- Per busy link (clicks with rolled_up), day, dimension and value, and the same per five days and per month: a long range
-- is its whole months, a few times five days and a few days. All are written by one insert, so they always agree. Five days
-- begin on the 1st, 6th, 11th, 16th, 21st and 26th; the last ones reach to the end of the month. Values that are empty are
-- left out (total minus sum). Months have two dimensions more, with all clicks: 'total' (value '') and 'day' (value e.g.
-- '2026-11-30'). The rows of 'total' hold a rough state of the visitors; it is empty in all others. All dimensions of a
-- period lie together, since they are asked for together, in small granules, since a question wants few. Receipts as above.
CREATE TABLE IF NOT EXISTS signpost.clicks_by_period
(
    ingested_month UInt32 CODEC(Delta, ZSTD),
    workspace UInt64 CODEC(Delta, ZSTD),
    link      UInt64 CODEC(Delta, ZSTD),
    period    Enum8('day' = 1, 'five_days' = 2, 'month' = 3) CODEC(Delta, ZSTD),
    start     Date CODEC(Delta, ZSTD),
    dimension LowCardinality(String),
    value     String CODEC(LZ4),
    is_bot    Bool,
    epoch     UInt64 CODEC(Delta, ZSTD),
    worker    UInt16 CODEC(Delta, ZSTD),
    clicks    SimpleAggregateFunction(sum, UInt64) CODEC(LZ4),
    scans     SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD),
    visitors  AggregateFunction(uniqCombined64(12), Nullable(UInt64)) CODEC(ZSTD),
    rolled_to SimpleAggregateFunction(max, UInt64) CODEC(Delta, ZSTD)
)
ENGINE = AggregatingMergeTree
PARTITION BY ingested_month
ORDER BY (workspace, link, period, start, dimension, value, is_bot, epoch, worker)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
;
-- Per busy link, month and visitor: on which days it came. Exact visitors of any range of days come from it without
-- reading clicks, and since visitors are uniform 64-bit hashes and the last column of the key, the smallest of them are a
-- sample of known size: a question reads a bounded number of rows however many visitors there are. Clicks without a
-- visitor have no row. Receipts as above.
CREATE TABLE IF NOT EXISTS signpost.visitors_by_month
(
    ingested_month UInt32 CODEC(Delta, ZSTD),
    workspace UInt64 CODEC(Delta, ZSTD),
    link      UInt64 CODEC(Delta, ZSTD),
    month     Date CODEC(Delta, ZSTD),
    is_bot    Bool CODEC(ZSTD),
    visitor   UInt64 CODEC(NONE),
    epoch     UInt64 CODEC(Delta, ZSTD),
    worker    UInt16 CODEC(Delta, ZSTD),
    days      SimpleAggregateFunction(groupBitOr, UInt32) CODEC(LZ4),
    clicks    SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD),
    rolled_to SimpleAggregateFunction(max, UInt64) CODEC(Delta, ZSTD)
)
ENGINE = AggregatingMergeTree
PARTITION BY ingested_month
ORDER BY (workspace, link, month, is_bot, visitor, epoch, worker)
SETTINGS index_granularity = 2048, fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000,
    min_age_to_force_merge_seconds = 86400, min_age_to_force_merge_on_partition_only = 1
;
-- What is stored, per stream and day of ingest; kept when clicks expire. last + 1 is its receipt.
CREATE TABLE IF NOT EXISTS signpost.stream_days
(
    epoch   UInt64,
    worker  UInt16,
    day     Date,
    stored  SimpleAggregateFunction(sum, UInt64),
    first   SimpleAggregateFunction(min, UInt64),
    last    SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
ORDER BY (epoch, worker, day)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000
;
-- What each stream says of itself.
CREATE TABLE IF NOT EXISTS signpost.books
(
    epoch   UInt64,
    worker  UInt16,
    written SimpleAggregateFunction(max, UInt64),
    closed  SimpleAggregateFunction(max, UInt8),
    time    SimpleAggregateFunction(max, DateTime64(3, 'UTC'))
)
ENGINE = AggregatingMergeTree ORDER BY (epoch, worker)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000
;
-- Positions handed out and lost. The same range may be reported twice; it is one row.
CREATE TABLE IF NOT EXISTS signpost.drops
(
    epoch         UInt64,
    worker        UInt16,
    from_position UInt64,
    to_position   UInt64,
    reason        LowCardinality(String)
)
ENGINE = ReplacingMergeTree ORDER BY (epoch, worker, from_position, to_position, reason)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000
;
-- Records that could not be stored, with where they came from.
CREATE TABLE IF NOT EXISTS signpost.dead_letters
(
    log_partition UInt32,
    log_offset    UInt64,
    reason        LowCardinality(String),
    epoch         Nullable(UInt64),
    worker        Nullable(UInt16),
    position      Nullable(UInt64),
    payload       String,
    at            DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree ORDER BY (log_partition, log_offset)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 10000
