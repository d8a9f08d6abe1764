//! Clicks from a log into ClickHouse, exactly once.
//!
//! What can go wrong, and what guards it:
//! 1. the same click comes twice: a high-water mark per stream, loaded from the tables (`known`);
//! 2. a batch is inserted by two processes: the intent on disk, and the same token for the same range (`intent`);
//! 3. ClickHouse says yes and has nothing: after any doubt the table is asked (`recover`);
//! 4. a roll-up has more or less than `clicks`: filled by range, with a receipt in the same part (`roll_up`, `receipt`).
//!
//! Map: `app` builds; `pipeline` is the whole way on one screen; `source` gives records, `decode` and `batch` judge
//! them, `row` and `dead` make blocks, `store` talks to ClickHouse, `recover` settles doubt; `audit` checks the books.

mod app;
mod attempts;
pub mod audit;
mod backoff;
mod batch;
mod busy;
mod config;
mod dead;
mod decode;
mod failure;
mod intent;
mod known;
mod lock;
mod metrics;
mod migrate;
mod pipeline;
mod receipt;
mod recover;
mod roll_up;
mod row;
mod source;
mod store;
mod topic;
mod writer;

pub use app::{Running, run, start};
pub use config::{Config, Endpoint, Password};
pub use metrics::describe as describe_metrics;
pub use topic::{Conflicts, Letter, Letters, Origin, Replayed};
