//! A link as this dialect shows it.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemas::slug::Slug;
use serde::Serialize;
use utoipa::ToSchema;

use super::ids::{Uuid, instant, shown};
use super::qrcodes;
use crate::app::App;
use crate::domain::geolink::GeoLink;
use crate::domain::uuids::Kind;
use crate::error::ApiError;
use crate::store::links::Link as Row;
use crate::store::{folders, members, tags};

/// What stands for a password that is set.
pub(super) const MASKED: &str = "**********";

/// Most tags that clients accept.
pub(super) const MAX_TAGS: usize = 3;

/// Longest texts that clients accept, in characters.
pub(super) const MAX_TEXT: usize = 255;

/// Lengths of codes that clients accept, in characters.
const CODES: RangeInclusive<usize> = 2..=50;

/// Name of the extra parameter behind `utm.campaign_id`.
pub(super) const UTM_ID: &str = "utm_id";

/// A link.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Link {
    #[schema(value_type = Uuid, inline)]
    id: String,
    /// Where it leads.
    #[schema(example = "https://example.com/")]
    url: String,
    #[schema(value_type = Uuid, inline)]
    workspace_id: String,
    #[schema(value_type = Option<Uuid>, inline)]
    folder_id: Option<String>,
    /// Name of the workspace's first owner.
    user: Option<String>,
    #[schema(example = "urlr.me")]
    domain: String,
    /// `null`: another dialect gave it one of a length that clients of this dialect refuse.
    #[schema(example = "xxxxx", min_length = 2, max_length = 50)]
    code: Option<String>,
    label: Option<String>,
    /// Ten asterisks: it has one.
    #[schema(example = "**********")]
    password: Option<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// From then on it is not there.
    #[schema(format = DateTime)]
    delete_at: Option<String>,
    /// From then on it does not lead to `url`.
    #[schema(format = DateTime)]
    expired_at: Option<String>,
    expired_url: Option<String>,
    expired_title: Option<String>,
    expired_text: Option<String>,
    delete_after_expiration: bool,
    tags: Vec<Tag>,
    qrcode: Option<Qrcode>,
    utm: Option<Utm>,
    metatag: Option<Metatag>,
    geolinks: Vec<GeoLink>,
}

/// A tag.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tag {
    #[schema(value_type = Uuid, inline)]
    pub(super) id: String,
    pub(super) name: String,
}

/// The image of a link's QR code.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Qrcode {
    /// A data URL.
    #[schema(example = "data:image/png;base64,…")]
    data: String,
}

/// What is put into the destination's query.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Utm {
    campaign: Option<String>,
    medium: Option<String>,
    source: Option<String>,
    content: Option<String>,
    campaign_id: Option<String>,
    term: Option<String>,
}

/// What chats and social networks show.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Metatag {
    title: Option<String>,
    description: Option<String>,
    image: Option<String>,
}

/// Links of a workspace as they are shown, in the same order.
pub(super) async fn shown_all(
    app: &App,
    workspace: i64,
    rows: Vec<Row>,
) -> Result<Vec<Link>, ApiError> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut filed = Filed {
        folders: folders::of_links(&app.store, &ids).await?,
        tags: tags::of_links(&app.store, &ids).await?,
        user: members::workspace(&app.store, workspace)
            .await?
            .map(|(_, _, user)| user),
    };
    let mut links = Vec::with_capacity(rows.len());
    for row in rows {
        links.push(one(app, row, &mut filed).await?);
    }
    Ok(links)
}

/// One link as it is shown.
pub(super) async fn shown_one(app: &App, row: Row) -> Result<Link, ApiError> {
    let workspace = row.workspace_id;
    let mut all = shown_all(app, workspace, vec![row]).await?;
    all.pop()
        .ok_or_else(|| anyhow::anyhow!("one link went in, none came out").into())
}

struct Filed {
    folders: HashMap<i64, (i64, String)>,
    tags: HashMap<i64, Vec<(i64, String)>>,
    user: Option<String>,
}

async fn one(app: &App, row: Row, filed: &mut Filed) -> Result<Link, ApiError> {
    let qrcode = match &row.content.extras.qrcode {
        None => None,
        Some(look) => {
            let text = qrcodes::text_of(app, &row).await?;
            let (media_type, image) = qrcodes::draw(app, "url", text, look).await?;
            let data = format!("data:{media_type};base64,{}", STANDARD.encode(image));
            Some(Qrcode { data })
        }
    };
    let content = row.content;
    let extras = content.extras;
    let [source, medium, campaign, term, utm_content] = content.utm.map(given);
    let campaign_id = content
        .parameters
        .into_iter()
        .find(|(name, _)| name == UTM_ID)
        .and_then(|(_, value)| given(value));
    let utm = Utm {
        campaign,
        medium,
        source,
        content: utm_content,
        campaign_id,
        term,
    };
    let has_utm = [
        &utm.campaign,
        &utm.medium,
        &utm.source,
        &utm.content,
        &utm.campaign_id,
        &utm.term,
    ]
    .iter()
    .any(|value| value.is_some());
    let metatag = Metatag {
        title: given(extras.meta_title),
        description: given(extras.meta_description),
        image: Some(extras.meta_image).filter(|url| !url.is_empty()),
    };
    let has_metatag =
        metatag.title.is_some() || metatag.description.is_some() || metatag.image.is_some();
    let tags = filed.tags.remove(&row.id).unwrap_or_default();
    let tag = |(id, name)| Tag {
        id: shown(app, Kind::Tag, id),
        name,
    };
    let folder = filed.folders.get(&row.id);
    let host = row.base_url.split_once("://");
    Ok(Link {
        id: shown(app, Kind::Link, row.id),
        url: content.destination,
        workspace_id: shown(app, Kind::Workspace, row.workspace_id),
        folder_id: folder.map(|(id, _)| shown(app, Kind::Folder, *id)),
        user: filed.user.clone(),
        domain: host.map_or(&*row.base_url, |(_, host)| host).to_owned(),
        code: code(&row.slug),
        label: given(content.title),
        password: extras.password.is_some().then_some(MASKED),
        created_at: instant(row.created_at),
        updated_at: instant(row.updated_at),
        delete_at: extras.delete_at.map(instant),
        expired_at: content.expires_at.map(instant),
        expired_url: Some(content.expired_url).filter(|url| !url.is_empty()),
        expired_title: given(extras.expired_title),
        expired_text: Some(extras.expired_text).filter(|text| !text.is_empty()),
        delete_after_expiration: extras.delete_after_expiration,
        tags: tags.into_iter().take(MAX_TAGS).map(tag).collect(),
        qrcode,
        utm: has_utm.then_some(utm),
        metatag: has_metatag.then_some(metatag),
        geolinks: extras.geolinks,
    })
}

/// A code that clients accept. They refuse the whole answer for any other, a list of fifty links with it; part of a code, or
/// one that leads there by another way, would be taken for the code.
fn code(slug: &Slug) -> Option<String> {
    CODES
        .contains(&slug.as_str().chars().count())
        .then(|| slug.to_string())
}

/// A text that is set, as long as clients accept it.
fn given(text: String) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    match text.char_indices().nth(MAX_TEXT) {
        None => Some(text),
        Some((end, _)) => text.get(..end).map(str::to_owned),
    }
}
