//! Links made at `/api/v2`, as visitors meet them, and their numbers: one process for all.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::{Answer, CHROME, SETTLE, Up, eventually};

const SLACK: &str = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const GERMANY: &str = "81.169.145.1";
const AMERICA: &str = "8.8.8.8";

/// A call of the dialect.
pub(crate) fn urlr(up: &Up, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let key = up.key();
    let headers = [("x-api-key", &*key), ("content-type", "application/json")];
    let url = format!("http://{}/api/v2{path}", up.api);
    let body = body.map(Value::to_string);
    up.try_send(method, &url, &headers, body.as_deref())
        .unwrap_or_else(|| panic!("no answer from {method} {path}\n{}", up.log()))
}

/// A new link that visitors find.
#[track_caller]
fn link(up: &Up, code: &str, mut body: Value) -> Value {
    body["code"] = code.into();
    let answer = urlr(up, "POST", "/links", Some(&body));
    assert_eq!(answer.status, 201, "{answer:?}");
    eventually(SETTLE, "link goes live", || {
        (up.head(&format!("/{}", path(code))).status != 404).then_some(())
    });
    answer.json()
}

/// The answer to a request for this target, byte for byte, in lower case.
fn raw(up: &Up, target: &str) -> String {
    let mut stream = TcpStream::connect(up.proxy).unwrap();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {CHROME}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).to_ascii_lowercase()
}

/// Percent-encoded, but for slashes.
fn path(code: &str) -> String {
    code.bytes()
        .map(|b| match b {
            b'/' | b'-' | b'_' => char::from(b).to_string(),
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

/// So many milliseconds from now, as a date.
pub(crate) fn after(ms: u64) -> (String, Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    // The whole second after it: dates are kept to the second.
    let at = Duration::from_secs((now.as_millis() as u64 + ms) / 1000 + 1);
    let day = at.as_secs() / 86400;
    let (hour, minute, second) = (
        at.as_secs() / 3600 % 24,
        at.as_secs() / 60 % 60,
        at.as_secs() % 60,
    );
    // Days to a date by the civil calendar (Howard Hinnant's algorithm).
    let z = day + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let date = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let text = format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z");
    (text, at)
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis()
}

fn id(link: &Value) -> &str {
    link["id"].as_str().unwrap()
}

/// What an image in a data URL holds.
fn decoded(data: &str) -> String {
    let base64 = data.strip_prefix("data:image/png;base64,").unwrap();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for c in base64.bytes().filter(|c| *c != b'=') {
        let value = alphabet.iter().position(|a| *a == c).unwrap() as u32;
        bits = bits << 6 | value;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    let mut decoder = png::Decoder::new(std::io::Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let (width, height) = (info.width as usize, info.height as usize);
    let samples = info.color_type.samples();
    let grey = |x: usize, y: usize| pixels[(y * width + x) * samples];
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, grey);
    image.detect_grids().first().unwrap().decode().unwrap().1
}

#[test]
fn links_of_urlr_are_met_by_visitors() {
    let up = Up::with(&[("SIGNPOST_DOMAIN_CHECK", "off")]);

    // u_28, u_29: letters of any script and slashes, encoded or not.
    link(&up, "été/Москва-1_a", json!({"url": "https://e.test/any"}));
    let encoded = format!("/{}", path("été/Москва-1_a"));
    assert_eq!(up.visit(&encoded).header("location"), "https://e.test/any");
    // u_29: as it is written, in UTF-8, as some programs send it; also one letter so and the other so.
    for target in [
        "/été/Москва-1_a",
        "/%C3%A9té/Москва-1_a",
        "/été/Москва-1_a?x=ü",
    ] {
        let answer = raw(&up, target);
        assert!(answer.starts_with("http/1.1 302"), "{target} {answer}");
        let location = "\r\nlocation: https://e.test/any\r\n";
        assert!(answer.contains(location), "{target} {answer}");
    }
    assert!(raw(&up, "/Été/Москва-1_a").starts_with("http/1.1 404"));

    // u_21: an edit moves visitors; u_17: a deletion ends it.
    let moved = link(&up, "old", json!({"url": "https://e.test/1"}));
    let place = format!("/links/{}", id(&moved));
    urlr(
        &up,
        "PATCH",
        &place,
        Some(&json!({"code": "new", "url": "https://e.test/2"})),
    );
    eventually(SETTLE, "visitors move", || {
        (up.visit("/new").header("location") == "https://e.test/2"
            && up.visit("/old").status == 404)
            .then_some(())
    });
    assert_eq!(urlr(&up, "DELETE", &place, None).status, 200);
    eventually(SETTLE, "the link goes", || {
        (up.visit("/new").status == 404).then_some(())
    });

    // u_31: a password is asked for.
    link(
        &up,
        "locked",
        json!({"url": "https://e.test/secret", "password": "open sesame"}),
    );
    let asked = up.visit("/locked");
    assert!(
        asked.header("location").is_empty() && asked.body.contains("name=\"password\""),
        "{asked:?}"
    );
    let given = |password: &str| {
        let form = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("user-agent", CHROME),
        ];
        let url = format!("http://{}/locked", up.proxy);
        let body = format!("password={password}");
        let answer = up.try_send("POST", &url, &form, Some(&body));
        answer.expect("an answer").header("location").to_owned()
    };
    assert_eq!(given("open+says+me"), "");
    assert_eq!(given("open+sesame"), "https://e.test/secret");

    // u_33: from a time to come on it is no longer the destination; without words of its own in ours.
    let (at, instant) = after(3000);
    let soon = json!({"url": "https://e.test/soon", "expired_at": at});
    link(&up, "soon", soon);
    let over = eventually(SETTLE, "the link expires", || {
        let (answer, seen) = (up.visit("/soon"), now());
        match answer.status {
            302 => assert_eq!(answer.header("location"), "https://e.test/soon"),
            _ => assert!(seen >= instant.as_millis(), "{answer:?}"),
        }
        (answer.status != 302).then_some(answer)
    });
    assert_eq!((over.status, over.header("location")), (410, ""));
    assert!(over.body.contains("This link has expired"), "{over:?}");

    // u_33, u_34, u_35: after its time.
    link(
        &up,
        "late",
        json!({"url": "https://e.test/", "expired_at": "2021-01-01T00:00:00Z", "expired_url": "https://late.test/"}),
    );
    let late = up.visit("/late");
    assert_eq!(
        (late.status, late.header("location")),
        (302, "https://late.test/")
    );
    link(
        &up,
        "over",
        json!({"url": "https://e.test/", "expired_at": "2021-01-01T00:00:00Z", "expired_title": "Too <late>", "expired_text": "Come back & see"}),
    );
    let over = up.visit("/over");
    assert_eq!(over.status, 410);
    assert!(
        over.body.contains("Too &lt;late&gt;") && over.body.contains("Come back &amp; see"),
        "{over:?}"
    );

    // u_39: utm; u_40: a preview for bots.
    link(
        &up,
        "utm",
        json!({"url": "https://e.test/", "utm": {"source": "s", "campaign_id": "7"}, "metatag": {"title": "A <title>", "description": "D", "image": "https://i.test/a.png"}}),
    );
    assert_eq!(
        up.visit("/utm").header("location"),
        "https://e.test/?utm_id=7&utm_source=s"
    );
    let preview = up.visit_as("/utm", "203.0.113.9", SLACK, &[]).body;
    for part in [
        "og:title",
        "A &lt;title&gt;",
        "og:description",
        "og:image",
        "https://i.test/a.png",
    ] {
        assert!(preview.contains(part), "{part}: {preview}");
    }

    // u_41: geolinks; AND binds before OR, the first that holds decides.
    let condition = |kind: &str, value: &str, operator: Value| json!({"type": kind, "value": value, "operator": operator});
    link(
        &up,
        "geo",
        json!({"url": "https://e.test/else", "geolinks": [
            {"conditions": [condition("country", "DE", Value::Null), condition("language", "de", json!("AND")), condition("system", "Android", json!("OR"))], "url": "https://e.test/first"},
            {"conditions": [condition("country", "US", Value::Null)], "url": "https://e.test/us"},
        ]}),
    );
    for (address, agent, language, to) in [
        (GERMANY, CHROME, "de-DE", "first"),
        (GERMANY, CHROME, "fr", "else"),
        (AMERICA, ANDROID, "en", "first"),
        (AMERICA, CHROME, "de", "us"),
        ("192.168.1.1", CHROME, "de", "else"),
    ] {
        let answer = up.visit_as("/geo", address, agent, &[("accept-language", language)]);
        assert_eq!(
            answer.header("location"),
            format!("https://e.test/{to}"),
            "{address} {language}"
        );
    }

    // u_66: the root of a domain.
    let domain = urlr(
        &up,
        "POST",
        "/domains",
        Some(&json!({"domain": "mybrand.test", "root_url": "https://e.test/home"})),
    );
    assert_eq!(domain.status, 201, "{domain:?}");
    eventually(SETTLE, "the domain goes live", || {
        (up.visit_as("/", "203.0.113.7", CHROME, &[("host", "mybrand.test")])
            .header("location")
            == "https://e.test/home")
            .then_some(())
    });
    // u_26: a link there.
    let there = link(&up, "elsewhere", json!({"url": "https://e.test/there"}));
    let there = urlr(
        &up,
        "PATCH",
        &format!("/links/{}", id(&there)),
        Some(&json!({"domain": "mybrand.test"})),
    )
    .json();
    assert_eq!(there["domain"], "mybrand.test");
    eventually(SETTLE, "the link moves", || {
        (up.visit_as(
            "/elsewhere",
            "203.0.113.7",
            CHROME,
            &[("host", "mybrand.test")],
        )
        .header("location")
            == "https://e.test/there")
            .then_some(())
    });

    // u_32, u_36: the last instant, kept by the proxy alone, whatever else is true of the link.
    let (at, instant) = after(6000);
    link(
        &up,
        "doomed",
        json!({"url": "https://e.test/", "delete_at": at, "password": "x"}),
    );
    link(
        &up,
        "ending",
        json!({"url": "https://e.test/", "expired_at": at, "delete_after_expiration": true, "expired_url": "https://late.test/"}),
    );
    let control_plane = up.role_pid("control-plane").unwrap();
    Up::signal(control_plane, "STOP");
    let before = (up.visit("/doomed").status, up.visit("/ending").status);
    let in_time = now() < instant.as_millis();
    let ended = eventually(SETTLE, "the links end", || {
        let statuses = (up.visit("/doomed").status, up.visit("/ending").status);
        (statuses == (404, 404)).then(now)
    });
    Up::signal(control_plane, "CONT");
    assert!(!in_time || before == (200, 302), "{before:?}");
    assert!(
        ended >= instant.as_millis() && ended < instant.as_millis() + 2000,
        "{ended} {instant:?}"
    );
}

#[test]
fn scans_and_clicks_of_urlr_add_up() {
    let up = Up::start();
    let made = link(
        &up,
        "counted",
        json!({"url": "https://e.test/", "qrcode": {}}),
    );
    // u_44, u_54: what the image holds is the short URL, whose visit is a scan; u_38.
    let text = decoded(made["qrcode"]["data"].as_str().unwrap());
    let (_, scan) = text.split_once("/counted").unwrap();
    assert!(scan.starts_with("?qr="), "{text}");
    let scan = format!("/counted{scan}");
    eventually(SETTLE, "the code goes live", || {
        let code = scan.replace("/counted?qr=", "/qr/");
        (up.head(&code).status == 302).then_some(())
    });
    assert_eq!(up.visit(&scan).header("location"), "https://e.test/");
    for _ in 0..2 {
        up.visit("/counted");
    }
    up.visit_as("/counted", "198.51.100.2", CHROME, &[]);
    // u_53: visits are clicks and scans; u_51.
    let statistics = |query: &str| {
        let answer = urlr(
            &up,
            "GET",
            &format!("/statistics?link_id={}{query}", id(&made)),
            None,
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let all = eventually(SETTLE, "visits are counted", || {
        Some(statistics("")).filter(|all| all["visits"] == 4)
    });
    assert_eq!(
        all,
        json!({"link_id": made["id"], "visits": 4, "unique_visits": 2, "clicks": 3, "scans": 1})
    );
    // u_52: a range after the visits holds none, one around them all.
    assert_eq!(statistics("&from=2090-01-01T00:00:00Z")["visits"], 0);
    assert_eq!(statistics("&to=2020-01-01T00:00:00Z")["visits"], 0);
    assert_eq!(statistics("&from=2020-01-01&to=2090-01-01"), all);
    // The main dialect counts the same.
    let list = up.api("GET", "/urls", None).json();
    let number = list["data"]["urls"][0]["id"].as_i64().unwrap();
    assert_eq!(up.settled(number, 4)["unique_clicks"], 2);
    // u_16, u_21: the code follows the link.
    let place = format!("/links/{}", id(&made));
    let moved = urlr(&up, "PATCH", &place, Some(&json!({"code": "moved"}))).json();
    let scan = scan.replace("/counted", "/moved");
    assert!(decoded(moved["qrcode"]["data"].as_str().unwrap()).ends_with(&scan));
    eventually(SETTLE, "visitors move", || {
        (up.head("/moved").status == 302).then_some(())
    });
    up.visit(&scan);
    eventually(SETTLE, "the scan is counted", || {
        (statistics("")["scans"] == 2).then_some(())
    });
}
