//! Links.

use serde_json::{Value, json};

use super::*;

/// Names of everything a link has.
const KEYS: [&str; 22] = [
    "code",
    "created_at",
    "delete_after_expiration",
    "delete_at",
    "domain",
    "expired_at",
    "expired_text",
    "expired_title",
    "expired_url",
    "folder_id",
    "geolinks",
    "id",
    "label",
    "metatag",
    "password",
    "qrcode",
    "tags",
    "updated_at",
    "url",
    "user",
    "utm",
    "workspace_id",
];

on_both_engines! {
    async fn u_10_a_link_is_got_by_its_uuid(app) {
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        assert_eq!(get(&app, &format!("/links/{}", id(&made))).await.done(200), made);
        get(&app, "/links/497f6eca-6276-4993-bfeb-53cbbbba6f08").await.problem(404, "does not exist");
        for malformed in ["1", "x", "497f6eca627649 93bfeb53cbbbba6f08", "497f6eca62764993bfeb53cbbbba6f08", "%ff"] {
            get(&app, &format!("/links/{}", malformed.replace(' ', "%20"))).await.wrong("link_id");
        }
        // A UUID of ours of something else.
        let workspace = made["workspace_id"].as_str().expect("text");
        get(&app, &format!("/links/{workspace}")).await.problem(404, "");
    }

    async fn u_11_u_12_u_13_u_14_u_42_a_new_link_has_all_of_its_22_keys(app) {
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        assert_eq!(keys(&made), KEYS);
        is_uuid(&made["id"]);
        is_uuid(&made["workspace_id"]);
        assert_eq!(made["folder_id"], Value::Null);
        assert!(!made["user"].as_str().expect("text").is_empty());
        assert_eq!((&made["domain"], &made["url"]), (&json!("go.test"), &json!("https://e.test/")));
        let code = made["code"].as_str().expect("text");
        assert!((2..=50).contains(&code.chars().count()), "{code}");
        for name in ["label", "password", "delete_at", "expired_at", "expired_url", "expired_title", "expired_text", "qrcode", "utm", "metatag"] {
            assert_eq!(made[name], Value::Null, "{name}");
        }
        assert_eq!((&made["tags"], &made["geolinks"], &made["delete_after_expiration"]), (&json!([]), &json!([]), &json!(false)));
    }

    async fn u_15_u_31_a_password_is_masked_and_bounded(app) {
        let made = link(&app, json!({"url": "https://e.test/", "password": "open sesame"})).await;
        assert_eq!(made["password"], "**********");
        let path = format!("/links/{}", id(&made));
        // What was shown is no new password.
        assert_eq!(patch(&app, &path, json!({"password": "**********"})).await.done(200)["password"], "**********");
        assert_eq!(patch(&app, &path, json!({"password": null})).await.done(200)["password"], Value::Null);
        link(&app, json!({"url": "https://e.test/", "password": "é".repeat(255)})).await;
        post(&app, "/links", json!({"url": "https://e.test/", "password": "x".repeat(256)})).await.wrong("password");
    }

    async fn u_16_u_19_u_20_an_edit_moves_updated_at_and_what_it_names(app) {
        let tag = post(&app, "/tags", json!({"name": "a"})).await.done(201);
        let made = link(&app, json!({
            "url": "https://e.test/", "label": "first", "tags": [id(&tag)], "utm": {"source": "s", "campaign_id": "7"},
            "metatag": {"title": "T", "description": "D", "image": "https://i.test/a.png"}, "expired_title": "Gone",
            "geolinks": [{"conditions": [{"type": "country", "value": "FR", "operator": null}], "url": "https://fr.test"}],
        })).await;
        app.config.clock.advance_ms(2000);
        let path = format!("/links/{}", id(&made));
        let edited = patch(&app, &path, json!({"label": "second"})).await.done(200);
        assert_eq!(keys(&edited), KEYS);
        for name in KEYS.iter().filter(|name| !["label", "updated_at"].contains(name)) {
            assert_eq!(edited[name], made[name], "{name}");
        }
        assert_eq!(edited["label"], "second");
        assert_ne!(edited["updated_at"], made["updated_at"]);
        assert_eq!(get(&app, &path).await.done(200), edited);
        // `null` clears what may be null.
        let cleared = patch(&app, &path, json!({"label": null, "tags": null, "utm": null, "metatag": null, "geolinks": null, "url": null, "code": null})).await.done(200);
        for name in ["label", "utm", "metatag"] {
            assert_eq!(cleared[name], Value::Null, "{name}");
        }
        assert_eq!((&cleared["tags"], &cleared["geolinks"], &cleared["url"]), (&json!([]), &json!([]), &made["url"]));
    }

    async fn u_17_u_18_a_deletion_answers_the_link(app) {
        let made = link(&app, json!({"url": "https://e.test/"})).await;
        let path = format!("/links/{}", id(&made));
        assert_eq!(delete(&app, &path).await.done(200), made);
        get(&app, &path).await.problem(404, "");
        delete(&app, &path).await.problem(404, "");
        patch(&app, &path, json!({})).await.problem(404, "");
    }

    async fn u_21_an_edit_moves_the_link(app) {
        let made = link(&app, json!({"url": "https://e.test/", "code": "old"})).await;
        let moved = patch(&app, &format!("/links/{}", id(&made)), json!({"code": "new", "url": "https://e.test/2"})).await.done(200);
        assert_eq!((&moved["code"], &moved["url"], &moved["id"]), (&json!("new"), &json!("https://e.test/2"), &made["id"]));
    }

    async fn u_22_u_23_a_link_is_created_in_the_keys_workspace(app) {
        let workspace = get(&app, "/workspaces").await.done(200)["workspaces"][0].clone();
        let made = link(&app, json!({"workspace_id": id(&workspace), "url": "https://e.test/"})).await;
        assert_eq!(made["workspace_id"], workspace["id"]);
        post(&app, "/links", json!({"workspace_id": "1", "url": "https://e.test/"})).await.wrong("workspace_id");
        post(&app, "/links", json!({"workspace_id": made["id"], "url": "https://e.test/"})).await.problem(404, "workspace");
        assert_eq!(link(&app, json!({"workspace_id": null, "url": "https://e.test/"})).await["workspace_id"], workspace["id"]);
    }

    async fn u_24_the_url_is_required_and_bounded(app) {
        post(&app, "/links", json!({})).await.wrong("url");
        let url = |length: usize| format!("https://e.test/{}", "a".repeat(length - 15));
        assert_eq!(link(&app, json!({"url": url(4096)})).await["url"], url(4096));
        post(&app, "/links", json!({"url": url(4097)})).await.wrong("url");
        for bad in ["", "e.test", "ftp://e.test/", "https://go.test/x"] {
            post(&app, "/links", json!({"url": bad})).await.wrong("url");
        }
    }

    async fn u_25_a_link_is_put_into_a_folder(app) {
        let folder = post(&app, "/folders", json!({"name": "F"})).await.done(201);
        let made = link(&app, json!({"url": "https://e.test/", "folder_id": id(&folder)})).await;
        assert_eq!(made["folder_id"], folder["id"]);
        assert_eq!(get(&app, &format!("/links?folder_id={}", id(&folder))).await.done(200)["total"], 1);
        assert_eq!(patch(&app, &format!("/links/{}", id(&made)), json!({"folder_id": null})).await.done(200)["folder_id"], Value::Null);
        post(&app, "/links", json!({"url": "https://e.test/", "folder_id": made["id"]})).await.wrong("folder_id");
        post(&app, "/links", json!({"url": "https://e.test/", "folder_id": "7"})).await.wrong("folder_id");
    }

    async fn u_26_the_domain_is_a_hostname_of_ours(app) {
        assert_eq!(link(&app, json!({"url": "https://e.test/", "domain": "go.test"})).await["domain"], "go.test");
        for bad in ["https://go.test", "foreign.test", "", "go.test/x"] {
            post(&app, "/links", json!({"url": "https://e.test/", "domain": bad})).await.wrong("domain");
        }
    }

    async fn u_27_u_28_codes_are_letters_of_any_script_with_slashes(app) {
        for code in ["ab", "été/Москва-1_a", "日本", &"x".repeat(50)] {
            assert_eq!(link(&app, json!({"url": "https://e.test/", "code": code})).await["code"], *code);
            post(&app, "/links", json!({"url": "https://e.test/", "code": code})).await.problem(422, "already in use");
        }
        for bad in ["a", &"x".repeat(51), "a b", "a.b", "qr/ab", "a//b", "/ab", "a\u{200b}b", ""] {
            post(&app, "/links", json!({"url": "https://e.test/", "code": bad})).await.wrong("code");
        }
    }

    async fn a_code_that_clients_refuse_is_null_and_stays(app) {
        for code in ["x", &"x".repeat(51), "日", &"/é".repeat(26)[1..]] {
            app.link(json!({"url": "https://e.test/", "custom": code})).await;
            let shown = get(&app, "/links?limit=1").await.done(200)["links"][0].clone();
            assert_eq!((keys(&shown), &shown["code"]), (KEYS.to_vec(), &Value::Null));
            let path = format!("/links/{}", id(&shown));
            let edited = patch(&app, &path, json!({"label": "Edited", "code": null})).await.done(200);
            assert_eq!((&edited["code"], &edited["label"]), (&Value::Null, &json!("Edited")));
            assert_eq!(app.get("/api/urls?limit=1").await.ok()["data"]["urls"][0]["alias"], code);
            assert_eq!(delete(&app, &path).await.done(200)["code"], Value::Null);
        }
        // What has a length of this dialect is shown, whatever its letters, and a new code is as good as any.
        for code in ["a.b", &"é".repeat(50)] {
            app.link(json!({"url": "https://e.test/", "custom": code})).await;
            let shown = get(&app, "/links?limit=1").await.done(200)["links"][0].clone();
            assert_eq!(shown["code"], code);
        }
        app.link(json!({"url": "https://e.test/", "custom": "y"})).await;
        let shown = get(&app, "/links?limit=1").await.done(200)["links"][0].clone();
        let renamed = patch(&app, &format!("/links/{}", id(&shown)), json!({"code": "yy"})).await.done(200);
        assert_eq!(renamed["code"], "yy");
    }

    async fn u_30_the_label_is_bounded(app) {
        assert_eq!(link(&app, json!({"url": "https://e.test/", "label": "é".repeat(255)})).await["label"], "é".repeat(255));
        post(&app, "/links", json!({"url": "https://e.test/", "label": "é".repeat(256)})).await.wrong("label");
    }

    async fn u_32_a_link_is_not_there_from_its_last_instant_on(app) {
        let now = app.config.clock.now_ms();
        let at = jiff::Timestamp::from_millisecond(now + 60_000).expect("a time").to_string();
        let made = link(&app, json!({"url": "https://e.test/", "code": "doomed", "delete_at": at})).await;
        let path = format!("/links/{}", id(&made));
        app.config.clock.advance_ms(58_000);
        get(&app, &path).await.done(200);
        app.config.clock.advance_ms(3_000);
        get(&app, &path).await.problem(404, "");
        patch(&app, &path, json!({"delete_at": null})).await.problem(404, "");
        assert_eq!(get(&app, "/links").await.done(200)["total"], 0);
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
        // The sweep takes the row away; the code rests for its owner.
        crate::harness::eventually("the row goes", async || {
            let (rows,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM links WHERE slug = 'doomed'")
                .fetch_one(app.running.store.readers()).await.expect("a number");
            (rows == 0).then_some(())
        }).await;
        link(&app, json!({"url": "https://e.test/", "code": "doomed"})).await;
    }

    async fn u_33_u_34_u_35_what_is_shown_after_its_time_is_kept(app) {
        let made = link(&app, json!({"url": "https://e.test/", "expired_at": "2020-01-01", "expired_url": "https://late.test/", "expired_title": "Too <late>", "expired_text": "Sorry"})).await;
        assert_eq!((&made["expired_url"], &made["expired_title"], &made["expired_text"]), (&json!("https://late.test/"), &json!("Too <late>"), &json!("Sorry")));
        post(&app, "/links", json!({"url": "https://e.test/", "expired_title": "x".repeat(256)})).await.wrong("expired_title");
        post(&app, "/links", json!({"url": "https://e.test/", "expired_url": "nowhere"})).await.wrong("expired_url");
    }

    async fn u_36_a_link_may_go_with_its_time(app) {
        let now = app.config.clock.now_ms();
        let at = jiff::Timestamp::from_millisecond(now + 10_000).expect("a time").to_string();
        let made = link(&app, json!({"url": "https://e.test/", "expired_at": at, "delete_after_expiration": true})).await;
        assert_eq!((&made["delete_after_expiration"], &made["delete_at"]), (&json!(true), &Value::Null));
        let path = format!("/links/{}", id(&made));
        get(&app, &path).await.done(200);
        app.config.clock.advance_ms(10_500);
        get(&app, &path).await.problem(404, "");
    }

    async fn u_37_a_link_has_at_most_three_tags(app) {
        let mut tags = Vec::new();
        for name in ["a", "b", "c", "d"] {
            tags.push(post(&app, "/tags", json!({"name": name})).await.done(201)["id"].clone());
        }
        let made = link(&app, json!({"url": "https://e.test/", "tags": tags[..3]})).await;
        assert_eq!(made["tags"].as_array().map(Vec::len), Some(3));
        assert_eq!(keys(&made["tags"][0]), ["id", "name"]);
        post(&app, "/links", json!({"url": "https://e.test/", "tags": tags})).await.wrong("tags");
        post(&app, "/links", json!({"url": "https://e.test/", "tags": [made["id"]]})).await.wrong("tags");
        post(&app, "/links", json!({"url": "https://e.test/", "tags": ["a"]})).await.wrong("tags/0");
        let tag = tags[0].as_str().expect("text");
        assert_eq!(get(&app, &format!("/links?tag_id={tag}")).await.done(200)["total"], 1);
    }

    async fn u_38_an_image_of_its_code_comes_with_the_link(app) {
        let made = link(&app, json!({"url": "https://e.test/", "code": "seen", "qrcode": {"size": 300, "format": "svg"}})).await;
        let data = made["qrcode"]["data"].as_str().expect("text");
        assert!(data.starts_with("data:image/svg+xml;base64,"), "{data}");
        let path = format!("/links/{}", id(&made));
        assert_eq!(get(&app, &path).await.done(200)["qrcode"], made["qrcode"]);
        assert_eq!(patch(&app, &path, json!({"qrcode": {}})).await.done(200)["qrcode"]["data"].as_str().map(|data| data.starts_with("data:image/png;base64,")), Some(true));
        assert_eq!(patch(&app, &path, json!({"qrcode": null})).await.done(200)["qrcode"], Value::Null);
        for (look, field) in [(json!({"size": 99}), "size"), (json!({"size": -1}), "size"), (json!({"format": "gif"}), "format"), (json!({"foreground_color": "red"}), "foreground_color")] {
            patch(&app, &path, json!({"qrcode": look})).await.wrong(&format!("qrcode/{field}"));
        }
    }

    async fn u_39_u_40_utm_and_metatag_come_back(app) {
        let made = link(&app, json!({"url": "https://e.test/", "utm": {"campaign": "c", "medium": "m", "source": "s", "content": "k"}, "metatag": {"title": "T"}})).await;
        assert_eq!(made["utm"], json!({"campaign": "c", "medium": "m", "source": "s", "content": "k", "campaign_id": null, "term": null}));
        assert_eq!(made["metatag"], json!({"title": "T", "description": null, "image": null}));
        let path = format!("/links/{}", id(&made));
        let edited = patch(&app, &path, json!({"utm": {"source": "t", "campaign_id": "9"}})).await.done(200);
        assert_eq!((&edited["utm"]["source"], &edited["utm"]["medium"], &edited["utm"]["campaign_id"]), (&json!("t"), &json!("m"), &json!("9")));
        post(&app, "/links", json!({"url": "https://e.test/", "utm": {"source": "x".repeat(256)}})).await.wrong("utm/source");
        post(&app, "/links", json!({"url": "https://e.test/", "metatag": {"image": "x"}})).await.wrong("metatag/image");
    }

    async fn u_41_geolinks_come_back_as_sent_and_survive_other_dialects(app) {
        let geolinks = json!([
            {"conditions": [{"type": "country", "value": "FR", "operator": null}, {"type": "language", "value": "fr", "operator": "AND"}, {"type": "system", "value": "Android", "operator": "OR"}], "url": "https://fr.test"},
            {"conditions": [{"type": "country", "value": "US", "operator": null}], "url": "https://us.test/?a=b"},
        ]);
        let made = link(&app, json!({"url": "https://e.test/", "code": "geo", "geolinks": geolinks, "expired_title": "T", "delete_at": "2040-01-01T00:00:00Z"})).await;
        assert_eq!(made["geolinks"], geolinks);
        // The same link in the main dialect.
        let number = app.get("/api/urls?short=https://go.test/geo").await.ok()["id"].clone();
        app.put(&format!("/api/url/{number}/update"), json!({"title": "Renamed", "url": "https://e.test/2"})).await.ok();
        let after = get(&app, &format!("/links/{}", id(&made))).await.done(200);
        assert_eq!((&after["label"], &after["url"]), (&json!("Renamed"), &json!("https://e.test/2")));
        for name in ["geolinks", "expired_title", "delete_at"] {
            assert_eq!(after[name], made[name], "{name}");
        }
        for (condition, field) in [
            (json!({"type": "country", "value": "XX"}), "geolinks/0/conditions/0/value"),
            (json!({"type": "planet", "value": "Mars"}), "geolinks/0/conditions/0/type"),
            (json!({"type": "country", "value": "FR", "operator": "XOR"}), "geolinks/0/conditions/0/operator"),
        ] {
            post(&app, "/links", json!({"url": "https://e.test/", "geolinks": [{"conditions": [condition], "url": "https://f.test"}]})).await.wrong(field);
        }
        let one = json!([{"type": "country", "value": "FR", "operator": null}]);
        post(&app, "/links", json!({"url": "https://e.test/", "geolinks": [{"conditions": one, "url": "https://go.test/x"}]})).await.wrong("geolinks/0/url");
    }

    async fn links_are_listed_page_by_page(app) {
        for n in 0..3 {
            link(&app, json!({"url": format!("https://e.test/{n}")})).await;
        }
        let first = get(&app, "/links?limit=2").await.done(200);
        assert_eq!(keys(&first), ["limit", "links", "page", "pages", "total"]);
        assert_eq!((&first["limit"], &first["page"], &first["pages"], &first["total"]), (&json!(2), &json!(1), &json!(2), &json!(3)));
        assert_eq!(first["links"].as_array().map(Vec::len), Some(2));
        assert_eq!(get(&app, "/links?limit=2&page=2").await.done(200)["links"].as_array().map(Vec::len), Some(1));
        assert_eq!(get(&app, "/links?page=99").await.done(200)["links"], json!([]));
        assert_eq!(get(&app, "/links").await.done(200)["limit"], 10);
        for (query, field) in [("limit=51", "limit"), ("limit=0", "limit"), ("page=0", "page"), ("page=x", "page"), ("folder_id=1", "folder_id"), ("tag_id=1", "tag_id")] {
            get(&app, &format!("/links?{query}")).await.wrong(field);
        }
        let nobody = "497f6eca-6276-4993-bfeb-53cbbbba6f08";
        for name in ["folder_id", "tag_id", "workspace_id"] {
            get(&app, &format!("/links?{name}={nobody}")).await.problem(404, "");
        }
    }
}
