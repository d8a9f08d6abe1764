//! The vendors' code. Each file in `pixel/` is the body of a function of `tag`, as the vendor publishes it for its
//! customers' pages, but for what would need `document.write` or inline handlers; sources are the hosts it is known to
//! call. Tags reach it only as a string literal of ours, or percent-encoded in a URL.
//!
//! Where vendors hand out their code, when ours was written after it, and what it was held against on 2026-11-22: the vendor's
//! own page, copies in other people's documentation of this year (which load the same files and make the same calls), or
//! nothing that could be read. What a vendor has changed where nothing could be read is not known here:
//!
//! | type | source | of | held against |
//! | --- | --- | --- | --- |
//! | `gtmpixel` | <https://developers.google.com/tag-platform/tag-manager/web> | 2026-11-21 | copies |
//! | `gapixel`, `adwordspixel` | <https://developers.google.com/tag-platform/gtagjs> | 2026-11-21 | copies |
//! | `fbpixel` | <https://developers.facebook.com/docs/meta-pixel/get-started> | 2026-11-21 | its page |
//! | `linkedinpixel` | Campaign Manager, Insight Tag; <https://www.linkedin.com/help/lms> | 2026-11-21 | copies |
//! | `twitterpixel` | Ads Manager, Events Manager; <https://business.x.com/en/help> | 2026-11-21 | copies |
//! | `adrollpixel` | the account's `get_pixel`; <https://apidocs.nextroll.com/guides/ecommerce-integration.html> | 2026-11-21 | copies |
//! | `quorapixel` | Ads Manager, Pixel; <https://quoraadsupport.zendesk.com> | 2026-11-21 | nothing |
//! | `pinterest` | <https://help.pinterest.com/en/business/article/install-the-pinterest-tag> | 2026-11-21 | nothing |
//! | `bing` | Microsoft Advertising, UET tags; <https://help.ads.microsoft.com> | 2026-11-21 | copies |
//! | `snapchat` | Ads Manager, Events Manager; <https://businesshelp.snapchat.com> | 2026-11-21 | copies |
//! | `reddit` | Events Manager; <https://business.reddithelp.com> | 2026-11-21 | copies |
//! | `tiktok` | Events Manager; <https://ads.tiktok.com/help> | 2026-11-21 | copies |
//!
//! A date changes with its file in `pixel/`, and only after a look at the source.
//!
//! What a vendor's code loads beyond these hosts, or runs inline (custom HTML of a tag manager), the policy refuses.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::document::{Document, js_string};
use crate::domain::pixel::Vendor;

/// What a vendor brings.
struct Code {
    script: &'static str,
    sources: &'static [&'static str],
}

/// Puts a vendor's code with these tags into the page. An error of it stays its own.
pub(super) fn add(document: &mut Document, vendor: Vendor, name: &str, tags: &[&str]) {
    let code = code(vendor);
    let tags_list: Vec<String> = tags.iter().map(|tag| js_string(tag)).collect();
    document.script.push_str(&format!(
        "/*{name}*/[{}].forEach(function(tag){{try{{{}}}catch(e){{}}}});\n",
        tags_list.join(","),
        code.script
    ));
    document.sources.extend(code.sources);
    for tag in tags {
        let tag = utf8_percent_encode(tag, NON_ALPHANUMERIC).to_string();
        without_script(document, vendor, &tag);
    }
}

fn code(vendor: Vendor) -> Code {
    let (script, sources): (_, &[&str]) = match vendor {
        Vendor::Gtm => (
            include_str!("pixel/gtmpixel.js"),
            &[
                "https://*.googletagmanager.com",
                "https://*.google-analytics.com",
                "https://*.analytics.google.com",
            ],
        ),
        Vendor::Analytics => (
            include_str!("pixel/gapixel.js"),
            &[
                "https://*.googletagmanager.com",
                "https://*.google-analytics.com",
                "https://*.analytics.google.com",
            ],
        ),
        Vendor::Facebook => (
            include_str!("pixel/fbpixel.js"),
            &["https://connect.facebook.net", "https://www.facebook.com"],
        ),
        Vendor::Adwords => (
            include_str!("pixel/adwordspixel.js"),
            &[
                "https://*.googletagmanager.com",
                "https://www.googleadservices.com",
                "https://*.doubleclick.net",
                "https://www.google.com",
                "https://pagead2.googlesyndication.com",
            ],
        ),
        Vendor::Linkedin => (
            include_str!("pixel/linkedinpixel.js"),
            &["https://snap.licdn.com", "https://*.linkedin.com"],
        ),
        Vendor::Twitter => (
            include_str!("pixel/twitterpixel.js"),
            &[
                "https://static.ads-twitter.com",
                "https://ads-twitter.com",
                "https://analytics.twitter.com",
                "https://t.co",
            ],
        ),
        Vendor::Adroll => (
            include_str!("pixel/adrollpixel.js"),
            &["https://*.adroll.com"],
        ),
        Vendor::Quora => (
            include_str!("pixel/quorapixel.js"),
            &["https://a.quora.com", "https://q.quora.com"],
        ),
        Vendor::Pinterest => (
            include_str!("pixel/pinterest.js"),
            &["https://s.pinimg.com", "https://ct.pinterest.com"],
        ),
        Vendor::Bing => (
            include_str!("pixel/bing.js"),
            &["https://bat.bing.com", "https://bat.bing.net"],
        ),
        Vendor::Snapchat => (
            include_str!("pixel/snapchat.js"),
            &["https://sc-static.net", "https://*.snapchat.com"],
        ),
        Vendor::Reddit => (
            include_str!("pixel/reddit.js"),
            &["https://www.redditstatic.com", "https://*.reddit.com"],
        ),
        Vendor::Tiktok => (
            include_str!("pixel/tiktok.js"),
            &["https://analytics.tiktok.com"],
        ),
    };
    Code { script, sources }
}

/// What the vendor gives for browsers without JavaScript; `tag` is percent-encoded.
fn without_script(document: &mut Document, vendor: Vendor, tag: &str) {
    let url = match vendor {
        Vendor::Gtm => {
            let url = format!("https://www.googletagmanager.com/ns.html?id={tag}");
            return document.frames.push(("Google Tag Manager", url));
        }
        Vendor::Facebook => format!("https://www.facebook.com/tr?id={tag}&ev=PageView&noscript=1"),
        Vendor::Linkedin => format!("https://px.ads.linkedin.com/collect/?pid={tag}&fmt=gif"),
        Vendor::Quora => format!("https://q.quora.com/_/ad/{tag}/pixel?tag=ViewContent&noscript=1"),
        Vendor::Pinterest => {
            format!("https://ct.pinterest.com/v3/?event=init&tid={tag}&noscript=1")
        }
        Vendor::Bing => format!("https://bat.bing.com/action/0?ti={tag}&Ver=2"),
        Vendor::Analytics
        | Vendor::Adwords
        | Vendor::Twitter
        | Vendor::Adroll
        | Vendor::Snapchat
        | Vendor::Reddit
        | Vendor::Tiktok => return,
    };
    document.pictures.push(url);
}
