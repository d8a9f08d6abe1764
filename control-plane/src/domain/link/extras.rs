//! What an owner may set of a link beyond a redirect: gates, rules, targets by country, device and language, variants, app
//! links, a preview. Stored as one JSON text beside the link's other columns, since it is always read and written whole
//! and never searched; empty for a plain link.

use schemas::link::plan::{MAX_VARIANTS, MAX_WEIGHT};
use serde::{Deserialize, Serialize};

use crate::domain::destination::Destination;
use crate::domain::field::{self, FieldError};
use crate::domain::geolink::{self, GeoLink};
use crate::domain::page::{PageSpec, Surface};
use crate::domain::qr::look::ImageLook;
use crate::domain::rule::{self, Rule};

/// Longest title of a preview, in characters.
pub const MAX_META_TITLE: usize = 255;
/// Longest description of a preview, in characters: four bytes each fit the plan's limit.
pub const MAX_META_DESCRIPTION: usize = 500;
/// Longest name of a variant, in characters.
pub const MAX_VARIANT_NAME: usize = 100;
/// Longest text shown for an expired or used-up link, in characters.
pub const MAX_NOTE: usize = 2000;
/// Longest heading shown for an expired link, in characters.
pub const MAX_NOTE_TITLE: usize = 255;
/// Longest metadata, in bytes of JSON: what belongs to a link, not a store for files.
pub const MAX_METADATA: usize = 16 << 10;
/// Most targets by country, by device or by language.
pub const MAX_TARGETS: usize = 100;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Extras {
    /// A link's type, in the form of [`Surface::to_text`]; empty: direct.
    pub surface: String,
    /// The destination does not let itself be framed: the surface is shown without its frame.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub refuses_frame: bool,
    /// The destination redirects to a short domain of ours: visitors are led nowhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub leads_back: bool,
    /// Ids of its pixels. Those that are gone are left out wherever they would show.
    pub pixels: Vec<i64>,
    /// What visitors read once it has expired; empty: our words.
    pub expired_text: String,
    /// The heading above it; empty: our words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expired_title: String,
    /// Milliseconds since 1970 from which the link is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_at: Option<i64>,
    /// The link is deleted when it expires.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delete_after_expiration: bool,
    /// Asked for before anything is shown.
    pub password: Option<Password>,
    /// Passwords there have been: the next one's version is above.
    pub password_version: u32,
    /// Visits let through; `None`: any number.
    pub max_clicks: Option<u64>,
    /// Where visitors go beyond; empty: what an expired link shows.
    pub max_clicks_url: String,
    /// What they read, where there is no such URL; empty: what an expired link shows.
    pub max_clicks_text: String,
    /// ISO 3166 code and URL, asked after the rules.
    pub countries: Vec<(String, String)>,
    /// A name of [`device_conditions`] and URL, asked after the countries.
    pub devices: Vec<(String, String)>,
    /// Tag and URL, asked after the devices.
    pub languages: Vec<(String, String)>,
    /// Asked first.
    pub rules: Vec<Rule>,
    /// Asked after everything else that a rule can be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub geolinks: Vec<GeoLink>,
    /// Weighted targets for whom no rule decided on.
    pub variants: Vec<Variant>,
    /// Milliseconds since 1970 from which `winner` gets every visit; `None`: from now on if there is one.
    pub variants_end: Option<i64>,
    /// 1-based place of a variant; 0: none.
    pub winner: u16,
    /// The visitor's query goes on to the destination.
    pub pass_query: bool,
    /// Shown by unfurlers; all empty: no preview of its own.
    pub meta_title: String,
    /// See `meta_title`.
    pub meta_description: String,
    /// URL of an image.
    pub meta_image: String,
    /// Open the app that handles the destination.
    pub app_auto: bool,
    /// Opens on Apple's phones and tablets; empty: nothing else.
    pub app_apple: String,
    /// Opens on Android; empty: nothing else.
    pub app_google: String,
    /// How the image of its own QR code looks, where its owner has one shown with the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qrcode: Option<ImageLook>,
    /// A JSON object for programs of the owner's, as it was sent; empty: none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
}

/// A link's password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    /// Rises with each change: cookies of older ones no longer open.
    pub version: u32,
    /// argon2id hash in PHC form.
    pub phc: String,
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Password")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// A weighted target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// For its owner.
    #[serde(default)]
    pub name: String,
    /// Its share, 0 to [`MAX_WEIGHT`].
    pub weight: u32,
    /// Where it leads, as its owner gave it.
    pub url: String,
}

/// A change to [`Extras`]; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct ExtrasEdit {
    /// See [`Extras`].
    pub surface: Option<Surface>,
    /// See [`Extras`].
    pub pixels: Option<Vec<i64>>,
    /// See [`Extras`].
    pub expired_text: Option<String>,
    /// See [`Extras`].
    pub expired_title: Option<String>,
    /// See [`Extras`]; `Some(None)` clears it.
    pub delete_at: Option<Option<i64>>,
    /// See [`Extras`].
    pub delete_after_expiration: Option<bool>,
    /// See [`Extras`].
    pub geolinks: Option<Vec<GeoLink>>,
    /// See [`Extras`]; `Some(None)` clears it.
    pub qrcode: Option<Option<ImageLook>>,
    /// See [`Extras`].
    pub max_clicks_text: Option<String>,
    /// The hash of a new password; `Some(None)`: no password.
    pub password_phc: Option<Option<String>>,
    /// See [`Extras`].
    pub max_clicks: Option<Option<u64>>,
    /// See [`Extras`].
    pub max_clicks_url: Option<String>,
    /// See [`Extras`].
    pub countries: Option<Vec<(String, String)>>,
    /// See [`Extras`].
    pub devices: Option<Vec<(String, String)>>,
    /// See [`Extras`].
    pub languages: Option<Vec<(String, String)>>,
    /// See [`Extras`].
    pub rules: Option<Vec<Rule>>,
    /// See [`Extras`].
    pub variants: Option<Vec<Variant>>,
    /// See [`Extras`].
    pub variants_end: Option<Option<i64>>,
    /// See [`Extras`].
    pub winner: Option<u16>,
    /// See [`Extras`].
    pub pass_query: Option<bool>,
    /// See [`Extras`].
    pub meta_title: Option<String>,
    /// See [`Extras`].
    pub meta_description: Option<String>,
    /// See [`Extras`].
    pub meta_image: Option<String>,
    /// See [`Extras`].
    pub app_auto: Option<bool>,
    /// See [`Extras`].
    pub app_apple: Option<String>,
    /// See [`Extras`].
    pub app_google: Option<String>,
    /// See [`Extras`].
    pub metadata: Option<String>,
    /// Every http(s) URL in the above with the name of its field, to be checked for loops.
    pub urls: Vec<(String, Destination)>,
}

impl ExtrasEdit {
    /// What it newly asks for of other objects, to be checked; `None`: nothing.
    ///
    /// # Errors
    /// Too many pixels.
    pub fn page_spec(&self) -> Result<Option<PageSpec>, FieldError> {
        if self.surface.is_none() && self.pixels.is_none() {
            return Ok(None);
        }
        let pixels = self.pixels.as_deref().unwrap_or_default();
        PageSpec::new(self.surface.unwrap_or_default(), pixels).map(Some)
    }
}

impl Extras {
    /// What its page is to be made of, as its owner asked.
    pub fn wanted_page(&self) -> PageSpec {
        let surface = Surface::parse("type", &self.surface).unwrap_or_default();
        // Checked when it was set.
        PageSpec::new(surface, &self.pixels).unwrap_or_default()
    }

    /// What its page is made of: a destination that does not let itself be framed is redirected to.
    pub fn page_spec(&self) -> PageSpec {
        let wanted = self.wanted_page();
        if self.refuses_frame {
            wanted.without_frame()
        } else {
            wanted
        }
    }

    /// As the database holds it; empty for a plain link.
    pub fn to_json(&self) -> String {
        if *self == Self::default() {
            return String::new();
        }
        serde_json::json!(self).to_string()
    }

    /// Reads [`Self::to_json`].
    ///
    /// # Errors
    /// No version of ours wrote this.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text)
    }

    /// Applies a change.
    ///
    /// # Errors
    /// A field beyond its limit, or fields that contradict each other.
    pub fn apply(&mut self, edit: &ExtrasEdit) -> Result<(), FieldError> {
        if let Some(surface) = edit.surface {
            self.surface = match surface {
                Surface::Direct => String::new(),
                other => other.to_text(),
            };
        }
        set(&mut self.pixels, &edit.pixels);
        PageSpec::new(Surface::Direct, &self.pixels)?;
        for (name, value, new) in [
            ("expired_text", &mut self.expired_text, &edit.expired_text),
            (
                "max_clicks_text",
                &mut self.max_clicks_text,
                &edit.max_clicks_text,
            ),
        ] {
            if let Some(new) = new {
                *value = field::text(name, new, MAX_NOTE)?;
            }
        }
        if let Some(title) = &edit.expired_title {
            self.expired_title = field::line("expired_title", title, MAX_NOTE_TITLE)?;
        }
        self.delete_at = edit.delete_at.unwrap_or(self.delete_at);
        self.delete_after_expiration = edit
            .delete_after_expiration
            .unwrap_or(self.delete_after_expiration);
        set(&mut self.qrcode, &edit.qrcode);
        if let Some(phc) = &edit.password_phc {
            self.password_version = self
                .password_version
                .saturating_add(u32::from(phc.is_some()));
            self.password = phc.clone().map(|phc| Password {
                version: self.password_version,
                phc,
            });
        }
        self.max_clicks = edit.max_clicks.unwrap_or(self.max_clicks);
        set(&mut self.max_clicks_url, &edit.max_clicks_url);
        set(&mut self.countries, &edit.countries);
        set(&mut self.devices, &edit.devices);
        set(&mut self.languages, &edit.languages);
        for (name, list) in [
            ("geotarget", &self.countries),
            ("devicetarget", &self.devices),
            ("languagetarget", &self.languages),
        ] {
            if list.len() > MAX_TARGETS {
                return Err(FieldError::new(
                    name,
                    format!(
                        "must hold at most {MAX_TARGETS} targets, not {}",
                        list.len()
                    ),
                ));
            }
        }
        set(&mut self.rules, &edit.rules);
        let targets = self.countries.len() + self.devices.len() + self.languages.len();
        rule::check_count("rules", self.rules.len() + targets)?;
        set(&mut self.geolinks, &edit.geolinks);
        let branches: usize = self.geolinks.iter().map(GeoLink::branches).sum();
        rule::check_count(geolink::FIELD, self.rules.len() + targets + branches)?;
        set(&mut self.variants, &edit.variants);
        self.variants_end = edit.variants_end.unwrap_or(self.variants_end);
        self.winner = edit.winner.unwrap_or(self.winner);
        self.check_variants()?;
        self.pass_query = edit.pass_query.unwrap_or(self.pass_query);
        if let Some(text) = &edit.meta_title {
            self.meta_title = field::line("metatitle", text, MAX_META_TITLE)?;
        }
        if let Some(text) = &edit.meta_description {
            self.meta_description = field::text("metadescription", text, MAX_META_DESCRIPTION)?;
        }
        set(&mut self.meta_image, &edit.meta_image);
        self.app_auto = edit.app_auto.unwrap_or(self.app_auto);
        set(&mut self.app_apple, &edit.app_apple);
        set(&mut self.app_google, &edit.app_google);
        set(&mut self.metadata, &edit.metadata);
        if self.metadata.len() > MAX_METADATA {
            let problem = format!("must be at most {MAX_METADATA} bytes long");
            return Err(FieldError::new("metadata", problem));
        }
        Ok(())
    }

    fn check_variants(&mut self) -> Result<(), FieldError> {
        if self.variants.is_empty() {
            (self.winner, self.variants_end) = (0, None);
            return Ok(());
        }
        if self.variants.len() > MAX_VARIANTS {
            return Err(FieldError::new(
                "variants",
                format!(
                    "must hold at most {MAX_VARIANTS}, not {}",
                    self.variants.len()
                ),
            ));
        }
        for (place, variant) in self.variants.iter_mut().enumerate() {
            let at = |part: &str| format!("variants[{place}].{part}");
            variant.name = field::line(&at("name"), &variant.name, MAX_VARIANT_NAME)?;
            if variant.weight > MAX_WEIGHT {
                return Err(FieldError::new(
                    at("weight"),
                    format!("must be a whole number from 0 to {MAX_WEIGHT}"),
                ));
            }
        }
        if self.variants.iter().all(|v| v.weight == 0) {
            return Err(FieldError::new(
                "variants",
                "must have one with a weight above 0",
            ));
        }
        if usize::from(self.winner) > self.variants.len() {
            return Err(FieldError::new(
                "variants_winner",
                format!(
                    "must be the place of a variant, 1 to {}, or 0 for none",
                    self.variants.len()
                ),
            ));
        }
        Ok(())
    }
}

fn set<T: Clone>(value: &mut T, new: &Option<T>) {
    if let Some(new) = new {
        value.clone_from(new);
    }
}
