//! The browser: the most particular token wins, since each brand also says the names of those it wants to be taken for.

use super::{OTHER, has_any, version_after};

/// What a user agent says about the program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Browser<'a> {
    pub(super) name: &'static str,
    pub(super) version: &'a str,
}

/// Programs told by one token, in order: views inside apps, then brands of their own, then the makers' own tokens.
/// A build of Chromium or Firefox that says nothing but another name (Iron, Iceweasel, Pale Moon) is its parent.
const TOKENS: [(&str, &str); 73] = [
    ("FBAV/", "Facebook"),
    ("FBAN/", "Facebook"),
    ("FB_IAB", "Facebook"),
    ("MetaIAB", "Facebook"),
    ("Instagram ", "Instagram"),
    ("musical_ly", "TikTok"),
    ("BytedanceWebview", "TikTok"),
    ("TikTok", "TikTok"),
    ("LinkedInApp", "LinkedIn"),
    ("Twitter for", "Twitter"),
    ("Snapchat/", "Snapchat"),
    ("Pinterest/", "Pinterest"),
    ("MicroMessenger/", "WeChat"),
    ("Line/", "LINE"),
    ("KAKAOTALK", "KakaoTalk"),
    ("GSA/", "Google App"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("UCBrowser/", "UC Browser"),
    ("UCBrowser", "UC Browser"),
    ("UCWEB", "UC Browser"),
    ("YaBrowser/", "Yandex Browser"),
    ("MiuiBrowser/", "MIUI Browser"),
    ("HuaweiBrowser/", "Huawei Browser"),
    ("VivoBrowser/", "Vivo Browser"),
    ("HeyTapBrowser/", "HeyTap Browser"),
    ("MQQBrowser/", "QQ Browser"),
    ("QQBrowser/", "QQ Browser"),
    ("Whale/", "Whale"),
    ("Vivaldi/", "Vivaldi"),
    ("DuckDuckGo/", "DuckDuckGo"),
    ("Ddg/", "DuckDuckGo"),
    ("Brave/", "Brave"),
    ("coc_coc_browser/", "Coc Coc"),
    ("Silk/", "Silk"),
    ("FlyFlow/", "FlyFlow"),
    ("Puffin/", "Puffin"),
    ("SeaMonkey/", "SeaMonkey"),
    ("Midori", "Midori"),
    ("conkeror/", "conkeror"),
    ("rekonq", "rekonq"),
    ("dwb/", "dwb"),
    ("Epiphany/", "Epiphany"),
    ("Konqueror/", "Konqueror"),
    ("Falkon/", "Falkon"),
    ("QupZilla/", "QupZilla"),
    ("BonEcho/", "BonEcho"),
    ("Camino/", "Camino"),
    ("Galeon/", "Galeon"),
    ("K-Meleon/", "K-Meleon"),
    ("Thunderbird/", "Thunderbird"),
    ("Dillo/", "Dillo"),
    ("ELinks", "ELinks"),
    ("Lynx/", "Lynx"),
    ("w3m/", "w3m"),
    ("NetFront", "NetFront"),
    ("UP.Browser/", "Openwave"),
    ("Openwave/", "Openwave"),
    ("SEMC-Browser/", "SEMC Browser"),
    ("Edg/", "Edge"),
    ("EdgA/", "Edge"),
    ("EdgiOS/", "Edge"),
    ("Edge/", "Edge"),
    ("OPR/", "Opera"),
    ("OPT/", "Opera"),
    ("OPX/", "Opera"),
    ("OPiOS/", "Opera"),
    ("Opera Mini/", "Opera"),
    ("CriOS/", "Chrome"),
    ("FxiOS/", "Firefox"),
    ("Focus/", "Firefox"),
    ("Klar/", "Firefox"),
    ("PaleMoon/", "Firefox"),
    ("IEMobile/", "Internet Explorer"),
];

pub(super) fn of<'a>(text: &'a str, os: &str) -> Browser<'a> {
    let found = |name, version| Browser { name, version };
    for (token, name) in TOKENS {
        if text.contains(token) {
            let version = if token.ends_with('/') {
                version_after(text, token)
            } else {
                None
            };
            return found(name, version.unwrap_or_default());
        }
    }
    if text.contains("Opera") {
        // "Opera/9.80 … Version/12.16": the number behind the name stopped there for good.
        let version = ["Version/", "Opera/", "Opera "]
            .iter()
            .find_map(|token| version_after(text, token));
        return found("Opera", version.unwrap_or_default());
    }
    if let Some(version) = version_after(text, "MSIE ") {
        return found("Internet Explorer", version);
    }
    if text.contains("Trident/") {
        return found(
            "Internet Explorer",
            version_after(text, "rv:").unwrap_or_default(),
        );
    }
    if let Some(version) = ["Firefox/", "Iceweasel/", "IceCat/"]
        .iter()
        .find_map(|t| version_after(text, t))
    {
        return found("Firefox", version);
    }
    if let Some(version) = ["Chrome/", "Chromium/", "CrMo/"]
        .iter()
        .find_map(|t| version_after(text, t))
    {
        // How Android shows pages inside apps.
        let inside_app = os == "Android" && has_any(text, &["Version/", "; wv)"]);
        return found(
            if inside_app {
                "Android WebView"
            } else {
                "Chrome"
            },
            version,
        );
    }
    if text.contains("AppleWebKit/") && os == "Android" {
        return found(
            "Android Browser",
            version_after(text, "Version/").unwrap_or_default(),
        );
    }
    if text.contains("Safari/") && matches!(os, "macOS" | "iOS" | "Windows") {
        return found(
            "Safari",
            version_after(text, "Version/").unwrap_or_default(),
        );
    }
    if os == "iOS" {
        // Safari says so; what does not is a view inside an app.
        return found("iOS WebView", "");
    }
    found(OTHER, "")
}
