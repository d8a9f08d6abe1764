//! A link: what its owner set, and the entry that proxies hold.

pub mod extras;
pub mod resolve;
mod urls;

use schemas::link::plan::MAX_PLAN_BYTES;
use schemas::link::{Entry, Status};
use schemas::slug::Slug;

pub use self::extras::{Extras, ExtrasEdit};
pub use self::resolve::Pages;
use super::destination::{self, Destination, UTM};
use super::field::{self, FieldError};
use super::plan::Feature;

/// Longest title, in characters.
pub const MAX_TITLE: usize = 255;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 2000;
/// Longest UTM value and longest value of an extra parameter, in characters.
pub const MAX_VALUE: usize = 1024;
/// Most extra parameters of a link.
pub const MAX_PARAMETERS: usize = 50;

/// What an owner sets of a link, whatever it is called in a dialect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// The URL as given, in its one form.
    pub destination: String,
    /// For lists.
    pub title: String,
    /// For lists.
    pub description: String,
    /// Of the redirect.
    pub status: Status,
    /// Left out of public lists. Visitors who have the link are redirected all the same.
    pub is_private: bool,
    /// Answers nobody.
    pub is_disabled: bool,
    /// Milliseconds since 1970 from which it answers; `None`: always.
    pub starts_at: Option<i64>,
    /// Milliseconds since 1970 from which it no longer answers; `None`: never.
    pub expires_at: Option<i64>,
    /// Where visitors go once it has expired; empty: a page of ours.
    pub expired_url: String,
    /// Values of [`UTM`]; empty: not set.
    pub utm: [String; 5],
    /// Put into the destination's query.
    pub parameters: Vec<(String, String)>,
    /// The slug was drawn, and not chosen.
    pub is_drawn: bool,
    /// Everything beyond a redirect.
    pub extras: Extras,
}

/// A change to [`Content`]; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// See [`Content`].
    pub destination: Option<Destination>,
    /// See [`Content`].
    pub title: Option<String>,
    /// See [`Content`].
    pub description: Option<String>,
    /// See [`Content`].
    pub status: Option<Status>,
    /// See [`Content`].
    pub is_private: Option<bool>,
    /// See [`Content`].
    pub is_disabled: Option<bool>,
    /// See [`Content`]; `Some(None)` clears it.
    pub starts_at: Option<Option<i64>>,
    /// See [`Content`]; `Some(None)` clears it.
    pub expires_at: Option<Option<i64>>,
    /// See [`Content`]; `Some(None)` clears it.
    pub expired_url: Option<Option<Destination>>,
    /// See [`Content`].
    pub utm: [Option<String>; 5],
    /// See [`Content`].
    pub parameters: Option<Vec<(String, String)>>,
    /// See [`Content`].
    pub extras: ExtrasEdit,
    /// What its destination said.
    pub found: Option<Found>,
}

/// What a look at a destination found; of no account once the link leads elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// What was looked at, as [`Content::destination`].
    pub destination: String,
    /// The page's title, taken where the link has none.
    pub title: Option<String>,
    /// It does not let itself be framed.
    pub refuses_frame: bool,
    /// It redirects to a short domain of ours.
    pub leads_back: bool,
}

/// Where an owner files a link; `None` leaves things as they are. Kept in the tables of those groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups {
    /// Ids of all its channels.
    pub channels: Option<Vec<i64>>,
    /// Id of its campaign; `Some(None)`: none.
    pub campaign: Option<Option<i64>>,
    /// Id of its folder; `Some(None)`: none.
    pub folder: Option<Option<i64>>,
    /// All its tags.
    pub tags: Option<Vec<TagRef>>,
}

impl Groups {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A tag as a caller names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagRef {
    /// By id.
    Id(i64),
    /// By name; made when there is none.
    Name(String),
}

impl Edit {
    /// The URLs in it with the names of their fields, to be checked for loops.
    pub fn urls(&self) -> impl Iterator<Item = (&str, &Destination)> {
        let expired = self.expired_url.as_ref().and_then(Option::as_ref);
        let url = self.destination.as_ref().map(|d| ("url", d));
        let extras = self.extras.urls.iter().map(|(name, d)| (name.as_str(), d));
        url.into_iter()
            .chain(expired.map(|d| ("expired_url", d)))
            .chain(extras)
    }
}

impl Content {
    /// What of it a plan may leave out.
    pub fn features(&self) -> Vec<Feature> {
        let extras = &self.extras;
        let targets = [&extras.countries, &extras.devices, &extras.languages];
        [
            (Feature::Password, extras.password.is_some()),
            (Feature::Expiry, self.expires_at.is_some()),
            (Feature::ClickLimit, extras.max_clicks.is_some()),
            (
                Feature::Rules,
                !extras.rules.is_empty()
                    || !extras.geolinks.is_empty()
                    || targets.iter().any(|list| !list.is_empty()),
            ),
            (Feature::Variants, !extras.variants.is_empty()),
            (
                Feature::DeepLink,
                extras.app_auto || !extras.app_apple.is_empty() || !extras.app_google.is_empty(),
            ),
        ]
        .into_iter()
        .filter(|(_, is_used)| *is_used)
        .map(|(feature, _)| feature)
        .collect()
    }

    /// The instant from which it is not there any more, milliseconds since 1970.
    pub fn deletes_at(&self) -> Option<i64> {
        let with_its_time = self
            .expires_at
            .filter(|_| self.extras.delete_after_expiration);
        [self.extras.delete_at, with_its_time]
            .into_iter()
            .flatten()
            .min()
    }

    /// Applies a change.
    ///
    /// # Errors
    /// A field beyond its limit; nothing is changed then that is kept.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), FieldError> {
        if let Some(url) = &edit.destination {
            if self.destination != url.as_str() {
                self.extras.refuses_frame = false;
                self.extras.leads_back = false;
            }
            self.destination = url.as_str().to_owned();
        }
        if let Some(found) = &edit.found
            && found.destination == self.destination
        {
            self.extras.refuses_frame = found.refuses_frame;
            self.extras.leads_back = found.leads_back;
            if let (Some(title), "") = (&found.title, &*self.title) {
                self.title = field::text("title", title, MAX_TITLE)?;
            }
        }
        if let Some(title) = &edit.title {
            self.title = field::text("title", title, MAX_TITLE)?;
        }
        if let Some(description) = &edit.description {
            self.description = field::text("description", description, MAX_DESCRIPTION)?;
        }
        self.status = edit.status.unwrap_or(self.status);
        self.is_private = edit.is_private.unwrap_or(self.is_private);
        self.is_disabled = edit.is_disabled.unwrap_or(self.is_disabled);
        self.starts_at = edit.starts_at.unwrap_or(self.starts_at);
        self.expires_at = edit.expires_at.unwrap_or(self.expires_at);
        if let Some(url) = &edit.expired_url {
            self.expired_url = url
                .as_ref()
                .map(|u| u.as_str().to_owned())
                .unwrap_or_default();
        }
        for ((value, name), new) in self.utm.iter_mut().zip(UTM).zip(&edit.utm) {
            if let Some(new) = new {
                *value = field::line(name, new, MAX_VALUE)?;
            }
        }
        if let Some(parameters) = &edit.parameters {
            self.parameters = check_parameters(parameters)?;
        }
        self.extras.apply(&edit.extras)?;
        self.finished().map(|_| ())
    }

    /// The URL visitors are sent to. A UTM field wins over an extra parameter of the same name.
    ///
    /// # Errors
    /// Too long.
    pub fn finished(&self) -> Result<String, FieldError> {
        self.finish_url("url", &self.destination)
    }

    /// As [`Self::finished`], for another URL of the link, in `field`.
    fn finish_url(&self, field: &str, url: &str) -> Result<String, FieldError> {
        let mut set: Vec<(&str, &str)> = Vec::new();
        let utm = UTM
            .iter()
            .zip(&self.utm)
            .filter(|(_, value)| !value.is_empty());
        let utm: Vec<(&str, &str)> = utm.map(|(name, value)| (*name, value.as_str())).collect();
        for (name, value) in &self.parameters {
            if !utm.iter().any(|(utm, _)| utm == name) {
                set.push((name, value));
            }
        }
        set.extend(utm);
        destination::finish(field, url, &set)
    }

    /// Lower-case text for look-up.
    pub fn search_text(&self, slug: &Slug) -> String {
        format!("{slug}\n{}\n{}", self.destination, self.title).to_lowercase()
    }

    /// The entry proxies hold.
    ///
    /// # Errors
    /// A field beyond a limit of the entry.
    pub fn entry(&self, key: Key<'_>, pages: Pages) -> Result<Vec<u8>, FieldError> {
        let finished = self.finished()?;
        let plan = self.plan(pages)?.encode().map_err(|e| {
            FieldError::new(
                "rules",
                format!("and the other targets of the link cannot be served: {e}; all together may take {MAX_PLAN_BYTES} bytes"),
            )
        })?;
        let entry = Entry {
            domain: key.domain,
            slug: key.slug.as_str().as_bytes(),
            destination: finished.as_bytes(),
            link: key.link,
            workspace: key.workspace,
            status: self.status,
            disabled: self.is_disabled || self.extras.leads_back,
            utm: destination::has_utm(&finished),
            starts_at_ms: self.starts_at.unwrap_or(i64::MIN),
            expires_at_ms: self.expires_at.unwrap_or(i64::MAX),
            expired_url: self.expired_url.as_bytes(),
            plan: &plan,
        };
        let mut bytes =
            Vec::with_capacity(finished.len() + self.expired_url.len() + plan.len() + 64);
        entry
            .encode(&mut bytes)
            .map_err(|e| FieldError::new("url", format!("cannot be served: {e}")))?;
        Ok(bytes)
    }
}

/// What names a link.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// Id of its domain.
    pub domain: u32,
    /// Its slug.
    pub slug: &'a Slug,
    /// Its id.
    pub link: u64,
    /// Id of its workspace.
    pub workspace: u64,
}

fn check_parameters(parameters: &[(String, String)]) -> Result<Vec<(String, String)>, FieldError> {
    let name_of = "parameters";
    if parameters.len() > MAX_PARAMETERS {
        return Err(FieldError::new(
            name_of,
            format!("must be at most {MAX_PARAMETERS}"),
        ));
    }
    let mut checked: Vec<(String, String)> = Vec::new();
    for (name, value) in parameters {
        let name = field::line(name_of, name, MAX_VALUE)?;
        let value = field::line(name_of, value, MAX_VALUE)?;
        if name.is_empty() {
            return Err(FieldError::new(name_of, "must each have a name"));
        }
        // The last of a name wins, as it would when set one after the other.
        checked.retain(|(other, _)| *other != name);
        checked.push((name, value));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(url: &str) -> Edit {
        Edit {
            destination: Some(Destination::parse("url", url).expect("legal")),
            ..Edit::default()
        }
    }

    #[test]
    fn utm_and_parameters_end_up_in_the_entry() {
        let mut content = Content::default();
        let mut change = edit("https://e.test/?utm_source=old");
        change.utm[0] = Some("news letter".to_owned());
        change.parameters = Some(vec![
            ("ref".to_owned(), "1".to_owned()),
            ("utm_source".to_owned(), "no".to_owned()),
        ]);
        content.apply(&change).expect("legal");
        let slug = Slug::parse("spring-sale").expect("legal");
        let key = Key {
            domain: 1,
            slug: &slug,
            link: 7,
            workspace: 3,
        };
        let bytes = content.entry(key, Pages::default()).expect("fits");
        let entry = Entry::parse(&bytes).expect("own entry");
        assert_eq!(
            entry.destination,
            b"https://e.test/?ref=1&utm_source=news%20letter"
        );
        assert!(entry.utm);
        assert_eq!(content.destination, "https://e.test/?utm_source=old");
        assert!(entry.plan.is_empty());
        assert_eq!(content.entry(key, Pages::default()), Ok(bytes.clone()));
    }

    #[test]
    fn a_link_that_leads_back_is_shut_until_it_leads_elsewhere() {
        let mut content = Content::default();
        content.apply(&edit("https://e.test/")).expect("legal");
        let found = |leads_back| Edit {
            found: Some(Found {
                destination: "https://e.test/".to_owned(),
                leads_back,
                ..Found::default()
            }),
            ..Edit::default()
        };
        let slug = Slug::parse("s").expect("legal");
        let key = Key {
            domain: 1,
            slug: &slug,
            link: 7,
            workspace: 3,
        };
        let is_shut = |content: &Content| {
            let bytes = content.entry(key, Pages::default()).expect("fits");
            Entry::parse(&bytes).expect("own entry").disabled
        };
        content.apply(&found(true)).expect("legal");
        assert!(is_shut(&content) && !content.is_disabled);
        content.apply(&found(false)).expect("legal");
        assert!(!is_shut(&content));
        content.apply(&found(true)).expect("legal");
        content.apply(&edit("https://other.test/")).expect("legal");
        assert!(!is_shut(&content));
        // Found too late: it leads elsewhere by now.
        content.apply(&found(true)).expect("legal");
        assert!(!is_shut(&content));
    }

    #[test]
    fn a_change_that_makes_the_url_too_long_is_refused() {
        let mut content = Content::default();
        content
            .apply(&edit(&format!("https://e.test/{}", "a".repeat(8000))))
            .expect("legal");
        let mut longer = Edit::default();
        longer.utm[0] = Some("x".repeat(500));
        assert_eq!(content.apply(&longer).expect_err("too long").field, "url");
    }
}
