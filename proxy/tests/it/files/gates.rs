//! Files behind a limit of downloads or a password.

use schemas::link::plan::{Beyond, ClickLimit, Password};

use super::{ask, bytes, clicks, file, get, hash, put, request, send, uploads};
use crate::feed_server::FeedServer;
use crate::harness::TestProxy;

#[test]
fn o_150_exactly_so_many_downloads_also_when_they_race() {
    const LIMIT: u64 = 3;
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = bytes(100_000);
    let mut plan = file(&bytes, "kit.zip", Some(&uploads(dir.path())), &feed);
    plan.click_limit = Some(ClickLimit {
        max: LIMIT,
        beyond: Beyond::Expired,
    });
    feed.lock().limits.insert(5, (LIMIT, 0));
    put(&feed, 5, "kit", &plan);
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let tag = format!("\"{}\"", hash(&bytes));
    // A lease that comes too late on a busy machine is 503, and spends nothing.
    let patient = |more: &str| loop {
        let got = get(&proxy, "kit", more);
        if got.status != 503 {
            break got;
        }
    };
    // Those who look spend nothing and are not told the tag.
    for _ in 0..5 {
        let head = ask(&proxy, "HEAD", "kit", "");
        assert_eq!((head.status, head.header("etag")), (200, ""));
        assert_eq!(get(&proxy, "kit", "Range: bytes=100000-\r\n").status, 416);
    }
    assert_eq!(
        get(&proxy, "kit", &format!("If-None-Match: {tag}\r\n")).status,
        304
    );
    // A later part without proof of the first is a download; with it, it is none.
    let begun = patient("Range: bytes=50000-\r\n");
    assert_eq!((begun.status, begun.header("etag")), (206, &*tag));
    let through = std::thread::scope(|scope| {
        let downloads = || {
            let answers = (0..5).map(|_| patient(""));
            answers
                .filter(|got| got.status == 200 && got.body == bytes)
                .count()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(downloads)).collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("downloads"))
            .sum::<usize>()
    });
    assert_eq!(through as u64, LIMIT - 1);
    assert_eq!(patient("").status, 410);
    // The last one that broke off is still brought to its end, and nobody else gets on.
    let rest = get(
        &proxy,
        "kit",
        &format!("Range: bytes=99000-\r\nIf-Range: {tag}\r\n"),
    );
    assert!(rest.status == 206 && rest.body == bytes[99_000..]);
    for other in [
        "Range: bytes=99000-\r\n",
        "Range: bytes=1-\r\nIf-Range: \"x\"\r\n",
    ] {
        assert_eq!(patient(other).status, 410, "{other}");
    }
    assert_eq!(clicks(proxy, dir.path()).len() as u64, LIMIT);
}

#[test]
fn o_148_a_password_stands_before_the_bytes() {
    let feed = FeedServer::start();
    let dir = tempfile::tempdir().expect("tempdir");
    let bytes = bytes(10_000);
    let mut plan = file(&bytes, "kit.zip", Some(&uploads(dir.path())), &feed);
    plan.password = Some(Password {
        version: 1,
        phc: crate::extended::phc("open sesame"),
    });
    put(&feed, 5, "kit", &plan);
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let asked = get(&proxy, "kit", "");
    let text = String::from_utf8_lossy(&asked.body);
    assert!(asked.status == 200 && text.contains("name=\"password\"") && !text.contains("kit.zip"));
    assert_eq!(get(&proxy, "kit", "Range: bytes=5-\r\n").body, asked.body);
    let give = |password: &str| {
        let form = format!("password={password}");
        let more = format!(
            "Connection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.len()
        );
        send(
            &proxy,
            format!("{}{form}", request("POST", "kit", &more)).as_bytes(),
        )
    };
    let wrong = give("open");
    assert!(wrong.status == 401 && wrong.body != bytes);
    let right = give("open+sesame");
    assert!(right.status == 200 && right.body == bytes, "{}", right.head);
    assert_eq!(clicks(proxy, dir.path()).len(), 1);
}
