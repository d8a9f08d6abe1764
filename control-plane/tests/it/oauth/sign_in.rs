//! How people sign in: by forms of ours alone, with passwords that are not guessed, and by URLs that work once.

use super::*;

on_both_engines! {
    async fn forms_of_other_sites_do_nothing(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        let (mut browser, query) = ready(&app, &client).await;
        let page = browser.get(&format!("/oauth/authorize?{query}")).await;
        let workspace = between(&page.text(), "name=\"workspace\" value=\"", "\"").expect("one");
        let fields = [("request", query.as_str()), ("workspace", workspace.as_str()), ("decision", "allow")];
        // A proof of another browser, none, or one from before the sign-in.
        let mut other = Browser::new(&app);
        other.get("/login").await;
        let good = browser.proof.clone();
        for proof in [other.proof.clone(), String::new(), "x".to_owned(), format!("{good}x")] {
            browser.proof = proof;
            let answer = browser.post("/oauth/authorize", &fields).await;
            assert_eq!(answer.status, 403);
            assert!(!answer.headers.contains_key("location"));
        }
        browser.proof = other.proof.clone();
        assert_eq!(browser.post("/logout", &[]).await.status, 403);
        assert_eq!(browser.post("/login", &[("login", "ana"), ("password", "correct horse")]).await.status, 403);
        // A workspace that is not the user's is not given away.
        browser.proof = good;
        let elsewhere = browser.post("/oauth/authorize", &[("request", query.as_str()), ("workspace", "1"), ("decision", "allow")]).await;
        assert_eq!(elsewhere.status, 200);
        elsewhere.says("Allow Planner");
    }

    async fn o_40_the_sign_in_takes_only_the_new_password(app) {
        let (_, key) = add_user(&app, "ana").await;
        let mut before = Browser::new(&app);
        assert_eq!(before.sign_in("ana", "correct horse").await.status, 303);
        before.get("/login").await.says("Signed in");
        let done = app.with_key(&key, Method::PUT, "/api/account/update", Some(json!({"password": "another horse"}))).await.ok();
        assert_eq!(done, json!({"error": 0, "message": "Account has been successfully updated."}));
        // Keys stay, browsers do not.
        app.with_key(&key, Method::GET, "/api/account", None).await.ok();
        before.get("/login").await.says("<label for=\"login\">");
        let mut browser = Browser::new(&app);
        let wrong = browser.sign_in("ana", "correct horse").await;
        assert_eq!(wrong.status, 401);
        wrong.says("The name or the password is wrong.");
        assert_eq!(browser.sign_in("ana", "another horse").await.status, 303);
        browser.get("/login").await.says("ana@e.test");
        let out = browser.post("/logout", &[]).await;
        assert_eq!(out.header("location"), "/login");
        browser.get("/login").await.says("<label for=\"login\">");
        // The first user has no password, so none opens.
        assert_eq!(browser.sign_in("admin", "").await.status, 401);
    }

    async fn wrong_passwords_are_counted_by_account(app) {
        add_user(&app, "ana").await;
        let mut browser = Browser::new(&app);
        browser.get("/login").await;
        for _ in 0..10 {
            assert_eq!(browser.post("/login", &[("login", "ana"), ("password", "wrong horse")]).await.status, 401);
        }
        // Now the right one does not open either, and a name that does not exist is treated alike.
        let limited = browser.post("/login", &[("login", "Ana"), ("password", "correct horse")]).await;
        assert_eq!(limited.status, 429);
        limited.says("Too many attempts");
        app.config.clock.advance_ms(60_000);
        for _ in 0..10 {
            browser.post("/login", &[("login", "nobody"), ("password", "wrong horse")]).await.says("The name or the password is wrong.");
        }
        assert_eq!(browser.post("/login", &[("login", "nobody"), ("password", "x")]).await.status, 429);
        app.config.clock.advance_ms(15 * 60_000);
        assert_eq!(browser.post("/login", &[("login", "ana"), ("password", "correct horse")]).await.status, 303);
        browser.get("/login").await;
        // An account's name and its address are one account.
        for n in 0..10 {
            let login = if n % 2 == 0 { "ana" } else { "ana@e.test" };
            assert_eq!(browser.post("/login", &[("login", login), ("password", "wrong horse")]).await.status, 401);
        }
        assert_eq!(browser.post("/login", &[("login", "ana@e.test"), ("password", "correct horse")]).await.status, 429);
    }

    async fn a_one_time_url_signs_in_once_within_the_hour(app) {
        let (id, _) = add_user(&app, "ana").await;
        let link = async || {
            let json = app.get(&format!("/api/user/login/{id}")).await.ok();
            json["url"].as_str().expect("a URL").strip_prefix("http://api.test").expect("at the host that was called").to_owned()
        };
        let (older, path) = (link().await, link().await);
        let mut browser = Browser::new(&app);
        // Looking at it does nothing: programs look at URLs in messages.
        browser.get(&path).await.says("signs you in once");
        browser.get("/login").await.says("<label for=\"login\">");
        browser.get(&path).await;
        assert_eq!(browser.post(&older, &[]).await.status, 410);
        let done = browser.post(&path, &[]).await;
        assert_eq!(done.header("location"), "/login");
        browser.get("/login").await.says("ana@e.test");
        assert_eq!(browser.post(&path, &[]).await.status, 410);
        let late = link().await;
        app.config.clock.advance_ms(3_600_000);
        assert_eq!(browser.post(&late, &[]).await.status, 410);
        assert_eq!(browser.post("/login/%2e%2e%2fx%00", &[]).await.status, 410);
    }
}

#[tokio::test]
async fn behind_https_cookies_are_secure_and_urls_are_right() {
    let app = TestApp::start(None, &[("SIGNPOST_API_URL", "https://api.example")]).await;
    let answer = app.call(Method::GET, "/login", &[], "").await;
    let cookie = answer.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-signpost_form=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    let metadata = app
        .call(
            Method::GET,
            "/.well-known/oauth-authorization-server",
            &[],
            "",
        )
        .await;
    assert_eq!(metadata.json()["issuer"], "https://api.example");
    let account = app.get("/api/account").await.ok();
    assert_eq!(
        account["data"]["avatar"],
        "https://api.example/avatars/1.svg"
    );
}
