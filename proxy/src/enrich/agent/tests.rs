//! The classifier against the hand-made table of the replay, user agents of today, and hostile ones.

use proptest::prelude::*;

use super::*;

/// Made by hand from a real log; see `loadtest/data/README.md` for its rules of judgement.
const TABLE: &str = include_str!("../../../../loadtest/data/user_agents.tsv");

/// Labels that the table knows; any other is `Other` to it, and a version behind one is no part of it.
const BROWSERS: [&str; 8] = [
    "Chrome",
    "Firefox",
    "Safari",
    "Internet Explorer",
    "Edge",
    "Opera",
    "Android Browser",
    "Samsung Internet",
];
const SYSTEMS: [&str; 6] = ["Windows", "macOS", "Linux", "Android", "iOS", "Chrome OS"];

fn as_in_table(label: &str, known: &[&'static str]) -> &'static str {
    known
        .iter()
        .find(|k| **k == label)
        .copied()
        .unwrap_or(OTHER)
}

#[test]
fn the_hand_made_table_is_agreed_with() {
    let mut agents = Agents::new().expect("matchers");
    let mut wrong = Vec::new();
    let mut compared = 0;
    for line in TABLE.lines().skip(1) {
        let fields: Vec<_> = line.split('\t').collect();
        let [text, _, kind, browser, os, device] = fields[..] else {
            panic!("{line}")
        };
        let text = if text == "-" {
            String::new()
        } else {
            text.replace("\\t", "\t").replace("\\\\", "\\")
        };
        let agent = agents.of(text.as_bytes());
        let found = if agent.bot.is_some() {
            ("bot", "-", "-", agent.device.label())
        } else {
            (
                "browser",
                as_in_table(&agent.browser, &BROWSERS),
                as_in_table(&agent.os, &SYSTEMS),
                agent.device.label(),
            )
        };
        if kind == "ambiguous" {
            continue;
        }
        compared += 1;
        if found != (kind, browser, os, device) {
            wrong.push(format!(
                "{text}\n  table {:?}\n  found {found:?} {:?}",
                (kind, browser, os, device),
                agent.bot
            ));
        }
    }
    assert!(compared > 500);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[track_caller]
fn check(text: &str, device: Device, os: (&str, &str), browser: (&str, &str)) {
    let agent = Agents::new().expect("matchers").of(text.as_bytes());
    assert_eq!(agent.bot, None, "{text}");
    let found = (
        agent.device,
        (agent.os.as_str(), agent.os_version.as_str()),
        (agent.browser.as_str(), agent.browser_version.as_str()),
    );
    assert_eq!(found, (device, os, browser), "{text}");
}

#[test]
fn browsers_of_today_are_known() {
    use Device::{Desktop, Mobile, Other, Tablet};
    check(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        Desktop,
        ("Windows", "10"),
        ("Chrome", "126.0.0.0"),
    );
    check(
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.68",
        Desktop,
        ("Windows", "10"),
        ("Edge", "126.0.2592.68"),
    );
    check(
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15",
        Desktop,
        ("macOS", "10.15.7"),
        ("Safari", "17.5"),
    );
    check(
        "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
        Desktop,
        ("Linux", ""),
        ("Firefox", "127.0"),
    );
    check(
        "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36",
        Desktop,
        ("Chrome OS", "14541.0.0"),
        ("Chrome", "125.0.0.0"),
    );
    check(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
        Mobile,
        ("iOS", "17.5.1"),
        ("Safari", "17.5"),
    );
    check(
        "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
        Tablet,
        ("iOS", "16.6"),
        ("Chrome", "126.0.6478.54"),
    );
    check(
        "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
        Mobile,
        ("Android", "14"),
        ("Chrome", "126.0.0.0"),
    );
    check(
        "Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        Tablet,
        ("Android", "13"),
        ("Chrome", "126.0.0.0"),
    );
    check(
        "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
        Mobile,
        ("Android", "14"),
        ("Samsung Internet", "25.0"),
    );
    check(
        "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/96.0.4664.45 Mobile Safari/537.36",
        Mobile,
        ("Android", "9"),
        ("Chrome", "96.0.4664.45"),
    );
    check(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/465.0.0.35.106;FBDV/iPhone14,5]",
        Mobile,
        ("iOS", "17.4"),
        ("Facebook", "465.0.0.35.106"),
    );
    check(
        "Mozilla/5.0 (Linux; Android 12; M2102J20SG; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36 Instagram 320.0.0.42.101 Android",
        Mobile,
        ("Android", "12"),
        ("Instagram", ""),
    );
    check(
        "Mozilla/5.0 (Linux; Android 15; Pixel 8 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/126.0.0.0 Mobile Safari/537.36",
        Mobile,
        ("Android", "15"),
        ("Android WebView", "126.0.0.0"),
    );
    check(
        "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
        Other,
        ("Other", ""),
        ("Other", ""),
    );
    check(
        "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/6.0 TV Safari/537.36",
        Other,
        ("Tizen", "6.0"),
        ("Other", ""),
    );
}

#[test]
fn programs_that_are_no_browser_are_bots() {
    let mut agents = Agents::new().expect("matchers");
    for (text, reason) in [
        ("", "no-user-agent"),
        ("   ", "no-user-agent"),
        ("curl/8.5.0", "crawler-user-agents"),
        ("python-requests/2.32.3", "crawler-user-agents"),
        ("Go-http-client/1.1", "crawler-user-agents"),
        ("WhatsApp/2.24.11.77 A", "crawler-user-agents"),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
            "crawler-user-agents",
        ),
        ("Java/17.0.9", "library"),
        (
            "Dalvik/2.1.0 (Linux; U; Android 11; M2101K7AG Build/RKQ1.201022.002)",
            "library",
        ),
        ("Mozilla/5.0 (compatible; SomeNewBot/1.0)", "robot"),
        (
            "Mozilla/5.0 (compatible; Thing/1.0; +https://thing.test/about)",
            "contact-address",
        ),
        ("Thing/1.0 (someone@thing.test)", "contact-address"),
        ("SomeReader/3.1 RSS", "feed-reader"),
        ("MyLinkChecker 2", "link-checker"),
        ("Thing", "no-browser"),
        ("Mozilla/5.0", "no-browser"),
        ("Mozilla/4.0 (compatible;)", "no-browser"),
        ("\u{fffd}\0<script>alert(1)</script>", "no-browser"),
    ] {
        let agent = agents.of(text.as_bytes());
        assert_eq!(agent.bot.as_ref().map(|b| b.reason), Some(reason), "{text}");
        assert_eq!(agent.device, Device::Bot);
    }
}

#[test]
fn the_memory_is_bounded_and_changes_nothing() {
    let mut agents = Agents::new().expect("matchers");
    let first = agents.of(b"Thing/0");
    for i in 0..3 * CACHED {
        agents.of(format!("Mozilla/5.0 (X{i})").as_bytes());
        assert!(agents.recent.len() <= CACHED && agents.older.len() <= CACHED);
    }
    assert_eq!(agents.of(b"Thing/0"), first);
}

proptest! {
    #[test]
    fn any_bytes_get_a_bounded_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..200), tokens in proptest::collection::vec("(Mozilla/5\\.0 |\\(|Android |Version/|Chrome/[0-9.]{0,90}|CrOS |iPhone OS [0-9_]{0,90}|MSIE |rv:|Windows NT |Silk/|;|\\)| ){1,3}", 0..10)) {
        thread_local!(static AGENTS: std::cell::RefCell<Agents> = std::cell::RefCell::new(Agents::new().expect("matchers")));
        AGENTS.with_borrow_mut(|agents| {
            for text in [bytes, tokens.concat().into_bytes()] {
                let agent = agents.of(&text);
                for label in [&agent.os, &agent.os_version, &agent.browser, &agent.browser_version] {
                    assert!(label.len() <= MAX_LABEL_BYTES);
                }
            }
        });
    }
}
