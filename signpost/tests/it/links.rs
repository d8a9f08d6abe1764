//! A link from the API to the visitor.

use serde_json::json;

use crate::harness::{CHROME, SETTLE, Up, eventually};

#[test]
fn links_made_through_the_api_answer_visitors() {
    let up = Up::start();

    // o_42, o_44, o_45, o_49: only a URL; the answer's forms; the short URL on the visitors' host.
    let answer = up
        .api(
            "POST",
            "/url/add",
            Some(&json!({ "url": "https://e.test/" })),
        )
        .json();
    assert_eq!(answer["error"], 0, "{answer}");
    let short = answer["data"]["short_url"].as_str().unwrap();
    let slug = short
        .strip_prefix(&format!("http://{}/", up.proxy))
        .expect("o_49: on the public URL");
    assert_eq!(answer["shorturl"], short);
    assert!(answer["data"]["id"].is_i64());
    eventually(SETTLE, "generated slug goes live", || {
        (up.visit(&format!("/{slug}")).header("location") == "https://e.test/").then_some(())
    });
    let again = up
        .api(
            "POST",
            "/url/add",
            Some(&json!({ "url": "https://e.test/" })),
        )
        .json();
    assert_ne!(again["data"]["short_url"], short, "o_44: two calls differ");

    // o_43: the alias that was asked for.
    let body = json!({ "url": "https://e.test/sale", "utm_source": "newsletter", "utm_medium": "email", "utm_campaign": "spring-2026" });
    let sale = up.link("spring-sale", &body);
    let visit = up.visit_as("/spring-sale", "203.0.113.7", CHROME, &[]);
    assert_eq!(visit.status, 302);
    // o_47: UTM parameters are in the destination …
    assert_eq!(
        visit.header("location"),
        "https://e.test/sale?utm_source=newsletter&utm_medium=email&utm_campaign=spring-2026"
    );
    // … and in the event.
    up.settled(sale, 1);
    let event = up.stats(sale, "?granularity=event")["data"]["events"][0].clone();
    assert_eq!(
        (
            &event["utm_source"],
            &event["utm_medium"],
            &event["utm_campaign"]
        ),
        (&json!("newsletter"), &json!("email"), &json!("spring-2026"))
    );

    // o_51: a link that expires by itself.
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(3);
    let soon = soon
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    up.link(
        "soon",
        &json!({ "url": "https://e.test/soon", "expires_at": instant(soon) }),
    );
    assert_eq!(up.visit("/soon").status, 302);
    eventually(SETTLE, "link expires", || {
        (up.visit("/soon").status == 410).then_some(())
    });
    let gone = up.visit("/soon");
    assert_eq!(gone.header("location"), "");

    // An edit moves visitors, a deletion ends them.
    let edit = up
        .api(
            "PUT",
            &format!("/url/{sale}/update"),
            Some(&json!({ "url": "https://e.test/other" })),
        )
        .json();
    assert_eq!(edit["error"], 0, "{edit}");
    eventually(SETTLE, "edit is live", || {
        up.visit("/spring-sale")
            .header("location")
            .starts_with("https://e.test/other")
            .then_some(())
    });
    let deleted = up
        .api("DELETE", &format!("/url/{sale}/delete"), None)
        .json();
    assert_eq!(deleted["error"], 0, "{deleted}");
    eventually(SETTLE, "deletion is live", || {
        (up.visit("/spring-sale").status == 404).then_some(())
    });
}

/// ISO 8601 of a UNIX time.
fn instant(seconds: i64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
