//! Fields that file a link: channel, campaign, folder, tags.

use serde_json::Value;

use super::LinkRequest;
use super::value::{first, id, ids, is_blank, list, text};
use crate::domain::field::FieldError;
use crate::domain::link::{Groups, TagRef};
use crate::domain::tag;

/// Most channels of a link.
const MAX_CHANNELS: usize = 50;

/// Reads them.
///
/// # Errors
/// The first that breaks a rule.
pub(super) fn read(body: &LinkRequest) -> Result<Groups, FieldError> {
    let mut groups = Groups::default();
    if let Some((name, value)) = first(&[("channel", &body.channel)]) {
        groups.channels = Some(ids(name, value, MAX_CHANNELS)?);
    }
    if let Some((name, value)) = first(&[("campaign", &body.campaign)]) {
        groups.campaign = Some(id(name, value)?);
    }
    if let Some((name, value)) = first(&[("folder", &body.folder)]) {
        groups.folder = Some(id(name, value)?);
    }
    if let Some((name, value)) = first(&[("tags", &body.tags)]) {
        groups.tags = Some(tags(name, value)?);
    }
    Ok(groups)
}

/// Ids or names, in a list or in a text with commas. What is a number is an id.
fn tags(field: &str, value: &Value) -> Result<Vec<TagRef>, FieldError> {
    let parts: Vec<String> = match value {
        Value::String(all) => all.split(',').map(str::to_owned).collect(),
        _ => {
            let texts = list(value).into_iter().map(|v| text(field, v));
            texts.collect::<Result<_, _>>()?
        }
    };
    let mut found: Vec<TagRef> = Vec::new();
    for part in parts.iter().map(|p| p.trim()).filter(|p| !p.is_empty()) {
        let one = match part.parse::<i64>() {
            Ok(_) => id(field, &Value::from(part))?.map(TagRef::Id),
            Err(_) => Some(TagRef::Name(tag::name(field, part)?)),
        };
        if let Some(one) = one
            && !found.contains(&one)
        {
            found.push(one);
        }
    }
    if found.len() > tag::MAX_TAGS_OF_LINK {
        let problem = format!("must hold at most {}", tag::MAX_TAGS_OF_LINK);
        return Err(FieldError::new(field, problem));
    }
    debug_assert!(!is_blank(value) || found.is_empty(), "blank is none");
    Ok(found)
}
