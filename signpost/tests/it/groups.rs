//! Campaigns and branded domains from the API to the visitor.

use serde_json::{Value, json};

use crate::harness::{Answer, CHROME, SETTLE, Up, eventually};

/// A call that must succeed.
#[track_caller]
fn done(up: &Up, method: &str, path: &str, body: Value) -> Value {
    let answer = up.api(method, path, Some(&body)).json();
    assert_eq!(answer["error"], 0, "{method} {path}: {answer}");
    answer
}

/// A look at another host that this machine serves, not counted.
#[track_caller]
fn at(up: &Up, host: &str, path: &str) -> Answer {
    let headers = [("host", host), ("user-agent", CHROME)];
    up.try_send(
        "HEAD",
        &format!("http://{}{path}", up.proxy),
        &headers,
        None,
    )
    .expect("the proxy answers")
}

/// Waits until a host leads there.
#[track_caller]
fn leads(up: &Up, host: &str, path: &str, status: u16, location: &str) {
    let what = format!("{host}{path} answers {status} {location}");
    eventually(SETTLE, &what, || {
        let answer = at(up, host, path);
        (answer.status == status && answer.header("location") == location).then_some(())
    });
}

#[test]
fn campaigns_and_domains_answer_visitors() {
    let up = Up::with(&[("SIGNPOST_DOMAIN_CHECK", "off")]);

    // o_133, o_134: redirects of a domain's own paths; o_48: an alias of its own there.
    let host = "domain1.test";
    assert_eq!(at(&up, host, "/").status, 404);
    let body = json!({"domain": "http://domain1.test", "redirectroot": "https://root.test", "redirect404": "https://root.test/404"});
    let domain = done(&up, "POST", "/domain/add", body)["id"].clone();
    leads(&up, host, "/", 302, "https://root.test/");
    leads(&up, host, "/nope", 302, "https://root.test/404");
    let one = up.link("same", &json!({"url": "https://one.test/"}));
    let two = done(
        &up,
        "POST",
        "/url/add",
        json!({"url": "https://two.test/", "custom": "same", "domain": host}),
    );
    assert_eq!(two["shorturl"], "http://domain1.test/same");
    leads(&up, host, "/same", 302, "https://two.test/");
    assert_eq!(up.head("/same").header("location"), "https://one.test/");
    // o_135: a new root at once, the other stays.
    done(
        &up,
        "PUT",
        &format!("/domain/{domain}/update"),
        json!({"redirectroot": "https://new.test/"}),
    );
    leads(&up, host, "/", 302, "https://new.test/");
    leads(&up, host, "/nope", 302, "https://root.test/404");

    // o_107, o_110: both links appear, and are counted, as the campaign is; o_104.
    let campaign = done(
        &up,
        "POST",
        "/campaign/add",
        json!({"name": "Sale", "slug": "sale", "public": true}),
    );
    let id = campaign["id"].as_i64().unwrap();
    assert_eq!(campaign["rotator"], format!("http://{}/r/sale", up.proxy));
    assert_eq!(up.head("/r/sale").status, 404);
    done(
        &up,
        "POST",
        &format!("/campaign/{id}/assign/{one}"),
        json!({}),
    );
    done(
        &up,
        "POST",
        &format!("/campaign/{id}/assign/{}", two["id"]),
        json!({}),
    );
    eventually(SETTLE, "both links are in the rotation", || {
        let seen: Vec<String> = (0..10)
            .map(|_| up.head("/r/sale").header("location").to_owned())
            .collect();
        let has = |url: &str| seen.iter().any(|s| s == url);
        (has("https://one.test/") && has("https://two.test/")).then_some(())
    });
    for _ in 0..10 {
        let visit = up.visit("/r/sale");
        assert_eq!(visit.status, 302);
    }
    // o_108: the list shows both.
    let list = format!("/u/admin/sale-{id}");
    let page = eventually(SETTLE, "the list is there", || {
        let page = up.visit(&list);
        (page.status == 200 && page.body.contains("/same\"")).then_some(page)
    });
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.body.contains("http://domain1.test/same"),
        "{}",
        page.body
    );
    eventually(SETTLE, "views count rotator and list", || {
        let json = up.api("GET", "/campaigns", None).json();
        (json["data"]["campaigns"][0]["views"].as_u64()? >= 11).then_some(())
    });
    eventually(SETTLE, "each visit counts for a link too", || {
        let json = up.api("GET", "/urls", None).json();
        let urls = json["data"]["urls"].as_array()?.clone();
        let clicks: u64 = urls.iter().filter_map(|url| url["clicks"].as_u64()).sum();
        (clicks == 10).then_some(())
    });

    // A link of weight three is met three times as often as one of weight one, and one of weight ten ten times.
    for (weight, between) in [(3, 66..=84), (10, 84..=96)] {
        let assign = format!("/campaign/{id}/assign/{one}");
        done(&up, "POST", &assign, json!({ "weight": weight }));
        let shares = || {
            let seen = (0..100).map(|_| up.visit("/r/sale").header("location").to_owned());
            let seen: Vec<String> = seen.collect();
            let ones = seen.iter().filter(|s| *s == "https://one.test/").count();
            let twos = seen.iter().filter(|s| *s == "https://two.test/").count();
            assert_eq!(ones + twos, 100, "{seen:?}");
            ones
        };
        // A share of a hundred visits that are taken in turn and not drawn: it is met within little.
        eventually(SETTLE, "the weight is live", || {
            between.contains(&shares()).then_some(())
        });
        assert!(between.contains(&shares()));
    }

    // A private list and a renamed rotator; a deleted campaign leaves its links (o_112, o_113).
    let body = json!({"name": "Sale", "slug": "new", "public": false});
    done(&up, "PUT", &format!("/campaign/{id}/update"), body);
    eventually(SETTLE, "the rotator is renamed", || {
        (up.head("/r/new").status == 302).then_some(())
    });
    assert_eq!(
        (
            up.head("/r/sale").status,
            up.head(&list).status,
            up.head(&format!("/u/admin/new-{id}")).status
        ),
        (404, 404, 404)
    );
    done(&up, "DELETE", &format!("/campaign/{id}/delete"), json!({}));
    eventually(SETTLE, "the rotator is gone", || {
        (up.head("/r/new").status == 404).then_some(())
    });
    assert_eq!(up.head("/same").status, 302);

    // o_137: a deleted domain answers nobody, and comes back with its links.
    done(
        &up,
        "DELETE",
        &format!("/domain/{domain}/delete"),
        json!({}),
    );
    leads(&up, host, "/", 404, "");
    assert_eq!(at(&up, host, "/same").status, 404);
    done(
        &up,
        "POST",
        "/domain/add",
        json!({"domain": "http://domain1.test"}),
    );
    leads(&up, host, "/same", 302, "https://two.test/");
    assert_eq!(at(&up, host, "/nope").status, 404);
}
