//! Stored files: their names and types, and the entry that proxies hold.
//!
//! What is in a file is nobody's business here: its type follows from its name, and it is served as an attachment that
//! runs nothing, so a wrong or hostile name shows nothing but a wrong icon.

mod media_type;

use schemas::link::plan::{ClickLimit, MAX_LABEL_BYTES, Password, Plan, Preview, Target};
use schemas::link::{Entry, EntryError, Status};

pub use self::media_type::media_type;
use super::field::FieldError;
use super::link::{Content, Key};

/// Longest name for lists, in characters.
pub const MAX_NAME: usize = 255;

/// Longest file name, in bytes: what file systems take.
pub const MAX_FILE_NAME_BYTES: usize = MAX_LABEL_BYTES;

/// Largest number of downloads that can be set.
pub const MAX_DOWNLOADS: u64 = i64::MAX.cast_unsigned();

/// What unfurlers are told of a file behind a password: its name may be part of the secret.
const PROTECTED: &str = "Protected file";

/// The name a file is downloaded by. Legal because it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName(String);

impl FileName {
    /// Takes a name as a caller sent it, decoded. Folders before it are cut off, of either kind of slash: some senders
    /// put in the path it has with them.
    ///
    /// # Errors
    /// Empty, `.` or `..`, too long, or with characters that are not seen: control characters, and those that turn the
    /// direction of text or have no width, by which `gpj.exe` looks like `exe.jpg`.
    pub fn parse(field: &str, text: &str) -> Result<Self, FieldError> {
        let name = text.rsplit(['/', '\\']).next().unwrap_or_default().trim();
        if matches!(name, "" | "." | "..") {
            return Err(FieldError::new(field, "must hold a file name"));
        }
        if name.len() > MAX_FILE_NAME_BYTES {
            return Err(FieldError::new(
                field,
                format!("must hold a file name of at most {MAX_FILE_NAME_BYTES} bytes"),
            ));
        }
        if name.chars().any(is_unseen) {
            return Err(FieldError::new(
                field,
                "must hold a file name without control characters and without characters that are not seen",
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `Content-Type` by its extension.
    pub fn media_type(&self) -> &'static str {
        media_type(&self.0)
    }
}

/// Control characters, line and paragraph separators, direction marks, and what has no width.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What is served.
#[derive(Debug, Clone, Copy)]
pub struct Served<'a> {
    /// Where it lies in the storage.
    pub storage_key: &'a str,
    /// Name it is downloaded by.
    pub file_name: &'a str,
    /// `Content-Type`.
    pub content_type: &'a str,
    /// Length in bytes.
    pub size: u64,
    /// SHA-256, its entity tag.
    pub hash: [u8; 32],
    /// Name in lists, for those who only look.
    pub name: &'a str,
}

/// The entry that proxies hold.
///
/// # Errors
/// Something beyond a limit of entries.
pub fn entry(key: Key<'_>, served: &Served<'_>, content: &Content) -> Result<Vec<u8>, EntryError> {
    let extras = &content.extras;
    let title = match extras.password {
        Some(_) => PROTECTED,
        None => served.name,
    };
    let plan = Plan {
        target: Some(Target::File(schemas::link::plan::File {
            key: served.storage_key.to_owned(),
            name: served.file_name.to_owned(),
            content_type: served.content_type.to_owned(),
            size: served.size,
            etag: hex::encode(served.hash),
        })),
        password: extras.password.as_ref().map(|password| Password {
            version: password.version,
            phc: password.phc.clone(),
        }),
        click_limit: extras.max_clicks.map(|max| ClickLimit {
            max,
            beyond: schemas::link::plan::Beyond::Expired,
        }),
        // Programs that only look must not be sent the bytes.
        preview: Some(Preview {
            title: title.to_owned(),
            ..Preview::default()
        }),
        ..Plan::default()
    };
    let plan = plan.encode()?;
    let entry = Entry {
        domain: key.domain,
        slug: key.slug.as_str().as_bytes(),
        destination: b"",
        link: key.link,
        workspace: key.workspace,
        status: Status::Found,
        disabled: content.is_disabled,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: content.expires_at.unwrap_or(i64::MAX),
        expired_url: b"",
        plan: &plan,
    };
    let mut bytes = Vec::with_capacity(plan.len() + 64);
    entry.encode(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use schemas::slug::Slug;

    use super::*;
    use crate::domain::link::Extras;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let name = FileName::parse("file", text);
        assert_eq!(
            name.as_ref().ok().map(FileName::as_str),
            expected,
            "{text:?}"
        );
        if let Err(error) = name {
            assert!(error.to_string().starts_with("file must hold a file name"));
        }
    }

    #[test]
    fn names_are_cut_to_what_is_behind_the_last_slash() {
        check("brandkit.zip", Some("brandkit.zip"));
        check(" Été — \"30 %\".pdf ", Some("Été — \"30 %\".pdf"));
        check("C:\\fakepath\\a.pdf", Some("a.pdf"));
        check("../../etc/passwd", Some("passwd"));
        check(".htaccess", Some(".htaccess"));
        check("日本語.txt", Some("日本語.txt"));
    }

    #[test]
    fn names_that_hide_something_are_refused() {
        for bad in [
            "",
            " ",
            ".",
            "..",
            "a/",
            "a\\..",
            "a\r\nSet-Cookie: x.txt",
            "a\0.txt",
            "photo\u{202e}gpj.exe",
            "a\u{200b}.txt",
            "\u{feff}a.txt",
            "a\u{2066}b.txt",
            "a\u{e0041}.txt",
        ] {
            check(bad, None);
        }
        check(&"é".repeat(128), None);
        check(&"e".repeat(255), Some(&"e".repeat(255)));
    }

    #[test]
    fn the_entry_says_what_a_proxy_must_know_and_hides_a_protected_name() {
        let slug = Slug::parse("IUyaK").expect("legal");
        let key = Key {
            domain: 1,
            slug: &slug,
            link: 7,
            workspace: 3,
        };
        let served = Served {
            storage_key: "ab/abcd-1",
            file_name: "secret plan.pdf",
            content_type: "application/pdf",
            size: 5,
            hash: [0xab; 32],
            name: "Secret plan",
        };
        let mut content = Content {
            expires_at: Some(17),
            extras: Extras {
                max_clicks: Some(2),
                ..Extras::default()
            },
            ..Content::default()
        };
        let plan_of = |content: &Content| {
            let bytes = entry(key, &served, content).expect("fits");
            let entry = Entry::parse(&bytes).expect("own entry");
            assert_eq!(entry.expires_at_ms, 17);
            Plan::decode(entry.plan).expect("own plan")
        };
        let plan = plan_of(&content);
        let Some(Target::File(file)) = &plan.target else {
            panic!("no file: {plan:?}");
        };
        assert_eq!((file.size, &*file.etag), (5, &*"ab".repeat(32)));
        assert_eq!(plan.click_limit.as_ref().map(|limit| limit.max), Some(2));
        assert_eq!(plan.preview.expect("a preview").title, "Secret plan");
        content.extras.password = Some(crate::domain::link::extras::Password {
            version: 1,
            phc: "$argon2id$x".to_owned(),
        });
        let plan = plan_of(&content);
        assert_eq!(plan.preview.expect("a preview").title, PROTECTED);
        assert!(plan.password.is_some());
    }
}
