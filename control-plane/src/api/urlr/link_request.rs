//! Body of a link's creation and edit.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::ids::{self, Uuid};
use super::link::{MASKED, MAX_TAGS, MAX_TEXT, UTM_ID};
use super::qrcodes::LookRequest;
use crate::api::request::read;
use crate::app::App;
use crate::domain::date::When;
use crate::domain::destination::Destination;
use crate::domain::field::FieldError;
use crate::domain::geolink::{FIELD, GeoLink, MAX_GEOLINKS};
use crate::domain::link::{Edit, ExtrasEdit, Groups, TagRef};
use crate::domain::uuids::Kind;
use crate::domain::{alias, field, password};
use crate::links::{Secret, Wish};

/// Longest `url`, in characters.
const MAX_URL: usize = 4096;

/// Codes: letters of any script, digits, `_`, `-` and `/`.
static CODE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}0-9_\-/]{2,50}$").ok());

/// A link as a caller wants it. Unknown fields are ignored.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(super) struct LinkRequest {
    /// The key's own when absent. Ignored in an edit: a link stays in its workspace.
    #[schema(value_type = Option<Uuid>, inline)]
    pub(super) workspace_id: Option<String>,
    /// Where it leads: `http` or `https`, at most 4096 characters. Required to create a link.
    #[schema(example = "https://example.com/", max_length = 4096)]
    url: Option<String>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Uuid>, inline)]
    folder_id: Option<Option<String>>,
    /// A live domain of the workspace; the default one when absent.
    #[schema(example = "mybrand.com")]
    domain: Option<String>,
    /// A random one when absent.
    #[schema(
        example = "xxxxx",
        min_length = 2,
        max_length = 50,
        pattern = r"^[\p{L}0-9_\-\/]{2,50}$"
    )]
    code: Option<String>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    label: Option<Option<String>>,
    /// Visitors are asked for it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    password: Option<Option<String>>,
    /// From then on the link is not there.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    delete_at: Option<Option<String>>,
    /// From then on it does not lead to `url`.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expired_at: Option<Option<String>>,
    /// Where visitors go then.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    expired_url: Option<Option<String>>,
    /// Heading of what they read, where there is no `expired_url`.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    expired_title: Option<Option<String>>,
    /// What they read.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    expired_text: Option<Option<String>>,
    /// The link is deleted when it expires.
    #[schema(default = false)]
    delete_after_expiration: Option<bool>,
    /// All its tags.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<String>>, max_items = 3)]
    tags: Option<Option<Vec<String>>>,
    /// An image of its QR code is shown with it.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<LookRequest>)]
    qrcode: Option<Option<LookRequest>>,
    /// Put into the destination's query.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<UtmRequest>)]
    utm: Option<Option<UtmRequest>>,
    /// Shown by chats and social networks.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<MetatagRequest>)]
    metatag: Option<Option<MetatagRequest>>,
    /// Destinations for those who meet the conditions; the first that holds decides.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<Vec<GeoLink>>)]
    geolinks: Option<Option<Vec<GeoLink>>>,
}

/// Parameters of a campaign.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(super) struct UtmRequest {
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    campaign: Option<Option<String>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    medium: Option<Option<String>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    source: Option<Option<String>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    content: Option<Option<String>>,
    /// `utm_id`
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    campaign_id: Option<Option<String>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    term: Option<Option<String>>,
}

/// What a preview shows.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(super) struct MetatagRequest {
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    title: Option<Option<String>>,
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 255)]
    description: Option<Option<String>>,
    /// URL of an image.
    #[serde(deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    image: Option<Option<String>>,
}

/// What is wanted, and what of it needs the link as it is.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) wish: Wish,
    /// `utm_id`, kept among the link's extra parameters; `Some(None)`: none.
    pub(super) utm_id: Option<Option<String>>,
}

/// Reads a body.
///
/// # Errors
/// The first field that breaks a rule.
pub(super) fn wanted(app: &App, body: &Map<String, Value>) -> Result<Wanted, FieldError> {
    let body: LinkRequest = read(body)?;
    let now_ms = app.clock.now_ms();
    if let Some(url) = &body.url
        && url.chars().nth(MAX_URL).is_some()
    {
        return Err(too_long("url", MAX_URL));
    }
    let mut urls = Vec::new();
    let utm = body.utm.map(|utm| utm.unwrap_or_else(UtmRequest::nothing));
    let metatag = body
        .metatag
        .map(|tag| tag.unwrap_or_else(MetatagRequest::nothing));
    let (utm, metatag) = (utm.unwrap_or_default(), metatag.unwrap_or_default());
    let delete_at = instant("delete_at", body.delete_at)?;
    if delete_at.flatten().is_some_and(|at| at <= now_ms) {
        return Err(FieldError::new("delete_at", "must be in the future"));
    }
    let extras = ExtrasEdit {
        expired_title: text("expired_title", body.expired_title, MAX_TEXT)?,
        expired_text: body.expired_text.map(Option::unwrap_or_default),
        delete_at,
        delete_after_expiration: body.delete_after_expiration,
        geolinks: geolinks(body.geolinks, &mut urls)?,
        qrcode: body
            .qrcode
            .map(|look| look.map(|look| look.look("qrcode.")).transpose())
            .transpose()?,
        meta_title: text("metatag.title", metatag.title, MAX_TEXT)?,
        meta_description: text("metatag.description", metatag.description, MAX_TEXT)?,
        meta_image: image(metatag.image)?,
        urls,
        ..ExtrasEdit::default()
    };
    let wish = Wish {
        slug: body.code.as_deref().map(code).transpose()?,
        domain: body.domain.map(domain).transpose()?,
        password: gate(body.password)?,
        groups: Groups {
            folder: folder(app, body.folder_id)?,
            tags: tags(app, body.tags)?,
            ..Groups::default()
        },
        edit: Edit {
            destination: body
                .url
                .map(|url| Destination::parse("url", &url))
                .transpose()?,
            title: text("label", body.label, MAX_TEXT)?,
            expires_at: instant("expired_at", body.expired_at)?,
            expired_url: body
                .expired_url
                .map(
                    |url| match url.as_deref().map(|url| url.trim_matches(' ')) {
                        None | Some("") => Ok(None),
                        Some(url) => Destination::parse("expired_url", url).map(Some),
                    },
                )
                .transpose()?,
            utm: [
                text("utm.source", utm.source, MAX_TEXT)?,
                text("utm.medium", utm.medium, MAX_TEXT)?,
                text("utm.campaign", utm.campaign, MAX_TEXT)?,
                text("utm.term", utm.term, MAX_TEXT)?,
                text("utm.content", utm.content, MAX_TEXT)?,
            ],
            extras,
            ..Edit::default()
        },
        ..Wish::default()
    };
    let utm_id = text("utm.campaign_id", utm.campaign_id, MAX_TEXT)?;
    Ok(Wanted {
        wish,
        utm_id: utm_id.map(|id| Some(id).filter(|id| !id.is_empty())),
    })
}

impl Wanted {
    /// Puts `utm_id` among the parameters that the link has.
    pub(super) fn with_parameters(mut self, has: &[(String, String)]) -> Wish {
        if let Some(utm_id) = self.utm_id {
            let mut parameters = has.to_vec();
            parameters.retain(|(name, _)| name != UTM_ID);
            parameters.extend(utm_id.map(|id| (UTM_ID.to_owned(), id)));
            self.wish.edit.parameters = Some(parameters);
        }
        self.wish
    }
}

impl UtmRequest {
    /// Takes all away.
    fn nothing() -> Self {
        let none = || Some(None);
        Self {
            campaign: none(),
            medium: none(),
            source: none(),
            content: none(),
            campaign_id: none(),
            term: none(),
        }
    }
}

impl MetatagRequest {
    /// Takes all away.
    fn nothing() -> Self {
        Self {
            title: Some(None),
            description: Some(None),
            image: Some(None),
        }
    }
}

/// Absent is `None`, `null` is `Some(None)`.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(value).map(Some)
}

/// A date in one of its forms; a day is its beginning.
pub(super) fn date(field: &str, text: &str) -> Result<i64, FieldError> {
    When::parse(field, text).map(When::start_ms)
}

fn instant(field: &str, value: Option<Option<String>>) -> Result<Option<Option<i64>>, FieldError> {
    value
        .map(|text| match text.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => date(field, text).map(Some),
        })
        .transpose()
}

/// A text; `null` is an empty one.
fn text(
    field: &str,
    value: Option<Option<String>>,
    max: usize,
) -> Result<Option<String>, FieldError> {
    let value = value.map(Option::unwrap_or_default);
    value.map(|text| field::line(field, &text, max)).transpose()
}

fn too_long(field: &str, max: usize) -> FieldError {
    FieldError::new(field, format!("must be at most {max} characters long"))
}

fn gate(value: Option<Option<String>>) -> Result<Option<Option<Secret>>, FieldError> {
    let Some(text) = value else {
        return Ok(None);
    };
    match text {
        None => Ok(Some(None)),
        Some(text) if text.is_empty() => Ok(Some(None)),
        Some(text) if text == MASKED => Ok(None),
        Some(text) if text.chars().nth(MAX_TEXT).is_some() => Err(too_long("password", MAX_TEXT)),
        Some(text) => {
            password::check_gate("password", &text)?;
            Ok(Some(Some(Secret(text))))
        }
    }
}

fn code(text: &str) -> Result<schemas::slug::Slug, FieldError> {
    let slug = alias::custom("code", text)?;
    if CODE
        .as_ref()
        .is_none_or(|code| code.is_match(slug.as_str()))
    {
        return Ok(slug);
    }
    Err(FieldError::new(
        "code",
        "must be 2 to 50 letters, digits, '_', '-' and '/'",
    ))
}

fn domain(text: String) -> Result<String, FieldError> {
    if text.contains('/') || text.trim().is_empty() {
        return Err(FieldError::new("domain", "must be a hostname"));
    }
    Ok(text)
}

fn folder(app: &App, value: Option<Option<String>>) -> Result<Option<Option<i64>>, FieldError> {
    match value {
        None => Ok(None),
        Some(None) => Ok(Some(None)),
        Some(Some(text)) => ids::read(app, Kind::Folder, "folder_id", &text)?
            .map(|id| Some(Some(id)))
            .ok_or_else(unknown_folder),
    }
}

/// A folder that is not the workspace's.
pub(super) fn unknown_folder() -> FieldError {
    FieldError::new("folder_id", "must be the id of a folder of this workspace")
}

/// A tag that is not the workspace's.
pub(super) fn unknown_tag() -> FieldError {
    FieldError::new("tags", "must hold ids of tags of this workspace")
}

fn tags(app: &App, value: Option<Option<Vec<String>>>) -> Result<Option<Vec<TagRef>>, FieldError> {
    let Some(list) = value else {
        return Ok(None);
    };
    let mut found: Vec<TagRef> = Vec::new();
    for (place, text) in list.unwrap_or_default().iter().enumerate() {
        let id = ids::read(app, Kind::Tag, &format!("tags[{place}]"), text)?;
        let tag = TagRef::Id(id.ok_or_else(unknown_tag)?);
        if !found.contains(&tag) {
            found.push(tag);
        }
    }
    if found.len() > MAX_TAGS {
        return Err(FieldError::new(
            "tags",
            format!("must hold at most {MAX_TAGS}"),
        ));
    }
    Ok(Some(found))
}

fn image(value: Option<Option<String>>) -> Result<Option<String>, FieldError> {
    let Some(text) = value else {
        return Ok(None);
    };
    Ok(Some(
        match text.as_deref().map(|url| url.trim_matches(' ')) {
            None | Some("") => String::new(),
            Some(url) => Destination::parse("metatag.image", url)?
                .as_str()
                .to_owned(),
        },
    ))
}

fn geolinks(
    value: Option<Option<Vec<GeoLink>>>,
    urls: &mut Vec<(String, Destination)>,
) -> Result<Option<Vec<GeoLink>>, FieldError> {
    let Some(list) = value.map(Option::unwrap_or_default) else {
        return Ok(None);
    };
    if list.len() > MAX_GEOLINKS {
        return Err(FieldError::new(
            FIELD,
            format!("must hold at most {MAX_GEOLINKS}"),
        ));
    }
    for (place, geo) in list.iter().enumerate() {
        let url = geo.check(place)?;
        urls.push((format!("{FIELD}[{place}].url"), url));
    }
    Ok(Some(list))
}
