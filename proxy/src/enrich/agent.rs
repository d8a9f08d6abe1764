//! What a user agent says: device, operating system, browser, or that it is a bot.
//!
//! In this order: the crawler list (`crawlers`), our own rules for bots (`bots`), our own rules for people's browsers
//! (`platform`, `browser`), and woothee for phones and appliances those do not know. woothee alone is not enough: it
//! takes Android tablets for phones and misses most of today's in-app browsers.
//!
//! Judges what the text says and nothing else. A verdict costs some microseconds, so verdicts are kept for the texts
//! seen most recently.

mod bots;
mod browser;
mod crawlers;
mod platform;
mod unfurlers;

use std::collections::HashMap;
use std::sync::Arc;

use woothee::parser::Parser;

use self::crawlers::Crawlers;
pub use self::unfurlers::is_unfurler;

/// Verdicts kept in each of two generations. A user agent is at most 1 KiB in the ring, so together at most 16 MiB.
const CACHED: usize = if cfg!(test) { 64 } else { 8192 };

/// As many for one of several that share the matchers: at most 2 MiB.
const CACHED_EACH: usize = if cfg!(test) { 64 } else { 1024 };

/// As much of a user agent is looked at as a ring keeps, so that all verdicts on a visit are one.
const MAX_USER_AGENT_BYTES: usize = 1024;

/// Longest name or version kept, in bytes.
const MAX_LABEL_BYTES: usize = 64;

/// What nothing is known about.
pub(super) const OTHER: &str = "Other";

/// What kind of device a visit came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// A computer.
    Desktop,
    /// A phone.
    Mobile,
    /// A tablet.
    Tablet,
    /// No person's.
    Bot,
    /// A television, a console, or not told.
    Other,
}

impl Device {
    /// The label in a click.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
            Self::Tablet => "tablet",
            Self::Bot => "bot",
            Self::Other => "other",
        }
    }
}

/// Why a visit was taken for a bot's, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bot {
    /// A short fixed text.
    pub reason: &'static str,
    /// The bot's name where known, else empty.
    pub name: String,
}

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Kind of device.
    pub device: Device,
    /// Operating system without version, e.g. `Windows`; empty for bots.
    pub os: String,
    /// Its version, e.g. `10`; empty where not told.
    pub os_version: String,
    /// Browser without version, e.g. `Chrome`; empty for bots.
    pub browser: String,
    /// Its version; empty where not told.
    pub browser_version: String,
    /// Set for bots.
    pub bot: Option<Bot>,
}

/// The classifier and its memory.
#[derive(Debug)]
pub struct Agents {
    crawlers: Arc<Crawlers>,
    cached: usize,
    recent: HashMap<Box<[u8]>, Arc<Agent>>,
    older: HashMap<Box<[u8]>, Arc<Agent>>,
}

impl Agents {
    /// Builds the matchers: some tens of milliseconds.
    ///
    /// # Errors
    /// The built-in crawler list is broken.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            crawlers: Arc::new(Crawlers::new()?),
            cached: CACHED,
            recent: HashMap::new(),
            older: HashMap::new(),
        })
    }

    /// Another one that shares the matchers and has a small memory of its own: for a serving thread.
    pub fn another(&self) -> Self {
        Self {
            crawlers: Arc::clone(&self.crawlers),
            cached: CACHED_EACH,
            recent: HashMap::new(),
            older: HashMap::new(),
        }
    }

    /// What `user_agent` says.
    pub fn of(&mut self, user_agent: &[u8]) -> Arc<Agent> {
        let user_agent = user_agent.get(..MAX_USER_AGENT_BYTES).unwrap_or(user_agent);
        if let Some(agent) = self.recent.get(user_agent) {
            return Arc::clone(agent);
        }
        let agent = match self.older.remove(user_agent) {
            Some(agent) => agent,
            None => Arc::new(self.judge(&String::from_utf8_lossy(user_agent))),
        };
        if self.recent.len() >= self.cached {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(user_agent.into(), Arc::clone(&agent));
        agent
    }

    fn judge(&self, text: &str) -> Agent {
        let text = text.trim();
        if let Some(bot) = self.bot(text) {
            return Agent {
                device: Device::Bot,
                os: String::new(),
                os_version: String::new(),
                browser: String::new(),
                browser_version: String::new(),
                bot: Some(bot),
            };
        }
        let platform = platform::of(text);
        let browser = browser::of(text, platform.os);
        let mut agent = Agent {
            device: platform.device,
            os: platform.os.to_owned(),
            os_version: label(platform.version),
            browser: browser.name.to_owned(),
            browser_version: label(browser.version.to_owned()),
            bot: None,
        };
        if agent.browser == OTHER || agent.device == Device::Other {
            fill_in(text, &mut agent);
        }
        agent
    }

    fn bot(&self, text: &str) -> Option<Bot> {
        let named = |reason, name: &str| {
            Some(Bot {
                reason,
                name: label(name.to_owned()),
            })
        };
        if text.is_empty() {
            return named("no-user-agent", "");
        }
        if let Some(name) = self.crawlers.find(text) {
            return named("crawler-user-agents", name);
        }
        if let Some((reason, name)) = bots::find(text) {
            return named(reason, name);
        }
        if bots::is_phone_called_bot(text) {
            return None;
        }
        let crawler = Parser::new()
            .parse(text)
            .filter(|w| w.category == "crawler")?;
        named("woothee", crawler.name)
    }
}

/// Feature phones, consoles and televisions that our own rules do not know.
fn fill_in(text: &str, agent: &mut Agent) {
    let Some(known) = Parser::new().parse(text) else {
        return;
    };
    let device = match known.category {
        "mobilephone" => Device::Mobile,
        "appliance" => Device::Other,
        _ => return,
    };
    if agent.device == Device::Other {
        agent.device = device;
    }
    if agent.browser == OTHER && known.name != "UNKNOWN" {
        agent.browser = label(known.name.to_owned());
    }
}

fn label(mut text: String) -> String {
    super::text::cut(&mut text, MAX_LABEL_BYTES);
    text
}

/// The version behind the first `token` in `text`: digits, dots and underscores. `None` when the token is not there.
fn version_after<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(token)?;
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_')))
        .unwrap_or(rest.len());
    Some(rest.get(..end).unwrap_or_default().trim_matches(['.', '_']))
}

fn has_any(text: &str, tokens: &[&str]) -> bool {
    tokens.iter().any(|t| text.contains(t))
}

#[cfg(test)]
mod tests;
