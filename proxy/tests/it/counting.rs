//! Every answer is in a counter.

use std::io::Write as _;

use metrics_exporter_prometheus::PrometheusBuilder;

use crate::feed_server::FeedServer;
use crate::harness::{TestProxy, eventually, read_answer};

#[test]
fn answers_are_counted_by_kind_and_method() {
    let recorder = PrometheusBuilder::new()
        .install_recorder()
        .expect("the only recorder");
    let feed = FeedServer::start();
    feed.put("a", "https://dest.test/");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    // Other tests of this process may count as well: at least these must be there.
    let at_least = |name: &str, least: f64| {
        recorder.render().lines().any(|line| {
            line.strip_prefix(name)
                .and_then(|value| value.trim().parse::<f64>().ok())
                .is_some_and(|value| value >= least)
        })
    };
    let mut stream = proxy.connect();
    let mut rest = Vec::new();
    for (method, path) in [
        ("GET", "/a"),
        ("HEAD", "/a"),
        ("HEAD", "/a"),
        ("GET", "/nope"),
        ("OPTIONS", "/a"),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: go.test\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("written");
        read_answer(&mut stream, &mut rest, method == "HEAD").expect("answer");
    }
    let answers = "signpost_proxy_answers_total";
    eventually("the answers are counted", || {
        at_least(
            &format!(r#"{answers}{{answer="redirect",method="get"}}"#),
            1.0,
        ) && at_least(
            &format!(r#"{answers}{{answer="redirect",method="head"}}"#),
            2.0,
        ) && at_least(
            &format!(r#"{answers}{{answer="unknown_slug",method="get"}}"#),
            1.0,
        ) && at_least(
            &format!(r#"{answers}{{answer="options",method="other"}}"#),
            1.0,
        ) && at_least("signpost_proxy_connections_total", 1.0)
            && at_least("signpost_proxy_feed_snapshots_total", 1.0)
    });
    // A visit is a click; HEAD and pages are not.
    eventually("the visit is a click", || {
        at_least("signpost_proxy_clicks_total", 1.0)
    });
}
