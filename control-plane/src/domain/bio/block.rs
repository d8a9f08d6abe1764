//! A block: one of the types, read from what a caller sent and written for the database.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::MAX_PAYLOAD_BYTES;
use super::blocks::{contact, forms, links, media, offers, social, texts, times};
use crate::domain::field::FieldError;
use crate::domain::rule::shown;

/// A type as it is published.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Its name in the API.
    pub name: &'static str,
    /// Name of its schema in the OpenAPI document.
    pub schema: String,
    /// Fields that must be there.
    pub required: Vec<String>,
    /// Fields that may be there.
    pub optional: Vec<String>,
}

macro_rules! blocks {
    ($($variant:ident($type:ty) = $name:literal,)*) => {
        /// A block of a page.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Block {
            $(#[doc = concat!("`", $name, "`")] $variant(Box<$type>),)*
        }

        impl Block {
            /// Names of all types.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Name of its type.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            fn from_value(name: &str, value: Value) -> Result<Self, FieldError> {
                match name {
                    $($name => read(value).map(Box::new).map(Self::$variant),)*
                    other => Err(unknown(other)),
                }
            }

            fn to_value(&self) -> Value {
                match self { $(Self::$variant(block) => serde_json::json!(block),)* }
            }

            /// All types, as they are published.
            pub fn kinds() -> Vec<Kind> {
                vec![$(kind($name, <$type as ToSchema>::name().into_owned(), &<$type as PartialSchema>::schema())),*]
            }

            /// Schemas of all types and of what they are made of, by name.
            pub fn schemas() -> Vec<(String, RefOr<Schema>)> {
                let mut all = Vec::new();
                $(
                    all.push((<$type as ToSchema>::name().into_owned(), <$type as PartialSchema>::schema()));
                    <$type as ToSchema>::schemas(&mut all);
                )*
                all
            }
        }
    };
}

blocks! {
    Link(links::Link) = "link",
    FeaturedLink(links::FeaturedLink) = "featured-link",
    Heading(texts::Heading) = "heading",
    Text(texts::Paragraphs) = "text",
    Image(media::Image) = "image",
    Gallery(media::Gallery) = "gallery",
    Carousel(media::Carousel) = "carousel",
    Video(media::Video) = "video",
    Audio(media::Audio) = "audio",
    Product(offers::Product) = "product",
    ProductList(offers::ProductList) = "product-list",
    Calendar(times::Calendar) = "calendar",
    Event(times::Event) = "event",
    Countdown(times::Countdown) = "countdown",
    OpeningHours(times::OpeningHours) = "opening-hours",
    Form(forms::Form) = "form",
    ContactForm(forms::ContactForm) = "contact-form",
    Newsletter(forms::Newsletter) = "newsletter",
    Poll(forms::Poll) = "poll",
    Email(contact::Email) = "email",
    Phone(contact::Phone) = "phone",
    Sms(contact::Sms) = "sms",
    Whatsapp(contact::Whatsapp) = "whatsapp",
    Telegram(contact::Telegram) = "telegram",
    Messenger(contact::Messenger) = "messenger",
    Vcard(contact::Vcard) = "vcard",
    Map(contact::Map) = "map",
    Place(contact::Place) = "address",
    Faq(texts::Faq) = "faq",
    List(texts::List) = "list",
    Quote(texts::Quote) = "quote",
    Testimonial(texts::Testimonial) = "testimonial",
    Rating(texts::Rating) = "rating",
    Embed(links::Embed) = "embed",
    Rss(links::Rss) = "rss",
    SocialLinks(links::SocialLinks) = "social-links",
    Youtube(social::Youtube) = "youtube",
    Vimeo(social::Vimeo) = "vimeo",
    Tiktok(social::Tiktok) = "tiktok",
    Twitch(social::Twitch) = "twitch",
    Instagram(social::Instagram) = "instagram",
    Facebook(social::Facebook) = "facebook",
    X(social::X) = "x",
    Threads(social::Threads) = "threads",
    Linkedin(social::Linkedin) = "linkedin",
    Pinterest(social::Pinterest) = "pinterest",
    Reddit(social::Reddit) = "reddit",
    Snapchat(social::Snapchat) = "snapchat",
    Spotify(social::Spotify) = "spotify",
    AppleMusic(social::AppleMusic) = "apple-music",
    Soundcloud(social::Soundcloud) = "soundcloud",
    Podcast(social::Podcast) = "podcast",
    File(links::File) = "file",
    Pdf(links::Pdf) = "pdf",
    Coupon(offers::Coupon) = "coupon",
    Payment(offers::Payment) = "payment",
    Donation(offers::Donation) = "donation",
    Divider(texts::Divider) = "divider",
    Spacer(texts::Spacer) = "spacer",
    Avatar(texts::Avatar) = "avatar",
    Qr(links::Qr) = "qr",
}

impl Block {
    /// Reads a block of this type from the fields of a call; those it does not know are ignored.
    ///
    /// # Errors
    /// An unknown type, or the first field that breaks a rule.
    pub fn parse(name: &str, fields: &Map<String, Value>) -> Result<Self, FieldError> {
        let name = name.trim().to_lowercase();
        let block = Self::from_value(&name, Value::Object(fields.clone()))?;
        block.check()?;
        let bytes = block.to_json().len();
        if bytes > MAX_PAYLOAD_BYTES {
            let problem =
                format!("must take at most {MAX_PAYLOAD_BYTES} bytes in all, not {bytes}");
            return Err(FieldError::new("block", problem));
        }
        Ok(block)
    }

    /// Its fields, as [`Self::parse`] reads them.
    pub fn fields(&self) -> Map<String, Value> {
        match self.to_value() {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// As the database holds it.
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    /// Reads [`Self::to_json`].
    ///
    /// # Errors
    /// No version of ours wrote this.
    pub fn from_json(name: &str, json: &str) -> Result<Self, FieldError> {
        let value = serde_json::from_str(json)
            .map_err(|e| FieldError::new("payload", format!("is no JSON: {e}")))?;
        Self::from_value(name, value)
    }

    /// The card of a service, if it is one.
    pub fn card(&self) -> Option<social::Card<'_>> {
        Some(match self {
            Self::Youtube(block) => block.card(),
            Self::Vimeo(block) => block.card(),
            Self::Tiktok(block) => block.card(),
            Self::Twitch(block) => block.card(),
            Self::Instagram(block) => block.card(),
            Self::Facebook(block) => block.card(),
            Self::X(block) => block.card(),
            Self::Threads(block) => block.card(),
            Self::Linkedin(block) => block.card(),
            Self::Pinterest(block) => block.card(),
            Self::Reddit(block) => block.card(),
            Self::Snapchat(block) => block.card(),
            Self::Spotify(block) => block.card(),
            Self::AppleMusic(block) => block.card(),
            Self::Soundcloud(block) => block.card(),
            Self::Podcast(block) => block.card(),
            _ => return None,
        })
    }

    /// A payload of this type with all its fields, as it is published; `Null` for an unknown type.
    pub fn example(name: &str) -> Value {
        EXAMPLES.get(name).cloned().unwrap_or_default()
    }

    /// Rules between fields.
    fn check(&self) -> Result<(), FieldError> {
        if let Some(card) = self.card() {
            return card
                .check()
                .map_err(|problem| FieldError::new("url", problem));
        }
        match self {
            Self::Poll(poll) => forms::check_poll(poll),
            Self::Form(form) => forms::check_form(form),
            Self::OpeningHours(hours) => times::check_hours(hours),
            Self::Event(event) => times::check_event(event),
            Self::Map(map) => contact::check_map(map),
            _ => Ok(()),
        }
    }
}

static EXAMPLES: LazyLock<Map<String, Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("examples.json")).unwrap_or_default());

/// Reads a payload; a field that is not there is named.
fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        let missing = problem
            .strip_prefix("missing field `")
            .and_then(|rest| rest.split('`').next());
        match missing {
            Some(name) if path == "." || path.is_empty() => FieldError::new(name, "is required"),
            Some(name) => {
                // The path of a missing field may or may not end in its name.
                let base = path.strip_suffix(name).unwrap_or(&path);
                let base = base.strip_suffix('.').unwrap_or(base);
                FieldError::new(format!("{base}.{name}"), "is required")
            }
            None if problem.starts_with("must") => FieldError::new(path, problem),
            None => FieldError::new(path, format!("is wrong: {problem}")),
        }
    })
}

fn unknown(name: &str) -> FieldError {
    let names = Block::NAMES.join(", ");
    FieldError::new(
        "type",
        format!("must be one of {names}, not '{}'", shown(name)),
    )
}

fn kind(name: &'static str, schema_name: String, schema: &RefOr<Schema>) -> Kind {
    let RefOr::T(Schema::Object(object)) = schema else {
        return Kind {
            name,
            schema: schema_name,
            required: Vec::new(),
            optional: Vec::new(),
        };
    };
    let optional = object.properties.keys();
    let optional = optional.filter(|field| !object.required.contains(field));
    Kind {
        name,
        schema: schema_name,
        required: object.required.clone(),
        optional: optional.cloned().collect(),
    }
}

#[cfg(test)]
mod tests;
