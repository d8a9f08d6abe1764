//! What a page leads to and which pictures it shows, noted while it is rendered: so there is one place that knows, the
//! markup itself. A first rendering says what is needed, a second one has the addresses.

use std::collections::BTreeMap;

/// Where a link of a page leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A URL, of the web or of what `mailto:` and its kin open.
    Url(String),
    /// A file of ours.
    File {
        /// `Content-Type`.
        content_type: &'static str,
        /// Its name: ASCII, without quotes.
        name: &'static str,
        /// Its bytes.
        bytes: Vec<u8>,
    },
}

/// A way out of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// Id of the block.
    pub block: i64,
    /// Which of the block's.
    pub part: String,
    /// Where it leads.
    pub target: Target,
}

/// A picture that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its path on the page's own host, without the leading `/`.
    pub slug: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Slugs of ways out by block and part.
    pub slugs: BTreeMap<(i64, String), String>,
    /// Pictures by the URL they were fetched from.
    pub pictures: BTreeMap<String, Shown>,
    /// Ways out that the page has.
    pub ways: Vec<Way>,
    /// URLs of pictures that the page has.
    pub wanted: Vec<String>,
}

impl Ledger {
    /// One with these addresses.
    pub fn new(slugs: BTreeMap<(i64, String), String>, pictures: BTreeMap<String, Shown>) -> Self {
        Self {
            slugs,
            pictures,
            ..Self::default()
        }
    }

    /// Notes a way out; its path, or `#` as long as it has none.
    pub(super) fn way(&mut self, block: i64, part: String, target: Target) -> String {
        let key = (block, part);
        let path = match self.slugs.get(&key) {
            Some(slug) => format!("/{slug}"),
            None => "#".to_owned(),
        };
        let (block, part) = key;
        self.ways.push(Way {
            block,
            part,
            target,
        });
        path
    }

    /// Notes a picture; `None` as long as it has no address.
    pub(super) fn picture(&mut self, url: &str) -> Option<Shown> {
        if !self.wanted.iter().any(|other| other == url) {
            self.wanted.push(url.to_owned());
        }
        self.pictures.get(url).cloned()
    }
}
