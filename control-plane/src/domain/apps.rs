//! Apps that may open a domain's links, and the two files by which phones learn of them:
//! `.well-known/apple-app-site-association` (developer.apple.com, "Supporting associated domains") and
//! `.well-known/assetlinks.json` (developers.google.com, "Digital Asset Links").

use schemas::link::plan::MAX_INLINE_BODY_BYTES;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::field::FieldError;
use super::rule::shown;

/// Most apps of a system. Both files fit an entry's own body then, unless names are very long.
pub const MAX_APPS: usize = 10;

/// Most certificates of an Android app.
const MAX_FINGERPRINTS: usize = 5;

/// Longest app or package name, in bytes.
const MAX_NAME: usize = 200;

/// Apps of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Apps {
    /// `<team id>.<bundle id>`.
    pub apple: Vec<String>,
    /// See [`AndroidApp`].
    pub android: Vec<AndroidApp>,
}

/// An Android app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AndroidApp {
    /// Its package name.
    pub package: String,
    /// SHA-256 of its signing certificates: 32 upper-case hex pairs with colons.
    pub fingerprints: Vec<String>,
}

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// For Apple's systems.
    Apple,
    /// For Android.
    Android,
}

impl File {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Apple, Self::Android];

    /// Its path on the domain.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Apple => ".well-known/apple-app-site-association",
            Self::Android => ".well-known/assetlinks.json",
        }
    }
}

impl Apps {
    /// Checks them and brings them into one form.
    ///
    /// # Errors
    /// The first that is wrong, by field.
    pub fn checked(mut self) -> Result<Self, FieldError> {
        for (field, count) in [("apple", self.apple.len()), ("android", self.android.len())] {
            if count > MAX_APPS {
                let problem = format!("must hold at most {MAX_APPS} apps, not {count}");
                return Err(FieldError::new(field, problem));
            }
        }
        for (place, app) in self.apple.iter_mut().enumerate() {
            *app = app.trim().to_owned();
            let (team, bundle) = app.split_once('.').unwrap_or_default();
            let legal = team.len() == 10
                && team
                    .bytes()
                    .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
                && is_name(bundle, |b| b == b'-');
            if !legal {
                return Err(FieldError::new(
                    format!("apple[{place}]"),
                    format!(
                        "'{}' must be a team id and a bundle id, e.g. ABCDE12345.com.example.app",
                        shown(app)
                    ),
                ));
            }
        }
        for (place, app) in self.android.iter_mut().enumerate() {
            let at = |part: &str| format!("android[{place}].{part}");
            app.package = app.package.trim().to_owned();
            if !is_name(&app.package, |b| b == b'_') || !app.package.contains('.') {
                return Err(FieldError::new(
                    at("package"),
                    format!(
                        "'{}' must be a package name, e.g. com.example.app",
                        shown(&app.package)
                    ),
                ));
            }
            if app.fingerprints.is_empty() || app.fingerprints.len() > MAX_FINGERPRINTS {
                let problem = format!("must hold 1 to {MAX_FINGERPRINTS}");
                return Err(FieldError::new(at("fingerprints"), problem));
            }
            for print in &mut app.fingerprints {
                *print = fingerprint(print).ok_or_else(|| {
                    FieldError::new(
                        at("fingerprints"),
                        format!(
                            "'{}' must be a SHA-256 fingerprint: 32 hex pairs with colons",
                            shown(print)
                        ),
                    )
                })?;
            }
        }
        for (field, file) in [("apple", File::Apple), ("android", File::Android)] {
            if self.body(file).len() > MAX_INLINE_BODY_BYTES {
                let problem = format!(
                    "make a file of more than {MAX_INLINE_BODY_BYTES} bytes: must be fewer or shorter"
                );
                return Err(FieldError::new(field, problem));
            }
        }
        Ok(self)
    }

    /// The file's bytes; empty where there is none to serve.
    pub fn body(&self, file: File) -> Vec<u8> {
        let json = match file {
            File::Apple if self.apple.is_empty() => return Vec::new(),
            File::Android if self.android.is_empty() => return Vec::new(),
            File::Apple => {
                json!({"applinks": {"details": [{"appIDs": self.apple, "components": [{"/": "*"}]}]}})
            }
            File::Android => {
                let app = |app: &AndroidApp| {
                    json!({"relation": ["delegate_permission/common.handle_all_urls"], "target": {
                        "namespace": "android_app", "package_name": app.package, "sha256_cert_fingerprints": app.fingerprints,
                    }})
                };
                self.android.iter().map(app).collect()
            }
        };
        json.to_string().into_bytes()
    }
}

fn is_name(name: &str, also: fn(u8) -> bool) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || also(b))
        })
}

fn fingerprint(text: &str) -> Option<String> {
    let upper = text.trim().to_ascii_uppercase();
    let pairs: Vec<&str> = upper.split(':').collect();
    let legal = pairs.len() == 32
        && pairs
            .iter()
            .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
    legal.then_some(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn android(package: &str, print: &str) -> Apps {
        Apps {
            android: vec![AndroidApp {
                package: package.to_owned(),
                fingerprints: vec![print.to_owned()],
            }],
            ..Apps::default()
        }
    }

    fn apple(app: &str) -> Apps {
        Apps {
            apple: vec![app.to_owned()],
            ..Apps::default()
        }
    }

    #[test]
    fn files_are_made_of_checked_names() {
        let print = ["ab"; 32].join(":");
        let apps = android("com.example.app", &print).checked().expect("legal");
        let body = String::from_utf8(apps.body(File::Android)).expect("text");
        assert!(
            body.contains(&print.to_uppercase()) && body.contains("com.example.app"),
            "{body}"
        );
        assert!(apps.body(File::Apple).is_empty());
        let body = apple(" ABCDE12345.com.example.app ")
            .checked()
            .expect("legal")
            .body(File::Apple);
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            body["applinks"]["details"][0]["appIDs"][0],
            "ABCDE12345.com.example.app"
        );
    }

    #[test]
    fn what_is_no_app_is_refused_by_name() {
        let print = ["AB"; 32].join(":");
        for (apps, field) in [
            (apple("com.example.app"), "apple[0]"),
            (apple("ABCDE12345"), "apple[0]"),
            (apple("ABCDE12345.com..app"), "apple[0]"),
            (apple("ABCDE12345.\"}"), "apple[0]"),
            (android("example", &print), "android[0].package"),
            (android("com.exämple", &print), "android[0].package"),
            (android("com.example", "AB:CD"), "android[0].fingerprints"),
            (
                Apps {
                    apple: vec![String::new(); 11],
                    ..Apps::default()
                },
                "apple",
            ),
        ] {
            assert_eq!(apps.checked().expect_err(field).field, field);
        }
    }
}
