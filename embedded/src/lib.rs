//! The single-machine stand-in for a ClickHouse server: the real engine (`libchdb.so`), loaded into this process and
//! served over ClickHouse's HTTP interface, so that everything that speaks to ClickHouse (the official client crate,
//! curl, Grafana) speaks to it unchanged.
//!
//! Why so: a single machine gets exact ClickHouse behaviour from one downloaded file and without a second service, and
//! the roles use one client in every deployment. What this crate deliberately does not do: replication, the native
//! protocol, sessions, compression, users beyond the two of `users`.
//!
//! Facts of the engine (26.7.3) that the design rests on, all seen:
//! - start 0.15 s on an empty storage, 380 MB resident with its code; close below 1 ms when idle;
//! - a connection takes 0.3 ms and closes without a trace, `SET` and `USE` on it 0.2 ms each, `SELECT 1` 0.9 ms;
//! - settings given by `SET` hold for streamed inserts too; one stream with block sizes set high is one part;
//! - `fsync_after_insert` and `fsync_part_directory` can be set for all tables in the configuration: each file of the
//!   part is synced, then it is renamed into place, then its folder is synced (system calls watched);
//! - `insert_deduplication_token` works on plain MergeTree with `non_replicated_deduplication_window`; a repeated
//!   insert still reports its rows as written;
//! - `KILL QUERY` stops a query within milliseconds, found by `log_comment`; its own connection cannot;
//! - only SELECT can be streamed; a failed stream insert leaves a ghost in `system.processes` until its connection
//!   closes, another reason for a connection per query;
//! - rights given in the configuration hold for table functions, engines, databases over files and system commands, but
//!   not for the scalar function `file` (which `arrayMap(file, …)`, `* APPLY file`, a column's default in a structure
//!   string and `VALUES (file(…))` call as well), `INTO OUTFILE`, `\i` and `system.stack_trace`;
//! - `VALUES` takes literals only here (an expression is code 344): use INSERT … SELECT for expressions;
//! - a refused connection is a null without a reason (it is on standard error), so settings go by `SET` and not as
//!   arguments of the connection: `SET` gives a code and a text;
//! - a library that is cut off loads and then dies of SIGBUS, so its end is looked for before it is loaded;
//! - after `chdb_shutdown` the engine cannot be started again in the process: one [`start`] per process that is stopped;
//! - a query that a memory limit stops leaves the engine well.
//!
//! Through HTTP (debug build, 2 shared cores): `SELECT 1` 1.9 ms, an insert of one row 7.7 ms and of 10,000 rows 13 ms
//! (both synced), of a million rows in one part 81 ms, a million rows out 104 ms; 310 MB resident after that.
//!
//! Map: `run` wires; `http` is the interface, `sql` decides what a query may say, `query` runs it on a thread, `engine`
//! holds the library.

mod config;
mod engine;
mod error;
mod http;
mod metrics;
mod query;
mod run;
mod sql;
mod users;

pub use config::Config;
pub use engine::StartError;
pub use engine::files::MERGE_TREE_SETTINGS;
pub use run::{Running, run, start};
