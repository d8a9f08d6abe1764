//! The one error of the API. Each dialect has one rendering of it.

use http::StatusCode;
use schemas::feed::MAX_LINKS_PER_CHANGE;

use crate::domain::field::{FieldError, FieldErrors};
use crate::domain::key::Scope;
use crate::domain::plan::PlanRefusal;
use crate::domain::role::Role;
use crate::stats::StatsError;
use crate::storage::StorageError;
use crate::store::plans::PlanError;

/// Why a call failed. What [`Self::Internal`] holds is logged and never sent.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A field breaks a rule.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// Several fields break rules, in dialects that name all of them.
    #[error("{0}")]
    Fields(FieldErrors),
    /// The slug belongs to another link.
    #[error("Custom alias '{0}' is already in use")]
    AliasTaken(String),
    /// The slug was given up a short while ago, by somebody else.
    #[error("Custom alias '{slug}' was given up and may lead to another link from {free} (UTC) on")]
    AliasRests {
        /// The slug.
        slug: String,
        /// The day.
        free: String,
    },
    /// No such thing in this workspace.
    #[error("{what} '{id}' does not exist")]
    NotFound {
        /// What was asked for.
        what: &'static str,
        /// By which id.
        id: String,
    },
    /// The plan does not allow it.
    #[error("{0}")]
    Plan(#[from] PlanRefusal),
    /// More links than one transaction may change.
    #[error("urls must hold 1 to {MAX_LINKS_PER_CHANGE} links, not {0}")]
    TooManyLinks(usize),
    /// No usable key.
    #[error("{0}")]
    Key(#[from] KeyRefusal),
    /// The key may not do this.
    #[error("this API key lacks the scope '{0}'")]
    Forbidden(Scope),
    /// The user of the key may not do this.
    #[error("the role '{0}' may not do this: ask an owner of the workspace")]
    Role(Role),
    /// An app may not do this.
    #[error("the token of an app may not do this: use an API key")]
    NotForApps,
    /// The key would give away more than it has.
    #[error("a key cannot give scopes or a rate it does not have itself")]
    Escalation,
    /// No such path.
    #[error("no such endpoint")]
    UnknownPath,
    /// Another method.
    #[error("this endpoint does not take this method")]
    Method,
    /// The body is longer than this many bytes.
    #[error("the body must be at most {0} bytes long")]
    TooLarge(usize),
    /// The body did not come in time.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The body is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// Too many calls; seconds until the next may succeed.
    #[error("too many requests, try again in {retry_after} s")]
    TooMany {
        /// Whole seconds.
        retry_after: i64,
    },
    /// Statistics cannot be had, or were asked for wrongly.
    #[error("{0}")]
    Stats(#[from] StatsError),
    /// Bytes cannot be stored or read.
    #[error("{0}")]
    Storage(StorageError),
    /// Ours.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::Internal(anyhow::Error::new(error).context("the link database failed"))
    }
}

impl From<PlanError> for ApiError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(refusal) => Self::Plan(refusal),
            PlanError::Failed(error) => error.into(),
        }
    }
}

impl ApiError {
    /// The HTTP status that says it, in dialects that keep to the standard's: 422 for what is wrong with a call's content.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Field(_)
            | Self::Fields(_)
            | Self::AliasTaken(_)
            | Self::AliasRests { .. }
            | Self::TooManyLinks(_)
            | Self::Stats(StatsError::Cursor(_)) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound { .. } | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::NotJson(_) => StatusCode::BAD_REQUEST,
            Self::Key(_) => StatusCode::UNAUTHORIZED,
            Self::Plan(_)
            | Self::Forbidden(_)
            | Self::Role(_)
            | Self::NotForApps
            | Self::Escalation => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Stats(StatsError::Unavailable(_)) | Self::Storage(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// No such thing in this workspace.
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound {
            what,
            id: id.to_string().chars().take(80).collect(),
        }
    }

    /// A field breaks a rule.
    pub fn field(field: &str, problem: impl Into<String>) -> Self {
        Self::Field(FieldError::new(field, problem))
    }

    /// What the caller reads.
    pub(crate) fn public_message(&self) -> String {
        match self {
            Self::Internal(error) => {
                tracing::error!(error = format!("{error:#}"), "a call failed");
                self.to_string()
            }
            Self::Storage(error) => {
                let why = std::error::Error::source(error).map(|why| format!("{why:#}"));
                tracing::warn!(%error, why, "files cannot be stored or read");
                error.to_string()
            }
            Self::Stats(StatsError::Unavailable(why)) => {
                tracing::warn!(why, "no statistics");
                "statistics are not available at the moment, try again later".to_owned()
            }
            _ => self.to_string(),
        }
    }
}

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// None was sent.
    #[error("an API key is needed: send it as 'Authorization: Bearer KEY'")]
    Missing,
    /// Not one of ours.
    #[error("this API key is not known")]
    Unknown,
    /// Revoked or replaced.
    #[error("this API key has been revoked")]
    Revoked,
    /// Its time is over.
    #[error("this API key has expired")]
    Expired,
}

impl KeyRefusal {
    /// For the metric.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}
