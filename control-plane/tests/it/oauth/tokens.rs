//! Tokens over their life, the clients they are given to, and the apps these are of.

use super::*;

on_both_engines! {
    async fn refresh_tokens_rotate_and_a_second_use_ends_the_family(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        let (mut browser, query) = ready(&app, &client).await;
        let given = code(&mut browser, &query).await;
        let first = exchange(&app, &client, &given).await.json();
        let refresh = async |token_text: &str, scope: &str| {
            token(&app, &[("grant_type", "refresh_token"), ("client_id", &client.client_id), ("refresh_token", token_text), ("scope", scope)]).await
        };
        let old = field(&first, "refresh_token");
        // More than was allowed is refused, and uses nothing up.
        failed(&refresh(&old, "read write admin").await, 400, "invalid_scope");
        let narrow = refresh(&old, "read").await.json();
        assert_eq!(narrow["scope"], "read");
        let read_only = field(&narrow, "access_token");
        app.with_key(&read_only, Method::POST, "/api/url/add", None).await.failed(403, "'write'");
        let second = refresh(&field(&narrow, "refresh_token"), "").await.json();
        assert_eq!(second["scope"], "read write");
        let access = field(&second, "access_token");
        app.with_key(&access, Method::GET, "/api/account", None).await.ok();
        // Somebody comes with the first one again.
        failed(&refresh(&old, "").await, 400, "invalid_grant");
        app.with_key(&access, Method::GET, "/api/account", None).await.failed(401, "revoked");
        failed(&refresh(&field(&second, "refresh_token"), "").await, 400, "invalid_grant");
        // They end, and are not access tokens, nor the reverse.
        let given = code(&mut browser, &query).await;
        let third = exchange(&app, &client, &given).await.json();
        app.with_key(&field(&third, "refresh_token"), Method::GET, "/api/account", None).await.failed(401, "not known");
        failed(&refresh(&field(&third, "access_token"), "").await, 400, "invalid_grant");
        app.config.clock.advance_ms(30 * 86_400_000);
        failed(&refresh(&field(&third, "refresh_token"), "").await, 400, "invalid_grant");
    }

    async fn tokens_of_one_client_are_nothing_to_another(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        let thief = register(&app, json!({})).await;
        let secret = thief.secret.clone().expect("a secret");
        let (mut browser, query) = ready(&app, &client).await;
        let given = code(&mut browser, &query).await;
        let tokens = exchange(&app, &client, &given).await.json();
        let (access, refresh) = (field(&tokens, "access_token"), field(&tokens, "refresh_token"));
        failed(&token(&app, &[("grant_type", "refresh_token"), ("client_id", &thief.client_id), ("client_secret", &secret), ("refresh_token", &refresh)]).await, 400, "invalid_grant");
        let revoke = async |fields: &[(&str, &str)]| {
            app.call(Method::POST, "/api/oauth/revoke", &[("content-type", "application/x-www-form-urlencoded")], self::query(fields)).await
        };
        let by_thief = [("client_id", thief.client_id.as_str()), ("client_secret", secret.as_str()), ("token", access.as_str())];
        failed(&revoke(&by_thief).await, 400, "invalid_grant");
        failed(&revoke(&[("token", &access)]).await, 401, "invalid_client");
        app.with_key(&access, Method::GET, "/api/account", None).await.ok();
        let id = client.client_id.as_str();
        assert_eq!(revoke(&[("client_id", id), ("token", &access), ("token_type_hint", "nonsense")]).await.status, 200);
        app.with_key(&access, Method::GET, "/api/account", None).await.failed(401, "revoked");
        // The refresh token is not touched by that; revoked itself it takes everything along.
        let next = token(&app, &[("grant_type", "refresh_token"), ("client_id", id), ("refresh_token", &refresh)]).await.json();
        assert_eq!(revoke(&[("client_id", id), ("token", &field(&next, "refresh_token"))]).await.status, 200);
        app.with_key(&field(&next, "access_token"), Method::GET, "/api/account", None).await.failed(401, "revoked");
        assert_eq!(revoke(&[("client_id", id), ("token", "unknown")]).await.status, 200);
    }

    async fn clients_prove_themselves_in_one_way(app) {
        let client = register(&app, json!({"scopes": "read"})).await;
        let open = register(&app, json!({"public": true})).await;
        let (id, secret) = (client.client_id.as_str(), client.secret.clone().expect("a secret"));
        let own = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret.as_str())];
        let json = token(&app, &own).await.json();
        assert_eq!((&json["scope"], json.get("refresh_token")), (&json!("read"), None));
        let access = field(&json, "access_token");
        assert_eq!(app.with_key(&access, Method::GET, "/api/account", None).await.ok()["data"]["username"], "admin");
        // Not even of an administrator's app.
        app.with_key(&access, Method::GET, "/api/users", None).await.failed(403, "token of an app");
        for fields in [
            vec![], vec![("client_id", id)], vec![("client_id", id), ("client_secret", "sgs_wrong")], vec![("client_id", "nobody"), ("client_secret", secret.as_str())],
            vec![("client_id", open.client_id.as_str()), ("client_secret", secret.as_str())], vec![("client_secret", secret.as_str())],
        ] {
            let mut all = vec![("grant_type", "client_credentials")];
            all.extend(fields);
            let answer = token(&app, &all).await;
            failed(&answer, 401, "invalid_client");
            assert!(answer.header("www-authenticate").starts_with("Basic"));
        }
        failed(&token(&app, &[("grant_type", "client_credentials"), ("client_id", &open.client_id)]).await, 400, "unauthorized_client");
        failed(&token(&app, &[own[0], own[1], own[2], ("scope", "write")]).await, 400, "invalid_scope");
        failed(&token(&app, &[("grant_type", "password"), own[1], own[2]]).await, 400, "unsupported_grant_type");
        failed(&token(&app, &[own[1], own[2]]).await, 400, "invalid_request");
        failed(&token(&app, &[own[0], own[1], own[2], own[2]]).await, 400, "invalid_request");
        failed(&token(&app, &[("grant_type", "authorization_code"), own[1], own[2]]).await, 400, "invalid_request");
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        for (header, body, expected) in [
            (basic.as_str(), query(&own), (400, "invalid_request")), ("Basic !!!", query(&own[..1]), (401, "invalid_client")), ("Basic", query(&own[..1]), (401, "invalid_client")),
        ] {
            let answer = app.call(Method::POST, "/api/oauth/token", &[("authorization", header)], body).await;
            failed(&answer, expected.0, expected.1);
        }
        failed(&app.call(Method::POST, "/api/oauth/token", &[("content-type", "application/json")], "[]").await, 400, "invalid_request");
        failed(&app.call(Method::POST, "/api/oauth/token", &[], vec![b'a'; 100_000]).await, 400, "invalid_request");
        let rotated = app.post(&format!("/api/oauth/client/{}/rotate", client.id), json!({})).await.ok();
        failed(&token(&app, &own).await, 401, "invalid_client");
        let secret = field(&rotated, "client_secret");
        assert_eq!(token(&app, &[own[0], own[1], ("client_secret", &secret)]).await.status, 200);
        app.delete(&format!("/api/oauth/client/{}/delete", client.id)).await.ok();
        app.with_key(&access, Method::GET, "/api/account", None).await.failed(401, "revoked");
        failed(&token(&app, &[own[0], own[1], ("client_secret", &secret)]).await, 401, "invalid_client");
    }

    async fn apps_are_registered_checked_and_their_workspaces_own(app) {
        for (body, part) in [
            (json!({}), "name is required"), (json!({"name": "x", "redirect_uris": ["http://app.example/"]}), "redirect_uris must begin with https"),
            (json!({"name": "x", "redirect_uris": ["javascript:alert(1)"]}), "redirect_uris must begin"), (json!({"name": "x", "redirect_uris": "https://a.example/#x"}), "redirect_uris must hold no fragment"),
            (json!({"name": "x", "redirect_uris": [7]}), "redirect_uris must be a list"), (json!({"name": "x", "scopes": ["admin"]}), "scopes must be a list of read and write"),
            (json!({"name": "x", "public": true}), "redirect_uris must hold one"), (json!({"name": "x", "redirect_uris": vec!["https://a.example/"; 11]}), "redirect_uris must be at most 10"),
        ] {
            app.post("/api/oauth/client/add", body).await.refused(part);
        }
        let client = register(&app, json!({})).await;
        let mut json = app.get("/api/oauth/clients").await.ok();
        json["data"]["clients"][0]["client_id"] = json!("<client_id>");
        json["data"]["clients"][0]["date"] = json!("<date>");
        insta::assert_json_snapshot!("oauth_clients", json);
        let (_, stranger) = add_user(&app, "ana").await;
        assert_eq!(app.with_key(&stranger, Method::GET, "/api/oauth/clients", None).await.ok()["data"]["result"], 0);
        for (method, what) in [(Method::POST, "rotate"), (Method::DELETE, "delete")] {
            app.with_key(&stranger, method, &format!("/api/oauth/client/{}/{what}", client.id), None).await.refused("does not exist");
        }
        let metadata = app.call(Method::GET, "/.well-known/oauth-authorization-server", &[], "").await.json();
        insta::assert_json_snapshot!("oauth_metadata", metadata);
    }
}
