//! Fields of a link from the API to the visitor, one process for all.

use serde_json::{Value, json};

use crate::harness::{CHROME, SETTLE, Up, eventually};

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";
const SLACK: &str = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)";

fn id(answer: &Value) -> i64 {
    assert_eq!(answer["error"], 0, "{answer}");
    answer["id"].as_i64().unwrap()
}

#[test]
fn fields_of_links_are_met_by_visitors() {
    let up = Up::with(&[("SIGNPOST_DOMAIN_CHECK", "off")]);
    let from = |path: &str, agent: &str, language: &str| {
        let answer = up.visit_as(path, "203.0.113.7", agent, &[("accept-language", language)]);
        answer.header("location").to_owned()
    };

    // o_50: a password; asked for, wrong, right.
    up.link(
        "locked",
        &json!({ "url": "https://e.test/secret", "password": "open sesame" }),
    );
    let asked = up.visit("/locked");
    assert!(
        asked.header("location").is_empty() && asked.body.contains("name=\"password\""),
        "{asked:?}"
    );
    assert!(!asked.body.contains("e.test/secret"), "{asked:?}");
    let give = |password: &str| {
        up.try_send(
            "POST",
            &format!("http://{}/locked", up.proxy),
            &[
                ("content-type", "application/x-www-form-urlencoded"),
                ("user-agent", CHROME),
            ],
            Some(&format!("password={password}")),
        )
        .unwrap()
    };
    let wrong = give("open");
    assert!(
        wrong.status == 401 && wrong.header("location").is_empty(),
        "{wrong:?}"
    );
    assert_eq!(
        give("open+sesame").header("location"),
        "https://e.test/secret"
    );

    // Nowhere but in a form: in a URL it would stand in histories and logs.
    for path in [
        "/locked?password=open+sesame",
        "/locked?password=open%20sesame&x=1",
        "/locked/?password=open+sesame",
    ] {
        let shut = up.visit(path);
        assert!(
            shut.status == 200 && shut.header("location").is_empty(),
            "{shut:?}"
        );
        assert!(shut.header("set-cookie").is_empty() && shut.body.contains("name=\"password\""));
        assert!(!shut.body.contains("sesame") && !shut.body.contains("e.test/secret"));
    }

    // o_52: each pixel's id in each answer, which leads on.
    let pixels: Vec<i64> = ["111222333", "444555666"]
        .iter()
        .map(|tag| {
            let body = json!({ "type": "fbpixel", "name": "P", "tag": tag });
            id(&up.api("POST", "/pixel/add", Some(&body)).json())
        })
        .collect();
    let pixeled = up.link(
        "pixels",
        &json!({ "url": "https://e.test/p", "pixel_ids": pixels }),
    );
    for _ in 0..2 {
        let page = up.visit("/pixels");
        for part in ["111222333", "444555666", "https://e.test/p"] {
            assert!(page.body.contains(part), "{part}: {page:?}");
        }
        assert_eq!(page.status, 200);
    }
    up.settled(pixeled, 2);
    for pixel in pixels {
        up.api("DELETE", &format!("/pixel/{pixel}/delete"), None);
    }
    eventually(SETTLE, "the link goes on without its pixels", || {
        (up.visit("/pixels").header("location") == "https://e.test/p").then_some(())
    });

    // Rules before targets by device and language; parameters in each; the query goes on.
    up.link(
        "ruled",
        &json!({
            "url": "https://e.test/else", "utm_source": "s", "query_passthrough": true,
            "rules": [{"match": "all", "conditions": [{"type": "query", "name": "ref", "values": ["mail"]}, {"type": "os", "values": ["iOS"], "not": true}], "url": "https://e.test/mail"}],
            "devicetarget": [{"device": "iphone", "link": "https://e.test/iphone"}],
            "languagetarget": [{"language": "de", "link": "https://e.test/de"}],
        }),
    );
    for (path, agent, language, location) in [
        ("/ruled", CHROME, "en", "https://e.test/else?utm_source=s"),
        (
            "/ruled?ref=mail",
            CHROME,
            "de",
            "https://e.test/mail?utm_source=s&ref=mail",
        ),
        (
            "/ruled?ref=mail",
            IPHONE,
            "de",
            "https://e.test/iphone?utm_source=s&ref=mail",
        ),
        (
            "/ruled?utm_source=x",
            CHROME,
            "de-AT,en",
            "https://e.test/de?utm_source=s",
        ),
    ] {
        assert_eq!(from(path, agent, language), location, "{path} {language}");
    }

    // Variants, a preview, app links, a text for those who come too late.
    up.link(
        "tested",
        &json!({ "url": "https://e.test/", "variants": [{"url": "https://e.test/a", "weight": 0}, {"url": "https://e.test/b", "weight": 9}] }),
    );
    assert_eq!(up.visit("/tested").header("location"), "https://e.test/b");
    up.link(
        "shown",
        &json!({ "url": "https://e.test/", "metatitle": "A <title>", "deeplink": {"apple": "myapp://open"} }),
    );
    assert_eq!(from("/shown", CHROME, "en"), "https://e.test/");
    let preview = up.visit_as("/shown", "203.0.113.9", SLACK, &[]);
    assert!(
        preview.status == 200 && preview.body.contains("A &lt;title&gt;"),
        "{preview:?}"
    );
    let apple = up.visit_as("/shown", "203.0.113.9", IPHONE, &[]);
    assert!(
        apple.header("location") == "myapp://open" || apple.body.contains("myapp://open"),
        "{apple:?}"
    );
    up.link(
        "late",
        &json!({ "url": "https://e.test/", "expiry": "2021-01-01", "expired_text": "Come back in spring" }),
    );
    let late = up.visit("/late");
    assert!(
        late.status == 410 && late.body.contains("Come back in spring"),
        "{late:?}"
    );

    // o_48: a branded domain, and the files by which phones find its apps.
    let body = json!({ "domain": "https://go.acme.test" });
    let domain = id(&up.api("POST", "/domain/add", Some(&body)).json());
    let body =
        json!({ "url": "https://e.test/branded", "custom": "branded", "domain": "go.acme.test" });
    let made = up.api("POST", "/url/add", Some(&body)).json();
    assert_eq!(made["shorturl"], "https://go.acme.test/branded", "{made}");
    let body = json!({ "apple": ["ABCDE12345.com.example.app"] });
    let set = up.api("PUT", &format!("/domain/{domain}/apps"), Some(&body));
    assert_eq!(set.json()["error"], 0, "{set:?}");
    let on = |path: &str| {
        let url = format!("http://{}{path}", up.proxy);
        let headers = [("host", "go.acme.test"), ("user-agent", CHROME)];
        up.try_send("GET", &url, &headers, None).unwrap()
    };
    eventually(SETTLE, "the domain's link goes live", || {
        (on("/branded").header("location") == "https://e.test/branded").then_some(())
    });
    assert_eq!(up.visit("/branded").status, 404, "on its own domain only");
    let file = eventually(SETTLE, "the domain's apps go live", || {
        let file = on("/.well-known/apple-app-site-association");
        (file.status == 200).then_some(file)
    });
    assert_eq!(file.header("content-type"), "application/json", "{file:?}");
    assert_eq!(
        file.json()["applinks"]["details"][0]["appIDs"][0],
        "ABCDE12345.com.example.app"
    );
    assert_eq!(on("/.well-known/assetlinks.json").status, 404);
    let print = ["AB"; 32].join(":");
    let body = json!({ "android": [{ "package": "com.example.app", "fingerprints": [print] }] });
    let set = up.api("PUT", &format!("/domain/{domain}/apps"), Some(&body));
    assert_eq!(set.json()["error"], 0, "{set:?}");
    let file = eventually(SETTLE, "the domain's other app goes live", || {
        let file = on("/.well-known/assetlinks.json");
        (file.status == 200).then_some(file)
    });
    assert_eq!(file.header("content-type"), "application/json", "{file:?}");
    let target = &file.json()[0]["target"];
    assert_eq!(
        (
            &target["package_name"],
            &target["sha256_cert_fingerprints"][0]
        ),
        (&json!("com.example.app"), &json!(print)),
        "{file:?}"
    );
    assert_eq!(up.visit("/.well-known/assetlinks.json").status, 404);
}
