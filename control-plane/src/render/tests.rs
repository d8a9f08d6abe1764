//! What holds for every page.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;
use schemas::link::plan::MAX_CSP_BYTES;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::domain::color::Color;
use crate::domain::overlay::{Kind, Position};
use crate::domain::pixel::Tag;

fn link(surface: Surface<'_>, pixels: &[Pixel]) -> Rendered {
    super::link(surface, pixels).expect("a page")
}

fn pixel(vendor: Vendor, tag: &str) -> Pixel {
    Pixel {
        vendor,
        name: String::new(),
        tag: Tag::parse("tag", tag).expect("legal"),
    }
}

fn all_pixels() -> Vec<Pixel> {
    let all = Vendor::ALL.iter();
    all.map(|(vendor, name)| pixel(*vendor, &format!("{name}-1/x:y.z_")))
        .collect()
}

fn splash(text: &str) -> Splash {
    Splash {
        name: text.to_owned(),
        title: text.to_owned(),
        message: text.to_owned(),
        image: "https://img.test/a.png?x=1&y".to_owned(),
        button: text.to_owned(),
        link: "https://e.test/?a=1&b=\u{27}".to_owned(),
        counter: 7,
    }
}

fn overlay(kind: Kind, text: &str) -> Overlay {
    Overlay {
        name: text.to_owned(),
        message: text.to_owned(),
        button: text.to_owned(),
        position: Position::TopLeft,
        color: Color([1, 2, 3]),
        email: "owner@e.test".to_owned(),
        ..Overlay::new(kind)
    }
}

fn text(page: &Rendered) -> String {
    String::from_utf8(page.body.clone()).expect("UTF-8")
}

/// The policy names exactly the script and style there are, no element carries its own, and every hole is one.
#[track_caller]
fn check(page: &Rendered) {
    let html = text(page);
    assert!(
        html.starts_with("<!DOCTYPE html><html lang=\"en\">"),
        "{html}"
    );
    assert!(
        page.csp.len() <= MAX_CSP_BYTES,
        "{}: {}",
        page.csp.len(),
        page.csp
    );
    for element in ["script", "style"] {
        let inside: Vec<&str> = html
            .split(&format!("<{element}>"))
            .skip(1)
            .map(|rest| {
                rest.split(&format!("</{element}>"))
                    .next()
                    .unwrap_or_default()
            })
            .collect();
        // A style of its own for browsers without scripts.
        let most = if element == "style" { 2 } else { 1 };
        assert!(inside.len() <= most, "{element} in {html}");
        for text in inside {
            let hash = BASE64_STANDARD.encode(Sha256::digest(text));
            assert!(
                page.csp.contains(&format!("'sha256-{hash}'")),
                "{element}: {}",
                page.csp
            );
            assert!(!text.contains('\0'), "a hole in {element}");
        }
        assert_eq!(
            html.matches(&format!("<{element}")).count(),
            html.matches(&format!("</{element}>")).count()
        );
    }
    let outside = html.split("<script>").next().unwrap_or_default();
    assert!(
        !outside.contains(" style=") && !outside.contains(" onclick="),
        "{outside}"
    );
    assert!(!page.csp.contains("unsafe"));
    for (at, _) in html.match_indices('\0') {
        assert!(
            matches!(html.as_bytes().get(at + 1), Some(b'd' | b'h')),
            "{html:?}"
        );
    }
}

/// All kinds of pages with this text of the owner's.
fn pages(words: &str) -> Vec<Rendered> {
    let splash = splash(words);
    let (message, contact) = (overlay(Kind::Message, words), overlay(Kind::Contact, words));
    let surfaces = [
        Surface::Direct,
        Surface::Frame,
        Surface::Splash(None),
        Surface::Splash(Some(&splash)),
        Surface::Overlay(7, &message),
        Surface::Overlay(7, &contact),
    ];
    let mut pages: Vec<Rendered> = surfaces.iter().map(|s| link(*s, &all_pixels())).collect();
    pages.extend(surfaces.iter().skip(1).map(|s| link(*s, &[])));
    pages.push(expired(words, words));
    pages
}

#[test]
fn every_page_is_whole_and_its_policy_fits() {
    for page in pages("Hello") {
        check(&page);
    }
    assert_eq!(super::link(Surface::Direct, &[]), None);
    assert_eq!(expired("", "").status, 410);
    assert!(text(&expired("", "")).contains("This link has expired"));
}

#[test]
fn without_pixels_no_other_host_is_named() {
    for surface in [Surface::Frame, Surface::Splash(None)] {
        let page = link(surface, &[]);
        assert!(
            !text(&page).contains("://") && !page.csp.contains("://"),
            "{}",
            page.csp
        );
    }
    let page = link(Surface::Splash(Some(&splash("x"))), &[]);
    assert!(
        page.csp.contains("img-src https://img.test;")
            || page.csp.contains("img-src https://img.test "),
        "{}",
        page.csp
    );
    assert_eq!(page.csp.matches("://").count(), 1, "{}", page.csp);
}

#[test]
fn each_vendor_gets_its_code_its_tag_and_its_hosts_alone() {
    let hosts = [
        ("gtmpixel", "www.googletagmanager.com/gtm.js"),
        ("gapixel", "www.googletagmanager.com/gtag/js"),
        ("fbpixel", "connect.facebook.net/en_US/fbevents.js"),
        ("adwordspixel", "www.googletagmanager.com/gtag/js"),
        (
            "linkedinpixel",
            "snap.licdn.com/li.lms-analytics/insight.min.js",
        ),
        ("twitterpixel", "static.ads-twitter.com/uwt.js"),
        ("adrollpixel", "s.adroll.com/j/"),
        ("quorapixel", "a.quora.com/qevents.js"),
        ("pinterest", "s.pinimg.com/ct/core.js"),
        ("bing", "bat.bing.com/bat.js"),
        ("snapchat", "sc-static.net/scevent.min.js"),
        ("reddit", "www.redditstatic.com/ads/pixel.js"),
        ("tiktok", "analytics.tiktok.com/i18n/pixel/events.js"),
    ];
    for ((vendor, name), (other, place)) in Vendor::ALL.into_iter().zip(hosts) {
        assert_eq!(name, other);
        let page = link(
            Surface::Direct,
            &[
                pixel(vendor, "TAG-1/x"),
                pixel(vendor, "TAG-2"),
                pixel(vendor, "TAG-2"),
            ],
        );
        check(&page);
        let html = text(&page);
        assert!(html.contains(&format!("https://{place}")), "{name}");
        assert!(html.contains("[\"TAG-1/x\",\"TAG-2\"].forEach"), "{name}");
        assert_eq!(html.matches(place).count(), 1, "{name}");
        // It stands in the policy, perhaps by wildcard, and other vendors' do not.
        let host = place.split('/').next().unwrap_or_default();
        let domain = host.split_once('.').map_or(host, |(_, rest)| rest);
        assert!(
            page.csp.contains(&format!("https://{host}"))
                || page.csp.contains(&format!("https://*.{domain}")),
            "{name}: {}",
            page.csp
        );
        assert!(
            page.csp.contains("tiktok") == (name == "tiktok")
                && page.csp.contains("facebook") == (name == "fbpixel")
        );
        let without_script = html
            .split("url(\"https://")
            .chain(html.split("0;url=https://"));
        assert!(!html.contains("<img") && !html.contains(" src="), "{html}");
        for url in without_script.filter(|part| !part.starts_with('<')) {
            let host = url.split('/').next().unwrap_or_default();
            let domain = host.split_once('.').map_or(host, |(_, rest)| rest);
            let known = [
                host.to_owned(),
                format!("*.{domain}"),
                "*.linkedin.com".to_owned(),
            ];
            assert!(
                known
                    .iter()
                    .any(|k| page.csp.contains(&format!("https://{k}"))),
                "{host}: {}",
                page.csp
            );
            assert!(
                !url.split(['"', '&'])
                    .next()
                    .unwrap_or_default()
                    .contains("TAG-1"),
                "percent-encoded: {url}"
            );
        }
    }
}

#[test]
fn pages_go_on_without_scripts() {
    // A second where something is asked for meanwhile.
    for (vendor, seconds) in [(Vendor::Bing, 1), (Vendor::Gtm, 1), (Vendor::Reddit, 0)] {
        let html = text(&link(Surface::Direct, &[pixel(vendor, "1")]));
        let meta = format!("<meta http-equiv=\"refresh\" content=\"{seconds};url=\0d\">");
        assert!(
            html.contains(&format!("<noscript>{meta}</noscript>")),
            "{html}"
        );
    }
    let html = text(&link(Surface::Splash(Some(&splash("x"))), &[]));
    assert!(
        html.contains("content=\"7;url=\0d\"") && html.contains("href=\"\0d\""),
        "{html}"
    );
    let mut waits = splash("x");
    waits.counter = 0;
    let html = text(&link(Surface::Splash(Some(&waits)), &[]));
    assert!(
        !html.contains("refresh") && !html.contains("<script") && html.contains("href=\"\0d\""),
        "{html}"
    );
}

#[test]
fn surfaces_show_what_is_set() {
    let html = text(&link(Surface::Splash(Some(&splash("Été & <b>"))), &[]));
    assert!(
        html.contains("<h1>Été &amp; &lt;b&gt;</h1>")
            && html.contains("<title>Été &amp; &lt;b&gt;</title>"),
        "{html}"
    );
    assert!(
        html.contains("src=\"https://img.test/a.png?x=1&amp;y\""),
        "{html}"
    );
    let html = text(&link(
        Surface::Overlay(7, &overlay(Kind::Contact, "Ask")),
        &[],
    ));
    assert!(
        html.contains("<iframe class=\"whole\" title=\"\0h\" src=\"\0d\""),
        "{html}"
    );
    assert!(
        html.contains("name=\"overlay\" value=\"7\"") && html.contains("class=\"top-left\""),
        "{html}"
    );
    assert!(
        html.contains("background:#010203;color:#ffffff") && !html.contains("owner@e.test"),
        "{html}"
    );
    // Pixels and a surface are one page.
    let html = text(&link(Surface::Frame, &[pixel(Vendor::Reddit, "t2_1")]));
    assert!(
        html.contains("<iframe class=\"whole\"")
            && html.contains("redditstatic")
            && !html.contains("refresh"),
        "{html}"
    );
}

proptest! {
    #[test]
    fn texts_never_become_markup(words in "[<>\"'&/a-zA-Z!=\\- ;(){}\u{2028}é]{0,60}") {
        let plain = pages("x").iter().map(|p| text(p).matches('<').count()).collect::<Vec<_>>();
        let hostile = pages(&format!("x{words}</script><script>alert(1)</script><img src=x onerror=y>\"'"));
        for (page, plain) in hostile.iter().zip(plain) {
            check(page);
            prop_assert_eq!(text(page).matches('<').count(), plain);
        }
    }
}
