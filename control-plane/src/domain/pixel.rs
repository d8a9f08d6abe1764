//! Pixels: code of advertising and analytics services that runs before a visitor goes on.

use super::field::{self, FieldError};

/// Longest name, in characters.
pub const MAX_NAME: usize = 255;

/// Longest tag, in bytes.
pub const MAX_TAG: usize = 255;

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vendor {
    /// Google Tag Manager.
    Gtm,
    /// Google Analytics 4.
    Analytics,
    /// Facebook (Meta).
    Facebook,
    /// Google Ads.
    Adwords,
    /// LinkedIn Insight.
    Linkedin,
    /// X, Twitter of old.
    Twitter,
    /// AdRoll.
    Adroll,
    /// Quora.
    Quora,
    /// Pinterest.
    Pinterest,
    /// Microsoft Advertising.
    Bing,
    /// Snapchat.
    Snapchat,
    /// Reddit.
    Reddit,
    /// TikTok.
    Tiktok,
}

impl Vendor {
    /// All of them with the names of the API, in its order.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::Gtm, "gtmpixel"),
        (Self::Analytics, "gapixel"),
        (Self::Facebook, "fbpixel"),
        (Self::Adwords, "adwordspixel"),
        (Self::Linkedin, "linkedinpixel"),
        (Self::Twitter, "twitterpixel"),
        (Self::Adroll, "adrollpixel"),
        (Self::Quora, "quorapixel"),
        (Self::Pinterest, "pinterest"),
        (Self::Bing, "bing"),
        (Self::Snapchat, "snapchat"),
        (Self::Reddit, "reddit"),
        (Self::Tiktok, "tiktok"),
    ];

    /// Reads a name of the API.
    ///
    /// # Errors
    /// Another text; all names are listed.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let found = Self::ALL.iter().find(|(_, name)| *name == text.trim());
        found.map(|(vendor, _)| *vendor).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
            FieldError::new(field, format!("must be one of {}", names.join(", ")))
        })
    }

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(vendor, _)| *vendor == self);
        found.map_or("", |(_, name)| name)
    }
}

/// The id a vendor gave its customer. Formats are loose: what vendors hand out has changed before. Its characters mean
/// nothing in HTML, scripts and URLs but `/` and `:`; it is escaped all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// Checks a tag.
    ///
    /// # Errors
    /// A rule it breaks.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let text = text.trim();
        let fits = (1..=MAX_TAG).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_./:".contains(&b));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(FieldError::new(
                field,
                format!("must be 1 to {MAX_TAG} letters, digits and - _ . / :"),
            ))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is set of a pixel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixel {
    /// Whose.
    pub vendor: Vendor,
    /// For lists.
    pub name: String,
    /// The customer's id.
    pub tag: Tag,
}

/// Checks a name.
///
/// # Errors
/// Empty, too long, control characters.
pub fn name(text: &str) -> Result<String, FieldError> {
    let name = field::line("name", text, MAX_NAME)?;
    if name.is_empty() {
        return Err(FieldError::new("name", "must not be empty"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_vendors_are_known_by_name() {
        for (vendor, name) in Vendor::ALL {
            assert_eq!(Vendor::parse("type", name), Ok(vendor));
            assert_eq!(vendor.name(), name);
        }
        let error = Vendor::parse("type", "foo")
            .expect_err("unknown")
            .to_string();
        assert!(
            Vendor::ALL.iter().all(|(_, name)| error.contains(name)),
            "{error}"
        );
    }

    #[test]
    fn tags_are_loose_and_never_markup() {
        for good in [
            "GA-123456789",
            "1234567",
            "AW-1/a_B",
            "a.b:c",
            &"x".repeat(255),
        ] {
            assert_eq!(Tag::parse("tag", good).expect(good).as_str(), good);
        }
        for bad in [
            "",
            " ",
            "a b",
            "</script>",
            "'",
            "\"",
            "a\0",
            "\\",
            "é",
            "a;b",
            "{}",
            "a&b",
            "$",
            &"x".repeat(256),
        ] {
            let error = Tag::parse("tag", bad).expect_err(bad);
            assert_eq!(error.field, "tag");
        }
    }
}
