//! Bytes on their way from a caller into the storage, never more of them than may come.

use axum::body::Body;
use bytes::Bytes;

use super::arriving::{Arriving, Broken};
use super::multipart::{Form, FormError};
use crate::app::App;
use crate::domain::plan::{Feature, Limit, PlanRefusal};
use crate::error::ApiError;
use crate::metrics;
use crate::store::objects::Object;
use crate::store::{files, plans};

/// Bytes that a form may have beside its file: boundaries, heads and other fields.
const FORM_EXTRA: u64 = 64 << 10;

/// How much may come.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    /// Bytes.
    pub(crate) limit: u64,
    /// What is said to more, where it is the plan that limits.
    refusal: Option<PlanRefusal>,
}

impl Room {
    /// More came.
    pub(crate) fn exceeded(&self) -> ApiError {
        match &self.refusal {
            Some(refusal) => ApiError::Plan(refusal.clone()),
            None => ApiError::TooLarge(usize::try_from(self.limit).unwrap_or(usize::MAX)),
        }
    }

    /// Whether a body says beforehand that it is too large: then it is not to be read at all.
    ///
    /// # Errors
    /// Too large.
    pub(crate) fn fits_raw(&self, body: &Body) -> Result<(), ApiError> {
        self.fits(body, self.limit)
    }

    /// As [`Self::fits_raw`], of a form with one file.
    ///
    /// # Errors
    /// Too large.
    pub(crate) fn fits_form(&self, body: &Body) -> Result<(), ApiError> {
        self.fits(body, self.form_limit())
    }

    /// A body of one file.
    pub(crate) fn raw(&self, body: Body) -> Arriving {
        Arriving::new(body, self.limit)
    }

    /// A form with one file.
    pub(crate) fn form(&self, body: Body, boundary: &str) -> Form {
        Form::new(Arriving::new(body, self.form_limit()), boundary)
    }

    fn form_limit(&self) -> u64 {
        self.limit.saturating_add(FORM_EXTRA)
    }

    fn fits(&self, body: &Body, limit: u64) -> Result<(), ApiError> {
        if hyper::body::Body::size_hint(body).lower() > limit {
            return Err(self.exceeded());
        }
        Ok(())
    }

    /// A body that broke off.
    pub(crate) fn broken(&self, broken: Broken) -> ApiError {
        match broken {
            Broken::TooLarge => self.exceeded(),
            Broken::TooSlow => ApiError::TooSlow,
            Broken::HungUp => ApiError::field("file", "broke off on its way"),
        }
    }

    /// A form that cannot be read.
    pub(crate) fn malformed(&self, error: FormError) -> ApiError {
        match error {
            FormError::Malformed(why) => {
                ApiError::field("body", format!("is no multipart/form-data: {why}"))
            }
            FormError::Broken(broken) => self.broken(broken),
        }
    }
}

/// Where bytes come from.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// A body.
    Raw(&'a mut Arriving),
    /// A part of a form.
    Part(&'a mut Form),
}

impl Source<'_> {
    async fn piece(&mut self, room: &Room) -> Result<Option<Bytes>, ApiError> {
        match self {
            Self::Raw(body) => body.piece().await.map_err(|e| room.broken(e)),
            Self::Part(form) => form.piece().await.map_err(|e| room.malformed(e)),
        }
    }
}

/// Whether this workspace may have files, and how many bytes more, `less` of those it has left out.
///
/// # Errors
/// The plan has no files.
pub(crate) async fn room(app: &App, workspace: i64, less: u64) -> Result<Room, ApiError> {
    let mut connection = app.store.readers().acquire().await?;
    let plan = plans::in_force(&mut connection, workspace, app.clock.now_ms()).await?;
    plan.need(Feature::Files)?;
    let mut room = Room {
        limit: app.config.files.max_bytes,
        refusal: None,
    };
    let one = plan.limits.file_size;
    let one = one.map(|most| u64::try_from(most).unwrap_or(0));
    if let Some(most) = one.filter(|most| *most < room.limit) {
        room.limit = most;
        room.refusal = plan.take_file(u64::MAX).err();
    }
    let allowance = plan.allowance(Limit::FileBytes);
    if let Some(most) = allowance.most {
        let used = files::bytes_used(&mut connection, workspace).await?;
        let used = used.saturating_sub_unsigned(less);
        let left = u64::try_from(most.saturating_sub(used)).unwrap_or(0);
        if left < room.limit {
            room.limit = left;
            room.refusal = allowance.take(used, i64::MAX).err();
        }
    }
    Ok(room)
}

/// Stores what comes.
///
/// # Errors
/// It cannot be stored, or does not come; nothing is left behind.
pub(crate) async fn receive(
    app: &App,
    mut source: Source<'_>,
    room: &Room,
) -> Result<Object, ApiError> {
    let stored = async {
        let mut writing = app.storage.begin().await?;
        let mut size = 0;
        while let Some(piece) = source.piece(room).await? {
            size += piece.len() as u64;
            if size > room.limit {
                return Err(room.exceeded());
            }
            writing.write(piece).await?;
        }
        Ok(writing.finish().await?)
    };
    let stored = stored.await;
    match &stored {
        Ok(object) => metrics::stored(object.size),
        Err(ApiError::Storage(error)) => metrics::storage_failed(error.reason()),
        Err(_) => {}
    }
    stored
}
