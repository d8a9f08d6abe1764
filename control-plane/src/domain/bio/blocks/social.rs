//! Cards of services. Each leads to its own service and nowhere else: its mark stands beside the text.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::domain::bio::value::{Line, Picture, Web, blank};

/// Services: their types, names, icons, and the hosts (with all below them) their cards may lead to.
macro_rules! services {
    ($($(#[$doc:meta])* $name:ident = $shown:literal, $icon:literal, [$($host:literal),*];)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[schema(as = bio::$name)]
        pub struct $name {
            /// A URL of the service.
            pub url: Web,
            /// Name of the service when absent.
            #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "blank")]
            pub title: Option<Line>,
            /// A line below.
            #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "blank")]
            pub description: Option<Line>,
            /// A picture of it.
            #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "blank")]
            pub image: Option<Picture>,
        }

        impl $name {
            /// As all cards of services are shown.
            pub fn card(&self) -> Card<'_> {
                Card {
                    service: &Service { name: $shown, icon: $icon, hosts: &[$($host),*] },
                    url: &self.url,
                    title: self.title.as_ref(),
                    description: self.description.as_ref(),
                    image: self.image.as_ref(),
                }
            }
        }
    )*
        /// All services, for links whose icon follows their host.
        pub const SERVICES: &[Service] = &[$(Service { name: $shown, icon: $icon, hosts: &[$($host),*] }),*];
    };
}

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// Its icon's name.
    pub icon: &'static str,
    /// Its hosts; empty: any.
    pub hosts: &'static [&'static str],
}

impl Service {
    /// Whether a URL is one of its.
    pub fn has(&self, url: &Web) -> bool {
        let Ok(url) = Url::parse(url.as_str()) else {
            return false;
        };
        let Some(host) = url.host_str() else {
            return false;
        };
        self.hosts.iter().any(|own| {
            host.strip_suffix(own)
                .is_some_and(|below| below.is_empty() || below.ends_with('.'))
        })
    }

    /// The service of a URL.
    pub fn of(url: &Web) -> Option<&'static Self> {
        SERVICES.iter().find(|service| service.has(url))
    }
}

/// What is shown of any of them.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// Whose it is.
    pub service: &'static Service,
    /// Where it leads.
    pub url: &'a Web,
    /// Its title.
    pub title: Option<&'a Line>,
    /// A line below.
    pub description: Option<&'a Line>,
    /// A picture.
    pub image: Option<&'a Picture>,
}

impl Card<'_> {
    /// Checks that it leads to its service.
    ///
    /// # Errors
    /// What is allowed, of the field `url`.
    pub fn check(&self) -> Result<(), String> {
        let hosts = self.service.hosts;
        if hosts.is_empty() || self.service.has(self.url) {
            return Ok(());
        }
        let host = Url::parse(self.url.as_str()).ok();
        let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
        Err(format!(
            "must be on {}, not on '{host}'",
            hosts.join(" or ")
        ))
    }
}

services! {
    /// `youtube`
    Youtube = "YouTube", "youtube", ["youtube.com", "youtu.be", "youtube-nocookie.com"];
    /// `vimeo`
    Vimeo = "Vimeo", "vimeo", ["vimeo.com"];
    /// `tiktok`
    Tiktok = "TikTok", "tiktok", ["tiktok.com"];
    /// `twitch`
    Twitch = "Twitch", "twitch", ["twitch.tv"];
    /// `instagram`
    Instagram = "Instagram", "instagram", ["instagram.com", "instagr.am", "ig.me"];
    /// `facebook`
    Facebook = "Facebook", "facebook", ["facebook.com", "fb.com", "fb.me", "fb.watch"];
    /// `x`
    X = "X", "x", ["x.com", "twitter.com"];
    /// `threads`
    Threads = "Threads", "threads", ["threads.net", "threads.com"];
    /// `linkedin`
    Linkedin = "LinkedIn", "linkedin", ["linkedin.com", "lnkd.in"];
    /// `pinterest`
    Pinterest = "Pinterest", "pinterest", [
        "pinterest.com", "pin.it", "pinterest.de", "pinterest.fr", "pinterest.co.uk", "pinterest.ca", "pinterest.es", "pinterest.it", "pinterest.jp", "pinterest.com.au", "pinterest.at", "pinterest.ch", "pinterest.pt", "pinterest.com.mx"
    ];
    /// `reddit`
    Reddit = "Reddit", "reddit", ["reddit.com", "redd.it"];
    /// `snapchat`
    Snapchat = "Snapchat", "snapchat", ["snapchat.com"];
    /// `spotify`
    Spotify = "Spotify", "spotify", ["spotify.com", "spotify.link", "spoti.fi"];
    /// `apple-music`
    AppleMusic = "Apple Music", "apple-music", ["music.apple.com", "itunes.apple.com"];
    /// `soundcloud`
    Soundcloud = "SoundCloud", "soundcloud", ["soundcloud.com", "snd.sc"];
    /// `podcast`: on whatever host.
    Podcast = "Podcast", "podcast", [];
}

/// Icons of other hosts that people link to beside the services above.
pub const MARKS: &[(&str, &str)] = &[
    ("github.com", "github"),
    ("discord.gg", "discord"),
    ("discord.com", "discord"),
    ("patreon.com", "patreon"),
    ("paypal.com", "paypal"),
    ("paypal.me", "paypal"),
    ("mastodon.social", "mastodon"),
    ("medium.com", "medium"),
    ("substack.com", "substack"),
    ("bandcamp.com", "bandcamp"),
    ("behance.net", "behance"),
    ("dribbble.com", "dribbble"),
    ("etsy.com", "etsy"),
    ("ko-fi.com", "ko-fi"),
    ("buymeacoffee.com", "buy-me-a-coffee"),
    ("podcasts.apple.com", "apple-podcasts"),
    ("wa.me", "whatsapp"),
    ("whatsapp.com", "whatsapp"),
    ("t.me", "telegram"),
    ("telegram.me", "telegram"),
    ("m.me", "messenger"),
];

/// Name of the icon of a URL's host.
pub fn mark(url: &Web) -> Option<&'static str> {
    if let Some(service) = Service::of(url) {
        return Some(service.icon);
    }
    let found = MARKS.iter().find(|(host, icon)| {
        let service = Service {
            name: "",
            icon,
            hosts: std::slice::from_ref(host),
        };
        service.has(url)
    });
    found.map(|(_, icon)| *icon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_leads_to_its_own_service() {
        let card = |url: &str| Youtube {
            url: Web::parse(url).expect("a URL"),
            title: None,
            description: None,
            image: None,
        };
        for good in [
            "https://youtu.be/x",
            "https://www.youtube.com/@x",
            "http://m.youtube.com/",
        ] {
            assert_eq!(card(good).card().check(), Ok(()), "{good}");
        }
        for bad in [
            "https://notyoutube.com/",
            "https://youtube.com.evil.test/",
            "https://e.test/youtube.com",
        ] {
            let error = card(bad).card().check().expect_err(bad);
            assert!(error.starts_with("must be on youtube.com or"), "{error}");
        }
        let mark = |url: &str| super::mark(&Web::parse(url).expect("a URL"));
        assert_eq!(mark("https://www.github.com/x"), Some("github"));
        assert_eq!(mark("https://open.spotify.com/x"), Some("spotify"));
        assert_eq!(mark("https://e.test/"), None);
        assert!(
            MARKS
                .iter()
                .all(|(_, icon)| crate::domain::bio::icon::find(icon).is_some())
        );
        assert!(
            SERVICES
                .iter()
                .all(|s| crate::domain::bio::icon::find(s.icon).is_some())
        );
    }
}
