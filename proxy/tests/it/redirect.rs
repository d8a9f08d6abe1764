//! What visitors see.

use crate::feed_server::{FeedServer, link};
use crate::harness::{TestProxy, eventually};

#[test]
fn a_link_made_is_followed_edited_and_deleted() {
    let feed = FeedServer::start();
    feed.put("before", "https://dest.test/before");
    let dir = tempfile::tempdir().expect("tempdir");
    let proxy = TestProxy::ready(dir.path(), &feed, &[]);
    assert_eq!(proxy.follow("before"), "302 https://dest.test/before");
    assert_eq!(proxy.follow("a"), "404");
    feed.put("a", "https://dest.test/1");
    eventually("the link is live", || {
        proxy.follow("a") == "302 https://dest.test/1"
    });
    feed.put("a", "https://dest.test/2");
    eventually("the edit is live", || {
        proxy.follow("a") == "302 https://dest.test/2"
    });
    feed.transaction(vec![link("b", "https://dest.test/b")], vec![(1, "a")], None);
    eventually("both effects are live", || {
        proxy.follow("b") == "302 https://dest.test/b"
    });
    assert_eq!(proxy.follow("a"), "404");
    proxy.stop();
}
