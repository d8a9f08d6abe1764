//! Codes that are there: who gets their images, and what a change or an end of one does.

use super::*;

on_both_engines! {
    async fn an_image_has_an_entity_tag_and_needs_a_key_or_a_token(app) {
        let made = code(&app, json!({"type": "text", "data": "secret"})).await;
        let path = format!("/dashboard/qrcodes/{}/download/png", made.id);
        let answer = app.get(&path).await;
        let tag = answer.header("etag").to_owned();
        assert_eq!(answer.header("cache-control"), "private, no-cache");
        let key = format!("Bearer {}", crate::harness::ADMIN_KEY);
        let again = app.call(Method::GET, &path, &[("authorization", &key), ("if-none-match", &format!("\"x\", W/{tag}"))], "").await;
        assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, tag.as_str()));
        app.call(Method::GET, &path, &[], "").await.failed(401, "API key");
        let by_parameter = app.call(Method::GET, &format!("{path}?key={}", crate::harness::ADMIN_KEY), &[], "").await;
        assert_eq!(by_parameter.body, answer.body);
        app.get(&format!("/dashboard/qrcodes/{}/download/gif", made.id)).await.refused("format must be one of");
        app.get("/dashboard/qrcodes/999/download/png").await.refused("does not exist");
        // The token opens it at the proxies, and nothing else does.
        let (_, plan) = held(&app, made.image_slug()).await.expect("an entry");
        let token = made.image_url.split("?token=").nth(1).expect("a token");
        assert_eq!(token.len(), 32);
        assert!(format!("{:?}", plan.rules[0].conditions).contains(token));
        assert!(matches!(&plan.target, Some(Target::Link(_))));
    }

    async fn o_94_a_dynamic_code_is_led_elsewhere_and_its_image_stays(app) {
        let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/1", "name": "Menu"})).await;
        let before = made.image(&app).await;
        app.put(&format!("/api/qr/{}/update", made.id), json!({"url": "https://e.test/2"})).await.ok();
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/2");
        assert_eq!(made.image(&app).await, before);
        let json = app.get(&format!("/api/qr/{}", made.id)).await.ok();
        assert_eq!((&json["details"]["name"], &json["details"]["image_url"], &json["details"]["link"]), (&json!("Menu"), &json!(made.image_url), &json!(made.link)));
        // What is not sent stays.
        app.put(&format!("/api/qr/{}/update", made.id), json!({"name": "Other", "size": 300})).await.ok();
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/2");
        let image = made.image(&app).await;
        assert_eq!((pixels(&image).0, decode(&image)), (300, made.link.clone()));
        // Another format has another address; the old one is gone.
        app.put(&format!("/api/qr/{}/update", made.id), json!({"format": "svg"})).await.ok();
        assert!(held(&app, made.image_slug()).await.is_none());
        let url = app.get(&format!("/api/qr/{}", made.id)).await.ok()["details"]["image_url"].clone();
        assert!(url.as_str().expect("text").contains("/download/svg?token="));
        check_books(&app).await;
    }

    async fn o_95_a_static_code_holds_its_url_for_ever(app) {
        let made = code(&app, json!({"type": "static", "url": "https://e.test/1"})).await;
        assert_eq!(decode(&made.image(&app).await), "https://e.test/1");
        let path = format!("/api/qr/{}/update", made.id);
        app.put(&path, json!({"url": "https://e.test/2"})).await.refused("url of a static code cannot change");
        app.put(&path, json!({"url": "https://e.test/1", "foreground": "#00f"})).await.ok();
        let image = made.image(&app).await;
        assert_eq!(decode(&image), "https://e.test/1");
        assert!(pixels(&image).1.contains(&[0, 0, 255]));
    }

    async fn o_96_an_update_needs_data_and_colours_stay(app) {
        let made = code(&app, json!({"type": "text", "data": "one", "foreground": "rgb(0,0,128)"})).await;
        let path = format!("/api/qr/{}/update", made.id);
        for body in [json!({}), json!({"foreground": "#000"}), json!({"data": null})] {
            app.put(&path, body).await.refused("data is required");
        }
        // O-98: the message, exactly.
        let json = app.put(&path, json!({"data": "two"})).await.ok();
        assert_eq!(json["message"], "QR has been updated successfully.");
        let image = made.image(&app).await;
        assert_eq!(decode(&image), "two");
        assert!(pixels(&image).1.contains(&[0, 0, 128]));
        app.put(&path, json!({"data": "three", "background": "#000080"})).await.refused("scanners need it darker");
        assert_eq!(decode(&made.image(&app).await), "two");
    }

    async fn o_97_an_update_may_repeat_the_type(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/1"})).await;
        let path = format!("/api/qr/{}/update", made.id);
        app.put(&path, json!({"type": "link", "data": "https://e.test/2"})).await.ok();
        app.put(&path, json!({"data": "https://e.test/3"})).await.ok();
        app.put(&path, json!({"type": "text", "data": "x"})).await.refused("type must stay link");
        app.put(&path, json!({"type": "fax", "data": "x"})).await.refused("type must stay link");
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/3");
    }

    async fn o_98_the_message_of_an_update_is_exact(app) {
        let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/1"})).await;
        let json = app.put(&format!("/api/qr/{}/update", made.id), json!({"name": "x"})).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "QR has been updated successfully."}));
    }

    async fn o_99_a_deleted_code_is_gone_with_its_image(app) {
        let logo = site(plain_png(50, [0, 128, 0])).await;
        let made = code(&app, json!({"type": "link", "data": "https://e.test/", "logo": format!("http://{logo}/")})).await;
        let json = app.delete(&format!("/api/qr/{}/delete", made.id)).await.ok();
        assert_eq!(json, json!({"error": 0, "message": "QR Code has been deleted successfully."}));
        assert!(held(&app, made.slug()).await.is_none() && held(&app, made.image_slug()).await.is_none());
        app.get(&format!("/api/qr/{}", made.id)).await.refused("does not exist");
        app.get(&format!("/api/qr/{}/stats", made.id)).await.refused("does not exist");
        app.delete(&format!("/api/qr/{}/delete", made.id)).await.refused("does not exist");
        let (used,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM blobs WHERE refs > 0")
            .fetch_one(app.running.store.readers())
            .await
            .expect("reads");
        assert_eq!(used, 0, "no blob is left in use");
        check_books(&app).await;
        // Its id is never given again.
        let next = code(&app, json!({"type": "text", "data": "x"})).await;
        assert!(next.id > made.id);
    }

    async fn codes_are_no_links_and_share_their_slugs(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/"})).await;
        assert_eq!(app.get("/api/urls").await.ok()["data"]["result"], 0);
        app.get(&format!("/api/urls?short={}", made.link)).await.refused("does not exist");
        app.post("/api/url/add", json!({"url": "https://e.test/", "custom": made.slug()})).await.refused("reserved");
        assert!(Slug::parse(made.slug()).is_ok());
        check_books(&app).await;
    }

    async fn another_workspace_sees_nothing_of_a_code(app) {
        let made = code(&app, json!({"type": "link", "data": "https://e.test/"})).await;
        let key = app.other_workspace().await;
        for (method, path) in [(Method::GET, ""), (Method::GET, "/stats"), (Method::PUT, "/update"), (Method::DELETE, "/delete")] {
            let path = format!("/api/qr/{}{path}", made.id);
            let body = Some(json!({"data": "https://evil.test/"}));
            app.with_key(&key, method, &path, body).await.refused(&format!("QR code '{}' does not exist", made.id));
        }
        let path = format!("/{}", made.image_slug());
        app.with_key(&key, Method::GET, &path, None).await.refused("does not exist");
        assert_eq!(app.with_key(&key, Method::GET, "/api/qr", None).await.ok()["data"]["result"], 0);
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/");
    }

    async fn two_changes_at_once_are_both_made(app) {
        let made = code(&app, json!({"type": "dynamic", "url": "https://e.test/1"})).await;
        let path = format!("/api/qr/{}/update", made.id);
        let (one, two, three) = tokio::join!(
            app.put(&path, json!({"url": "https://e.test/2"})),
            app.put(&path, json!({"size": 300})),
            app.put(&path, json!({"foreground": "#008"})),
        );
        for answer in [one, two, three] {
            answer.ok();
        }
        assert_eq!(held(&app, made.slug()).await.expect("an entry").0, "https://e.test/2");
        let (side, pixels) = pixels(&made.image(&app).await);
        assert!(side == 300 && pixels.contains(&[0, 0, 0x88]));
        check_books(&app).await;
    }
}
