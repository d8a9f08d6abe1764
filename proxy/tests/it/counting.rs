//! Every answer is in a counter.

use std::io::Write as _;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::feed_server::FeedServer;
use crate::harness::{TestProxy, eventually, read_answer};

/// The recorder of this process. A proxy that is to be counted starts after it is there.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        PrometheusBuilder::new()
            .install_recorder()
            .expect("the only recorder")
    })
}

/// What is counted under this name, with its labels. Other tests of this process may count as well.
pub(crate) fn counted(name: &str) -> f64 {
    recorder()
        .render()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or_default()
}

/// Connections closed for this reason.
pub(crate) fn closed(reason: &str) -> f64 {
    counted(&format!(
        "{}{{reason=\"{reason}\"}}",
        proxy::metrics::CLOSED
    ))
}

#[test]
fn answers_are_counted_by_kind_and_method() {
    recorder();
    let feed = FeedServer::start();
    feed.put("a", "https://dest.test/");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    let at_least = |name: &str, least: f64| counted(name) >= least;
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
