//! What a link does beyond a plain redirect, as an owned value: the control plane builds and encodes it, tests compare
//! with it. The proxy reads the same bytes with [`super::view`] and never builds one of these.
//!
//! The order in which the parts are asked, in every proxy:
//!
//! 0. deleted ([`Plan::deletes_at_ms`]): from that instant on there is no such link, whatever else is true of it;
//! 1. owner's switches: workspace suspended, link disabled, not started, expired ([`Plan::expired_page`] is what an
//!    expired link without an `expired_url` shows, with status 410);
//! 2. an unfurler bot gets [`Plan::preview`], if there is one;
//! 3. the password, then the click limit;
//! 4. the rules in order: the first that matches leads to its target;
//! 5. app links, when no rule matched and the visitor's system has one;
//! 6. variants; 7. [`Plan::target`], else a redirect to the entry's destination.
//!
//! Query pass-through applies to every URL a visitor is led to (redirects and the holes of pages) and follows one merge
//! rule: the visitor's parameters are appended in the order and form they were sent in, but for those whose name
//! (percent-decoded, case-sensitive) the destination's query has already. So nothing that the owner set, as a UTM
//! parameter, an extra one or in the URL itself, can be replaced from outside. Where the result would be longer than
//! [`super::MAX_DESTINATION_BYTES`], nothing is passed.

/// Longest encoded plan, in bytes. A few hundred rules of ordinary length; what is larger is no longer copied in
/// microseconds with every edit of its shard.
pub const MAX_PLAN_BYTES: usize = 32 << 10;

/// Most rules of a link. Each costs a visit some tens of nanoseconds.
pub const MAX_RULES: usize = 200;

/// Most conditions of a rule.
pub const MAX_CONDITIONS: usize = 16;

/// Most values of a condition: all countries there are, and room.
pub const MAX_VALUES: usize = 300;

/// Longest text in a condition (names, parameter values), in bytes.
pub const MAX_VALUE_BYTES: usize = 256;

/// Most variants of a link.
pub const MAX_VARIANTS: usize = 50;

/// Largest weight of a variant or a picked link, so that sums stay far below 2^64.
pub const MAX_WEIGHT: u32 = 1_000_000;

/// Most links a rotator chooses from.
pub const MAX_PICKS: usize = 1000;

/// Longest body that travels in the entry itself, in bytes; a longer one is a blob.
pub const MAX_INLINE_BODY_BYTES: usize = 4096;

/// Largest blob, in bytes: pages and QR images.
pub const MAX_BLOB_BYTES: u64 = 2 << 20;

/// Longest argon2id hash in PHC form, in bytes.
pub const MAX_PHC_BYTES: usize = 256;

/// Longest content type, file name, storage key, entity tag, in bytes.
pub const MAX_LABEL_BYTES: usize = 255;

/// Longest content security policy, in bytes.
pub const MAX_CSP_BYTES: usize = 2048;

/// Longest title and description of a social preview, in bytes.
pub const MAX_PREVIEW_BYTES: usize = 2048;

/// Minutes of a day.
pub const DAY_MINUTES: u16 = 1440;

/// What a link does beyond a plain redirect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Asked in this order; the first that matches decides. The 1-based place is recorded with the visit.
    pub rules: Vec<Rule>,
    /// Weighted targets for visitors that no rule decided on.
    pub variants: Option<Variants>,
    /// Where the others are led; `None`: a redirect to the entry's destination.
    pub target: Option<Target>,
    /// Asked for before anything is shown.
    pub password: Option<Password>,
    /// How many visits are let through.
    pub click_limit: Option<ClickLimit>,
    /// Id of the shared page shown once the link has expired and no `expired_url` is set; `None`: our page.
    pub expired_page: Option<u64>,
    /// The visitor's query goes on to the destination, by the merge rule at the top of this module.
    pub pass_query: bool,
    /// The entry stands for a QR code: its visits are scans.
    pub scan: bool,
    /// Its visits are not recorded: bodies that no person follows a link to, e.g. `.well-known/…` and images.
    pub uncounted: bool,
    /// What opens on iOS and iPadOS: an http(s) URL (universal link, store page) or one of an app's own scheme.
    pub apple: Option<String>,
    /// What opens on Android: an http(s) URL, an `intent:` URL or one of an app's own scheme.
    pub google: Option<String>,
    /// What unfurler bots (chats, social networks) are shown instead of being led on.
    pub preview: Option<Preview>,
    /// Milliseconds since 1970 from which the link does not exist, though it is still in the table; `None`: it stays.
    pub deletes_at_ms: Option<i64>,
}

/// Conditions and what they lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How the conditions count together.
    pub matches: Matches,
    /// 1 to [`MAX_CONDITIONS`].
    pub conditions: Vec<Condition>,
    /// Where a visitor is led who meets them.
    pub target: Target,
}

/// How the conditions of a rule count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matches {
    /// Each must be met.
    All,
    /// One must be met.
    Any,
}

/// A test, perhaps turned round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Met when the test is not: also by a visitor of whom the fact is unknown.
    pub negated: bool,
    /// What is tested.
    pub test: Test,
}

/// What is tested. A fact that is not known (country of a private address, no `Accept-Language`) is none of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// ISO 3166-1 alpha-2 code of the visitor's country, upper case, one of these.
    Country(Vec<[u8; 2]>),
    /// Name of the first-level subdivision as the geo database has it, without regard to case, one of these.
    Region(Vec<String>),
    /// Name of the city, likewise.
    City(Vec<String>),
    /// The language the visitor prefers: the entry of `Accept-Language` with the highest weight, the first of several.
    /// A value without `-` is compared with its primary subtag (`en` is met by `en-GB`), one with `-` with the whole
    /// tag (`pt-br`). Without regard to case.
    Language(Vec<String>),
    /// Kind of device, one of these.
    Device(Devices),
    /// Operating system as clicks name it (`Windows`, `iOS`), without regard to case, one of these.
    Os(Vec<String>),
    /// Browser as clicks name it, likewise.
    Browser(Vec<String>),
    /// The visit's query has a parameter of this name (decoded, case-sensitive), whatever its value.
    QueryPresent(String),
    /// The visit's query has this parameter with one of these values (decoded, case-sensitive); any occurrence counts.
    Query {
        /// Name of the parameter.
        name: String,
        /// Values; one for "equals".
        values: Vec<String>,
    },
    /// The visitor's address is in one of these networks. `::ffff:0:0/96` counts as IPv4.
    Ip(Vec<Net>),
    /// Before this instant, milliseconds since 1970-01-01 UTC.
    Before(i64),
    /// At or after this instant.
    After(i64),
    /// By the clock of a time zone.
    Clock(Clock),
}

/// A set of kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Devices(pub u8);

impl Devices {
    /// Computers.
    pub const DESKTOP: Self = Self(1);
    /// Phones.
    pub const MOBILE: Self = Self(2);
    /// Tablets.
    pub const TABLET: Self = Self(4);
    /// Televisions, consoles, and what is not told. Bots are none of the four.
    pub const OTHER: Self = Self(8);

    /// Both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `one` is in it.
    pub const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }
}

/// A network. Bits beyond the prefix are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// An address in it.
    pub addr: std::net::IpAddr,
    /// Length of the prefix in bits: up to 32 or 128.
    pub prefix: u8,
}

/// Days of the week and a span of minutes, in a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// IANA name, e.g. `Europe/Berlin`. A zone that the proxy does not know meets no test.
    pub zone: String,
    /// Bit 0: Monday … bit 6: Sunday.
    pub weekdays: u8,
    /// First minute of the day.
    pub from_minute: u16,
    /// The minute after the last one, up to [`DAY_MINUTES`]. Where it is not after `from_minute`, the span goes on past
    /// midnight and belongs to the day it began on.
    pub to_minute: u16,
}

/// Where a visitor is led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// To a URL, with the entry's status.
    Redirect {
        /// The finished URL, as [`super::Entry::destination`].
        url: String,
        /// Its query holds `utm_` parameters, to be recorded with the click.
        utm: bool,
    },
    /// A shared page.
    Page {
        /// Its id in the feed's table of pages.
        page: u64,
        /// What fills its holes; empty: the entry's destination (and its `utm` flag).
        destination: String,
        /// As in `Redirect`.
        utm: bool,
    },
    /// Bytes of its own, answered with 200.
    Body(Body),
    /// A stored file.
    File(File),
    /// Another link, by what it says itself (its rules, its gates). That link's own `Link` and `Pick` targets are not
    /// followed: at most one hop.
    Link(LinkKey),
    /// One of several links, among those that answer now (not disabled, started, not expired, no password), in turn by
    /// weight. One hop, as above.
    Pick(Vec<Pick>),
}

/// Key of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkKey {
    /// Its domain.
    pub domain: u32,
    /// Its slug.
    pub slug: String,
}

/// A link to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pick {
    /// Its share, 1 to [`MAX_WEIGHT`].
    pub weight: u32,
    /// The link.
    pub link: LinkKey,
}

/// A served body. It carries `X-Content-Type-Options: nosniff` and an entity tag, always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The bytes.
    pub content: Content,
    /// `Content-Type`.
    pub content_type: String,
    /// `Content-Disposition`; empty: none.
    pub disposition: String,
    /// `Content-Security-Policy`; empty: the proxy's strictest.
    pub csp: String,
    /// Seconds a cache may keep it; 0: it must ask each time.
    pub max_age_s: u32,
}

/// The bytes of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In the entry: up to [`MAX_INLINE_BODY_BYTES`].
    Inline(Vec<u8>),
    /// A blob.
    Blob {
        /// SHA-256 of the bytes.
        hash: [u8; 32],
        /// Length in bytes, up to [`MAX_BLOB_BYTES`].
        size: u64,
    },
}

/// A stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it lies in the storage.
    pub key: String,
    /// Name it is downloaded by.
    pub name: String,
    /// `Content-Type`.
    pub content_type: String,
    /// Length in bytes.
    pub size: u64,
    /// Entity tag without quotes.
    pub etag: String,
}

/// Weighted targets, the same for a visitor each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variants {
    /// 1 to [`MAX_VARIANTS`]; the 1-based place is recorded with the visit.
    pub list: Vec<Variant>,
    /// Milliseconds since 1970 from which the winner gets every visit; `i64::MAX`: never.
    pub ends_at_ms: i64,
    /// 1-based place of the variant that gets every visit from then on; 0: none does, the plan's target again.
    pub winner: u16,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// Its share, 0 to [`MAX_WEIGHT`]; a test where all are 0 is not asked.
    pub weight: u32,
    /// Where it leads.
    pub target: Target,
}

/// A password.
#[derive(Clone, PartialEq, Eq)]
pub struct Password {
    /// Rises with each change of the password: cookies of older ones no longer open.
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

/// How many visits are let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClickLimit {
    /// Visits in all, over all proxies.
    pub max: u64,
    /// What is shown beyond.
    pub beyond: Beyond,
}

/// What is shown beyond a click limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beyond {
    /// What an expired link shows.
    Expired,
    /// A redirect to this URL.
    Url(String),
    /// A shared page, with status 410.
    Page(u64),
}

/// What unfurler bots are shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// `og:title`.
    pub title: String,
    /// `og:description`; empty: none.
    pub description: String,
    /// `og:image`, a URL; empty: none.
    pub image: String,
}
