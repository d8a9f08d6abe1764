//! Bots that no list names: by the words they use of themselves, and by not being a browser at all.

use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::has_any;

/// What a user agent that holds one of these says of itself. Case does not matter.
const RULES: [(&str, &str); 9] = [
    // CUBOT is a maker of phones, taken out before this is asked.
    (
        "robot",
        r"bot(?:[^a-z]|$)|robot|spider|crawl|slurp|scrap(?:er|y)|archiver",
    ),
    (
        "feed-reader",
        r"feed[ -]?(?:fetch|pars|burn|read|ly|bin|press|wrangl|demon|validat|er\b|/)|\brss|rss\b|\batom\b|aggregator|newsify|reeder/|liferea|netnewswire|akregator|newsblur|newsgator|vienna/|podcast|itunes/",
    ),
    (
        "link-checker",
        r"validator|(?:link|url|site)[ _-]?check|\bxenu\b|checker\b",
    ),
    (
        "monitor",
        r"monitor(?:ing)?\b|uptime|pingdom|health[ _-]?check|\bprobe\b|scanner",
    ),
    (
        "preview",
        r"preview|unfurl|embedly|favicon|thumbnail|screenshot|externalhit|image ?proxy|flipboard",
    ),
    (
        "headless",
        r"headless|phantomjs|slimerjs|selenium|webdriver|puppeteer|playwright|electron-fetch|jsdom",
    ),
    (
        "library",
        r"^(?:curl|wget|lib|lwp|python|ruby|perl|php|java|go[ -]|node|deno|bun/|axios|got\b|undici|okhttp|apache|http|fetch|aria2|dart|rust|reqwest|ureq|hyper|guzzle|symfony|faraday|restsharp|powershell|winhttp|dalvik/|cfnetwork|jakarta|zend|snoopy|mechanize|scrapy|typhoeus|rest-client|postman|insomnia|k6/|apachebench|siege|wrk|oha/|vegeta|jmeter)|libwww|httpclient|http_request|http client|urllib|indy library|windowspowershell",
    ),
    (
        "desktop-search",
        r"google desktop|genieo|protocol discovery",
    ),
    // Programs that fetch introduce themselves with an address for complaints; browsers do not.
    (
        "contact-address",
        r"https?://|\bwww\.|[a-z0-9._-]@[a-z0-9-]+\.[a-z]",
    ),
];

static MATCHER: LazyLock<Option<RegexSet>> =
    LazyLock::new(|| RegexSet::new(RULES.map(|(_, pattern)| format!("(?i){pattern}"))).ok());

static NAME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)[a-z0-9_.-]*(?:bot|spider|crawler)[a-z0-9_-]*").ok());

/// Phones of this maker say so, and are no bots.
const PHONE_CALLED_BOT: &str = "CUBOT";

/// Programs people read pages with that do not begin like a browser, and phones of the time before they had to.
const READERS: [&str; 32] = [
    "Lynx/",
    "Links ",
    "ELinks",
    "w3m/",
    "NetFront",
    "Dillo/",
    "UCWEB",
    "UCBrowser",
    "Opera",
    "Safari/",
    "Chrome/",
    "Firefox/",
    "Profile/MIDP",
    "CLDC",
    "UP.Browser",
    "Openwave",
    "MAUI",
    "Maui ",
    "SEMC-Browser",
    "Obigo",
    "Teleca",
    "BlackBerry",
    "Nokia",
    "SonyEricsson",
    "DoCoMo/",
    "KDDI-",
    "SoftBank/",
    "J-PHONE/",
    "Vodafone/",
    "Konqueror/",
    "Midori/",
    "Instagram ",
];

/// Whether the text is of a phone whose maker's name looks like a bot's.
pub(super) fn is_phone_called_bot(text: &str) -> bool {
    text.to_ascii_uppercase().contains(PHONE_CALLED_BOT)
}

/// The reason why `text` is a bot's and the bot's name where it shows.
pub(super) fn find(text: &str) -> Option<(&'static str, &str)> {
    let is_reader = text.starts_with("Mozilla/") || has_any(text, &READERS);
    if !is_phone_called_bot(text) {
        let rule = MATCHER
            .as_ref()
            .and_then(|m| m.matches(text).iter().next())
            .and_then(|index| RULES.get(index));
        if let Some((reason, _)) = rule {
            return Some((reason, name_in(text)));
        }
    }
    if !is_reader {
        return Some(("no-browser", name_in(text)));
    }
    // "Mozilla/5.0" alone, or with nothing but "compatible" behind it: no browser sends so little.
    let (_, said) = text.split_once(' ').unwrap_or_default();
    let said = said.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    if text.starts_with("Mozilla/") && (said.is_empty() || said == "compatible") {
        return Some(("no-browser", ""));
    }
    None
}

/// A word that says what it is, else the first product.
fn name_in(text: &str) -> &str {
    if let Some(found) = NAME.as_ref().and_then(|n| n.find(text)) {
        return found.as_str();
    }
    if text.starts_with("Mozilla/") {
        return "";
    }
    text.split(['/', '(', ';', ','])
        .next()
        .unwrap_or_default()
        .trim()
}
