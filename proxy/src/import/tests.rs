//! A log brought in, and the records read back.
#![allow(clippy::unwrap_used, reason = "tests")]

use schemas::click::{Book, Click};
use schemas::click_log::{Next, SEGMENT_HEADER_BYTES, next_record};
use schemas::settings::Settings;

use super::*;

const LOG: &str = r#"192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a?utm_source=n HTTP/1.1" 200 1 "http://from.test/" "Mozilla/5.0 (Windows NT 6.1; rv:27.0) Gecko/20100101 Firefox/27.0"
192.0.2.1 - - [17/May/2015:10:05:04 +0000] "HEAD /a HTTP/1.1" 200 1 "-" "-"

nonsense
192.0.2.2 - - [18/May/2015:10:05:05 +0000] "GET /none HTTP/1.1" 404 1 "-" "curl/8"
192.0.2.3 - - [19/May/2015:10:05:06 +0000] "GET /a HTTP/1.1" 200 1 "-" "curl/8"
"#;

fn config(dir: &std::path::Path) -> Config {
    Config::from_settings(&mut Settings::new([(
        "SIGNPOST_DATA_DIR",
        dir.to_str().unwrap(),
    )]))
}

fn resolve(host: &str, path: &str) -> Option<Answered> {
    (host == "go.test" && path == "/a").then(|| Answered {
        link: 1,
        workspace: 2,
        domain: 3,
        slug: "a".to_owned(),
    })
}

fn told(config: &Config) -> (Vec<Click>, Vec<Book>) {
    let (mut clicks, mut books) = (Vec::new(), Vec::new());
    let mut paths: Vec<_> = std::fs::read_dir(folder(config))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    paths.sort();
    for path in paths
        .iter()
        .filter(|p| p.extension().is_some_and(|e| e == "clicks"))
    {
        let bytes = std::fs::read(path).unwrap();
        let mut rest = &bytes[SEGMENT_HEADER_BYTES..];
        while let Next::Record {
            kind,
            payload,
            length,
        } = next_record(rest)
        {
            match kind {
                Kind::Click => clicks.push(Click::decode(payload).unwrap()),
                Kind::Book => books.push(Book::decode(payload).unwrap()),
            }
            rest = &rest[length..];
        }
    }
    (clicks, books)
}

fn found(host: &str, path: &str) -> anyhow::Result<Option<Answered>> {
    Ok(resolve(host, path))
}

#[test]
fn visits_come_in_with_their_times_and_the_rest_is_in_the_books() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let report = import(&config, LOG.as_bytes(), "go.test", found).unwrap();
    assert_eq!(
        (
            report.lines,
            report.clicks,
            report.not_visits,
            report.no_link,
            report.unreadable
        ),
        (5, 2, 1, 1, 1)
    );

    let (clicks, books) = told(&config);
    assert_eq!(
        clicks
            .iter()
            .map(|c| (c.position, c.time_ms))
            .collect::<Vec<_>>(),
        [(0, 1_431_857_103_000), (4, 1_432_029_906_000)]
    );
    let first = &clicks[0];
    assert_eq!(
        (
            first.link,
            first.workspace,
            first.domain,
            first.host.as_str(),
            first.slug.as_str()
        ),
        (1, 2, 3, "go.test", "a")
    );
    assert_eq!(
        (
            first.browser.as_str(),
            first.utm_source.as_str(),
            first.referrer_host.as_str(),
            first.visitor
        ),
        ("Firefox", "n", "from.test", None)
    );
    assert!(clicks[1].bot);
    let book = books.last().unwrap();
    assert!(book.closed && book.written == 5);
    let dropped: Vec<_> = book
        .dropped
        .iter()
        .map(|d| (d.from, d.to, d.reason.as_str()))
        .collect();
    assert_eq!(
        dropped,
        [
            (1, 2, "import_not_a_visit"),
            (2, 3, "import_unreadable"),
            (3, 4, "import_no_link")
        ]
    );
}

#[test]
fn the_same_log_twice_is_the_same_clicks() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let first = import(&config, LOG.as_bytes(), "go.test", found).unwrap();
    let second = import(&config, LOG.as_bytes(), "go.test", found).unwrap();
    assert_eq!(first, second);
    let (clicks, _) = told(&config);
    assert_eq!(clicks[..2], clicks[2..]);
    let other = import(&config, LOG.as_bytes(), "other.test", found).unwrap();
    assert_ne!(other.stream, first.stream);
    assert_eq!(other.no_link, 3);
}

#[test]
fn a_look_up_that_fails_ends_the_import_and_the_next_one_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut asked = 0;
    let failed = import(&config, LOG.as_bytes(), "go.test", |host, path| {
        asked += 1;
        anyhow::ensure!(asked < 3, "database is gone");
        Ok(resolve(host, path))
    });
    assert!(format!("{:#}", failed.unwrap_err()).contains("database is gone"));
    assert!(told(&config).0.is_empty());
    let report = import(&config, LOG.as_bytes(), "go.test", found).unwrap();
    assert_eq!((report.clicks, told(&config).0.len()), (2, 2));
}
