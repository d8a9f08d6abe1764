//! Bots that fetch a link to show a card of it in a chat or a post: they get a link's social preview.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// What they call themselves, from their makers' documentation and from logs. Case does not matter.
const NAMES: [&str; 36] = [
    "facebookexternalhit",
    "facebookcatalog",
    "facebot",
    "meta-externalfetcher",
    "twitterbot",
    "linkedinbot",
    "slackbot",
    "slack-imgproxy",
    "telegrambot",
    "whatsapp",
    "discordbot",
    "skypeuripreview",
    "microsoftpreview",
    "bingpreview",
    "pinterestbot",
    "pinterest/0",
    "redditbot",
    "mastodon/",
    "pleroma",
    "misskey",
    "lemmy/",
    "bluesky cardyb",
    "threads-link-preview",
    "snap url preview",
    "viber",
    "vkshare",
    "kakaotalk-scrap",
    "line-poker",
    "tumblr/",
    "iframely",
    "embedly",
    "opengraph",
    "synapse (bot",
    "matrix-media-repo",
    "nextcloud server crawler",
    "google-pagerenderer",
];

static MATCHER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(NAMES)
        .ok()
});

/// Whether a bot's user agent is one of these. To be asked of what is known to be a bot: people's browsers inside such
/// apps name them too.
pub fn is_unfurler(user_agent: &[u8]) -> bool {
    MATCHER
        .as_ref()
        .is_some_and(|matcher| matcher.is_match(user_agent))
}
