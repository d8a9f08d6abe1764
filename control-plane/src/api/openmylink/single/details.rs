//! What an owner set of a link, in the forms it was given in: what is shown can be sent back to `/url/:id/update`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::domain::link::Extras;
use crate::domain::{country, date};
use crate::pages;
use crate::store::links::Link;
use crate::store::{blocked, campaigns, channels, folders, tags};

/// What its owner set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Details {
    id: i64,
    alias: String,
    shorturl: String,
    /// The URL as its owner gave it, without UTM fields and parameters.
    longurl: String,
    title: String,
    description: String,
    /// `direct`, `frame`, `splash`, the id of a splash page, or `overlay-<id>`.
    #[serde(rename = "type")]
    kind: String,
    /// Ids of its pixels.
    pixels: Vec<i64>,
    /// Destinations by country: `{"canada": "https://…"}`.
    location: BTreeMap<String, String>,
    /// Destinations by device.
    device: BTreeMap<String, String>,
    /// Destinations by language.
    language: BTreeMap<String, String>,
    /// `YYYY-MM-DD HH:MM:SS` UTC; `null`: never.
    expiry: Option<String>,
    expired_url: String,
    expired_text: String,
    /// As `expiry`; `null`: always.
    starts_at: Option<String>,
    /// `public` or `private`.
    status: &'static str,
    /// Status of the redirect.
    redirect: u16,
    disabled: bool,
    /// Host on the server's block list for which its visitors are led nowhere; `null`: none.
    blocked: Option<String>,
    /// Its destination redirects to a short domain of ours: its visitors are led nowhere until it leads elsewhere.
    leads_back: bool,
    /// Whether there is one.
    password: bool,
    max_clicks: Option<u64>,
    max_clicks_url: String,
    max_clicks_text: String,
    /// As they were sent, each value in one form.
    #[schema(value_type = Vec<Object>)]
    rules: Value,
    /// `{name,url,weight}`
    #[schema(value_type = Vec<Object>)]
    variants: Value,
    variants_end: Option<String>,
    variants_winner: u16,
    /// `{name,value}`
    #[schema(value_type = Vec<Object>)]
    parameters: Value,
    query_passthrough: bool,
    utm_source: String,
    utm_medium: String,
    utm_campaign: String,
    utm_term: String,
    utm_content: String,
    metatitle: String,
    metadescription: String,
    metaimage: String,
    /// `{auto,apple,google}`
    #[schema(value_type = Object)]
    deeplink: Value,
    /// All channels it is in.
    channel: Vec<Group>,
    campaign: Option<Group>,
    folder: Option<Group>,
    tags: Vec<Group>,
    /// Clicks brought in from elsewhere, in no other count.
    imported_clicks: i64,
    /// `YYYY-MM-DD HH:MM:SS` UTC.
    date: String,
}

/// Where a link is filed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Group {
    id: i64,
    name: String,
}

impl From<(i64, String)> for Group {
    fn from((id, name): (i64, String)) -> Self {
        Self { id, name }
    }
}

impl Details {
    /// With one question to each table of groups.
    pub(super) async fn of(app: &App, link: Link) -> sqlx::Result<Self> {
        let ids = [link.id];
        let channel = channels::of_links(&app.store, &ids).await?.remove(&link.id);
        let campaign = campaigns::of_links(&app.store, &ids)
            .await?
            .remove(&link.id);
        let folder = folders::of_links(&app.store, &ids).await?.remove(&link.id);
        let tags = tags::of_links(&app.store, &ids).await?.remove(&link.id);
        let spec = link.content.extras.wanted_page();
        let spec = pages::existing(&app.store, link.workspace_id, spec).await?;
        let blocked = blocked::host_of(&app.store, link.id).await?;
        let groups = |list: Option<Vec<(i64, String)>>| {
            let list = list.unwrap_or_default().into_iter();
            list.map(Group::from).collect::<Vec<Group>>()
        };
        let shorturl = link.short_url();
        let content = link.content;
        let extras = content.extras;
        let [utm_source, utm_medium, utm_campaign, utm_term, utm_content] = content.utm;
        let parameters = content.parameters.iter();
        Ok(Self {
            id: link.id,
            alias: link.slug.to_string(),
            shorturl,
            longurl: content.destination,
            title: content.title,
            description: content.description,
            kind: spec.surface().to_text(),
            pixels: spec.pixels().to_vec(),
            location: location(&extras),
            device: extras.devices.into_iter().collect(),
            language: extras.languages.into_iter().collect(),
            expiry: content.expires_at.map(date::format),
            expired_url: content.expired_url,
            expired_text: extras.expired_text,
            starts_at: content.starts_at.map(date::format),
            status: if content.is_private {
                "private"
            } else {
                "public"
            },
            redirect: content.status.code(),
            disabled: content.is_disabled,
            blocked,
            leads_back: extras.leads_back,
            password: extras.password.is_some(),
            max_clicks: extras.max_clicks,
            max_clicks_url: extras.max_clicks_url,
            max_clicks_text: extras.max_clicks_text,
            rules: json!(extras.rules),
            variants: json!(extras.variants),
            variants_end: extras.variants_end.map(date::format),
            variants_winner: extras.winner,
            parameters: parameters
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect(),
            query_passthrough: extras.pass_query,
            utm_source,
            utm_medium,
            utm_campaign,
            utm_term,
            utm_content,
            metatitle: extras.meta_title,
            metadescription: extras.meta_description,
            metaimage: extras.meta_image,
            deeplink: json!({"auto": extras.app_auto, "apple": extras.app_apple, "google": extras.app_google}),
            channel: groups(channel),
            campaign: campaign.map(Group::from),
            folder: folder.map(Group::from),
            tags: groups(tags),
            imported_clicks: link.imported_clicks,
            date: date::format(link.created_at),
        })
    }
}

/// By English names in lower case, as the published samples have them.
fn location(extras: &Extras) -> BTreeMap<String, String> {
    let named = |(code, url): &(String, String)| (country::name(code).to_lowercase(), url.clone());
    extras.countries.iter().map(named).collect()
}
