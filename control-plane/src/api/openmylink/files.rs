//! `/files`, `/files/upload/:filename`, `/file/upload`, `PATCH /file/:id`, `/file/:id/delete`.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::links::{UNAVAILABLE, totals};
use super::reply::{MessageReply, Paging, Reply};
use crate::api::request::{Id, Query};
use crate::app::App;
use crate::domain::date;
use crate::domain::file::FileName;
use crate::domain::key::Scope;
use crate::error::ApiError;
use crate::files::multipart::Form;
use crate::files::{self, Room, Source};
use crate::middleware::Caller;
use crate::store::files::{self as rows, StoredFile};

mod request;

use request::Received;
pub(super) use request::{ReplaceForm, UploadForm};

/// What an unknown file is called in errors.
const WHAT: &str = "file";

/// Longest name to search for, in characters.
const MAX_SEARCH: usize = 255;

/// `GET /files`. Unlike other lists it is not wrapped in `data`, and its last page has no next one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FilesReply {
    #[schema(example = 0)]
    error: u8,
    /// Number of matches.
    result: i64,
    /// The limit asked for.
    perpage: i64,
    /// The page asked for.
    currentpage: i64,
    /// The page after it; null on the last one.
    nextpage: Option<i64>,
    /// Number of pages, at least 1.
    maxpage: i64,
    list: Vec<FileItem>,
    /// `unavailable` when downloads are 0 because they could not be had; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<&'static str>,
}

/// A file in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FileItem {
    id: i64,
    name: String,
    /// Bots excluded.
    downloads: u64,
    #[schema(example = "https://go.example/IUyaK")]
    shorturl: String,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// `POST /files/upload/:filename`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RawReply {
    #[schema(example = 0)]
    error: u8,
    #[schema(example = 1)]
    id: i64,
    #[schema(example = "https://go.example/IUyaK")]
    shorturl: String,
}

/// `POST /file/upload` and `PATCH /file/:id`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FileReply {
    #[schema(example = 0)]
    error: u8,
    id: i64,
    shorturl: String,
    data: FileData,
}

/// The same once more, as the other half of clients expects it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FileData {
    id: i64,
    /// Where the file is downloaded.
    #[schema(example = "https://files.example/IUyaK")]
    download_url: String,
}

impl FileReply {
    fn new(file: &StoredFile) -> Json<Self> {
        Json(Self {
            error: 0,
            id: file.id,
            shorturl: file.short_url(),
            data: FileData {
                id: file.id,
                download_url: file.short_url(),
            },
        })
    }
}

/// Files of the workspace, newest first.
#[utoipa::path(get, path = "/api/files", tag = "Files", params(
    ("name" = Option<String>, Query, description = "part of the name, in any case"),
    ("limit" = Option<i64>, Query, description = "files a page, 1 to 500, 15 when absent"),
    ("page" = Option<i64>, Query, description = "from 1"),
), responses((status = 200, body = FilesReply)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    query: Query,
) -> Reply<FilesReply> {
    caller.need(Scope::Read)?;
    let (limit, page) = query.paging()?;
    let name =
        crate::domain::field::line("name", query.text("name").unwrap_or_default(), MAX_SEARCH)?;
    let workspace = caller.workspace();
    let listed = rows::page(&app.store, workspace, &name, (limit, (page - 1) * limit)).await?;
    let count = rows::count(&app.store, workspace, &name).await?;
    let ids: Vec<i64> = listed.iter().map(|file| file.link_id).collect();
    let clicks = totals(&app, workspace, &ids).await?;
    let none = HashMap::new();
    let known = clicks.as_ref().unwrap_or(&none);
    let item = |file: StoredFile| FileItem {
        id: file.id,
        downloads: known
            .get(&file.link_id.cast_unsigned())
            .map_or(0, |totals| totals.clicks),
        shorturl: file.short_url(),
        date: date::format(file.created_at),
        name: file.name,
    };
    let paging = Paging::new(count, limit, page);
    Ok(Json(FilesReply {
        error: 0,
        result: count,
        perpage: limit,
        currentpage: page,
        nextpage: paging.next(),
        maxpage: paging.maxpage(),
        list: listed.into_iter().map(item).collect(),
        stats: clicks.is_none().then_some(UNAVAILABLE),
    }))
}

/// Stores the body as a file, byte for byte, whatever its content type says.
#[utoipa::path(post, path = "/api/files/upload/{filename}", tag = "Files", params(
    ("filename" = String, Path, description = "percent-encoded, with the extension that gives the type, e.g. brandkit.zip"),
    ("name" = Option<String>, Query, description = "for lists; the file's name when absent"),
    ("custom" = Option<String>, Query, description = "alias instead of a random one"),
    ("domain" = Option<String>, Query, description = "domain of the workspace, with or without scheme"),
    ("password" = Option<String>, Query, description = "asked for before the download"),
    ("expiry" = Option<String>, Query, description = "date, or date and time; of a date its end"),
    ("maxdownloads" = Option<u64>, Query, description = "number of downloads; 0: any number"),
), request_body(content = Vec<u8>, content_type = "application/octet-stream"),
responses((status = 200, body = RawReply), (status = 413, body = super::reply::ErrorReply), (status = 503, body = super::reply::ErrorReply)))]
pub(super) async fn upload_raw(
    State(app): State<Arc<App>>,
    caller: Caller,
    path: Result<Path<String>, PathRejection>,
    query: Query,
    request: Request,
) -> Reply<RawReply> {
    caller.need(Scope::Write)?;
    let workspace = caller.workspace();
    let Ok(Path(text)) = path else {
        return Err(ApiError::field("filename", "must be percent-encoded UTF-8").into());
    };
    let file_name = FileName::parse("filename", &text)?;
    let wish = request::wish(|name| query.raw(name).map(str::to_owned))?;
    files::check(&app, workspace, &wish).await?;
    let room = files::room(&app, workspace, 0).await?;
    room.fits_raw(request.body())?;
    let _turn = app.uploads.take(workspace).await?;
    let mut body = room.raw(request.into_body());
    let object = files::receive(&app, Source::Raw(&mut body), &room).await?;
    let file = files::add(&app, workspace, (&wish, &file_name, object)).await?;
    Ok(Json(RawReply {
        error: 0,
        id: file.id,
        shorturl: file.short_url(),
    }))
}

/// Stores a file sent as a form.
#[utoipa::path(post, path = "/api/file/upload", tag = "Files",
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses((status = 200, body = FileReply), (status = 413, body = super::reply::ErrorReply), (status = 503, body = super::reply::ErrorReply)))]
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Reply<FileReply> {
    caller.need(Scope::Write)?;
    let workspace = caller.workspace();
    let room = files::room(&app, workspace, 0).await?;
    let Received { fields, file } = received(&app, workspace, request, &room).await?;
    let Some((file_name, object)) = file else {
        return Err(ApiError::field("file", "is required, as a part with a file name").into());
    };
    let wish = match request::wish(|name| fields.get(name).cloned()) {
        Ok(wish) => wish,
        Err(error) => {
            files::forget(&app, &object).await;
            return Err(error.into());
        }
    };
    let file = files::add(&app, workspace, (&wish, &file_name, object)).await?;
    Ok(FileReply::new(&file))
}

/// Changes a file: its bytes, and perhaps its name. Its id and address stay, its downloads go on counting.
#[utoipa::path(patch, path = "/api/file/{id}", tag = "Files", params(("id" = i64, Path)),
    request_body(content = ReplaceForm, content_type = "multipart/form-data"),
    responses((status = 200, body = FileReply), (status = 413, body = super::reply::ErrorReply), (status = 503, body = super::reply::ErrorReply)))]
pub(super) async fn replace(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
    request: Request,
) -> Reply<FileReply> {
    caller.need(Scope::Write)?;
    let workspace = caller.workspace();
    let old = files::get(&app, workspace, id.of(WHAT)?).await?;
    let room = files::room(&app, workspace, old.size).await?;
    let Received { fields, file } = received(&app, workspace, request, &room).await?;
    let fixed = ["custom", "domain"];
    let wish = match fixed.iter().find(|name| fields.contains_key(**name)) {
        Some(name) => Err(ApiError::field(
            name,
            "cannot be changed: the address of a file stays",
        )),
        None => request::wish(|name| fields.get(name).cloned()).map_err(ApiError::from),
    };
    let wish = match wish {
        Ok(wish) => wish,
        Err(error) => {
            if let Some((_, object)) = &file {
                files::forget(&app, object).await;
            }
            return Err(error.into());
        }
    };
    let file = files::update(&app, (workspace, old.id), &wish, file).await?;
    Ok(FileReply::new(&file))
}

/// Deletes a file: its address answers nobody from now on.
#[utoipa::path(delete, path = "/api/file/{id}/delete", tag = "Files", params(("id" = i64, Path)), responses((status = 200, body = MessageReply)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    id: Id,
) -> Reply<MessageReply> {
    caller.need(Scope::Write)?;
    files::delete(&app, caller.workspace(), id.of(WHAT)?).await?;
    Ok(MessageReply::new("File has been deleted successfully."))
}

/// Reads a form; its file is stored.
async fn received(
    app: &App,
    workspace: i64,
    request: Request,
    room: &Room,
) -> Result<Received, ApiError> {
    let boundary = Form::boundary(request.headers())
        .ok_or_else(|| ApiError::field("body", "must be multipart/form-data with a part 'file'"))?;
    room.fits_form(request.body())?;
    let _turn = app.uploads.take(workspace).await?;
    let mut form = room.form(request.into_body(), &boundary);
    request::receive(app, &mut form, room).await
}
