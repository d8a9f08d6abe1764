//! Why an attempt ended, whatever clicks come from.

use std::io;

use crate::store::StoreError;

/// Why an attempt ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read the click log, or write beside it: {0}")]
    Disk(#[from] io::Error),
    #[error("kafka: {0}")]
    Kafka(String),
    /// Not a failure of anything: another worker has the partition now.
    #[error("partition {0} went to another worker")]
    Lost(i32),
}

impl Failure {
    /// Label of the metric.
    pub(crate) const fn label(&self) -> &'static str {
        match self {
            Self::Store(error) => error.label(),
            Self::Disk(_) => "disk",
            Self::Kafka(_) => "kafka",
            Self::Lost(_) => "lost",
        }
    }
}
