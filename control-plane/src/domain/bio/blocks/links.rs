//! Ways out: links, and cards of what lies elsewhere.

use super::payloads;
use crate::domain::bio::value::{Data, Icon, Line, Picture, Text, Web};

payloads! {
    /// `link`: a button.
    Link {
        need { url: Web, title: Line }
        may { icon: Icon, description: Line, image: Picture }
    }
    /// `featured-link`: a large card.
    FeaturedLink {
        need { url: Web, title: Line }
        may { icon: Icon, description: Text, image: Picture, #[doc = "Text of its button."] button: Line }
    }
    /// `social-links`: a row of icons.
    SocialLinks {
        list { links: SocialLink }
        may { title: Line }
    }
    /// One of them; its icon follows the URL's host.
    SocialLink {
        need { url: Web }
        may { #[doc = "Read to those who do not see the icon; the host when absent."] title: Line, icon: Icon }
    }
    /// `embed`: a card that leads to what other pages would embed. Nothing of it is loaded before.
    Embed {
        need { url: Web }
        may { title: Line, description: Line, image: Picture, icon: Icon }
    }
    /// `rss`: a card that leads to a feed.
    Rss {
        need { url: Web }
        may { title: Line, description: Line, icon: Icon }
    }
    /// `file`: a card that leads to a file.
    File {
        need { url: Web }
        may { title: Line, description: Line, icon: Icon, #[doc = "In words, e.g. `2 MB`."] size: Line }
    }
    /// `pdf`: a card that leads to a document.
    Pdf {
        need { url: Web }
        may { title: Line, description: Line, icon: Icon, #[doc = "In words, e.g. `2 MB`."] size: Line }
    }
    /// `qr`: a code to scan.
    Qr {
        need { #[doc = "What it holds."] data: Data }
        may { title: Line }
    }
}
