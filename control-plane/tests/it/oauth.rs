//! Apps that act for users: the whole way as browser and app go it, and what attackers try on it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::{Answer, TestApp, keys, on_both_engines};
use crate::users::add_user;

mod document;
mod sign_in;
mod tokens;

/// Where the app of the tests wants its codes.
pub(crate) const CALLBACK: &str = "https://app.example/callback?x=1";

/// A PKCE verifier, and what is sent of it.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER.as_bytes()))
}

/// A person's browser: keeps cookies, and sends the proof of the last form back.
pub(crate) struct Browser<'a> {
    app: &'a TestApp,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) proof: String,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).expect("text")
    }

    #[track_caller]
    pub(crate) fn says(&self, part: &str) {
        assert!(
            self.text().contains(part),
            "no '{part}' in {}: {}",
            self.status,
            self.text()
        );
    }
}

impl<'a> Browser<'a> {
    pub(crate) fn new(app: &'a TestApp) -> Self {
        Self {
            app,
            cookies: BTreeMap::new(),
            proof: String::new(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.call(Method::GET, path, String::new()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .append_pair("form", &self.proof)
            .finish();
        self.call(Method::POST, path, form).await
    }

    async fn call(&mut self, method: Method, path: &str, body: String) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let cookies = cookies.join("; ");
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        if !cookies.is_empty() {
            headers.push(("cookie", &cookies));
        }
        let answer = self.app.call(method, path, &headers, body).await;
        for set in answer.headers.get_all("set-cookie") {
            let text = set.to_str().expect("text");
            assert!(
                text.contains("; HttpOnly; SameSite=Lax") && text.contains("; Path=/"),
                "{text}"
            );
            let (pair, _) = text.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a value");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some(proof) = between(&answer.text(), "name=\"form\" value=\"", "\"") {
            self.proof = proof;
        }
        answer
    }

    pub(crate) async fn sign_in(&mut self, login: &str, password: &str) -> Answer {
        self.get("/login").await;
        self.post("/login", &[("login", login), ("password", password)])
            .await
    }

    /// Goes to the consent page of this query, signed in before, and answers it.
    async fn decide(&mut self, query: &str, decision: &str) -> Answer {
        let page = self.get(&format!("/oauth/authorize?{query}")).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let workspace =
            between(&page.text(), "name=\"workspace\" value=\"", "\"").expect("one workspace");
        self.post(
            "/oauth/authorize",
            &[
                ("request", query),
                ("workspace", &workspace),
                ("decision", decision),
            ],
        )
        .await
    }
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(found, _)| found.to_owned())
}

/// Parameters of a redirect that must lead to the callback.
#[track_caller]
fn answered(answer: &Answer) -> BTreeMap<String, String> {
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text());
    let location = answer.header("location");
    let query = location
        .strip_prefix("https://app.example/callback?")
        .unwrap_or_else(|| panic!("sent to {location}"));
    url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

struct Registered {
    id: i64,
    client_id: String,
    secret: Option<String>,
}

async fn register(app: &TestApp, more: Value) -> Registered {
    let mut body = json!({"name": "Planner <b>", "redirect_uris": [CALLBACK]});
    for (name, value) in more.as_object().expect("fields") {
        body[name] = value.clone();
    }
    let json = app.post("/api/oauth/client/add", body).await.ok();
    Registered {
        id: json["id"].as_i64().expect("id"),
        client_id: json["client_id"].as_str().expect("text").to_owned(),
        secret: json["client_secret"].as_str().map(str::to_owned),
    }
}

/// The public name of a new app.
pub(crate) async fn registered(app: &TestApp) -> String {
    register(app, json!({})).await.client_id
}

fn query(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

async fn token(app: &TestApp, fields: &[(&str, &str)]) -> Answer {
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    app.call(Method::POST, "/api/oauth/token", &headers, query(fields))
        .await
}

#[track_caller]
fn failed(answer: &Answer, status: u16, error: &str) {
    let json = answer.json();
    assert_eq!(
        (answer.status.as_u16(), &json["error"]),
        (status, &json!(error)),
        "{json}"
    );
    assert!(json["error_description"].is_string(), "{json}");
}

fn field(json: &Value, name: &str) -> String {
    json[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {json}"))
        .to_owned()
}

/// The query of a public client, and a browser in which `ana` is signed in.
async fn ready<'a>(app: &'a TestApp, client: &Registered) -> (Browser<'a>, String) {
    let mut browser = Browser::new(app);
    let done = browser.sign_in("ana", "correct horse").await;
    assert_eq!(
        (done.status.as_u16(), done.header("location")),
        (303, "/login")
    );
    let challenge = challenge();
    let query = query(&[
        ("response_type", "code"),
        ("client_id", &client.client_id),
        ("redirect_uri", CALLBACK),
        ("scope", "read write"),
        ("state", "s t&a"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    (browser, query)
}

async fn code(browser: &mut Browser<'_>, query: &str) -> String {
    answered(&browser.decide(query, "allow").await)["code"].clone()
}

/// Exchanges a code as the public client does.
async fn exchange(app: &TestApp, client: &Registered, code: &str) -> Answer {
    token(
        app,
        &[
            ("grant_type", "authorization_code"),
            ("client_id", &client.client_id),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ],
    )
    .await
}

/// A user signs in and allows a public client everything; it has tokens then.
pub(crate) async fn allow(app: &TestApp, login: &str, client_id: &str) {
    let mut browser = Browser::new(app);
    let done = browser.sign_in(login, "correct horse").await;
    assert_eq!(done.status, 303, "{}", done.text());
    let challenge = challenge();
    let query = query(&[
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", CALLBACK),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let code = code(&mut browser, &query).await;
    let client = Registered {
        id: 0,
        client_id: client_id.to_owned(),
        secret: None,
    };
    let tokens = exchange(app, &client, &code).await;
    assert_eq!(tokens.status, 200, "{}", tokens.text());
}

/// An access token by client credentials, for the first user.
pub(crate) async fn token_of_client(app: &TestApp, scope: &str) -> String {
    let client = register(app, json!({})).await;
    let secret = client.secret.expect("a secret");
    let answer = token(
        app,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", &client.client_id),
            ("client_secret", &secret),
            ("scope", scope),
        ],
    )
    .await;
    field(&answer.json(), "access_token")
}

on_both_engines! {
    async fn o_08_a_user_allows_an_app_and_its_token_is_that_user(app) {
        let (_, key) = add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        assert!(client.secret.is_none());
        let (mut browser, query) = ready(&app, &client).await;
        // Not signed in: first the form, then on to the same request.
        let mut other = Browser::new(&app);
        other.get(&format!("/oauth/authorize?{query}")).await.says("<label for=\"password\">");
        let done = other.post("/login", &[("login", "ana@e.test"), ("password", "correct horse"), ("request", &query)]).await;
        assert_eq!(done.header("location"), format!("/oauth/authorize?{query}"));
        let page = browser.get(&format!("/oauth/authorize?{query}")).await;
        page.says("Planner &lt;b&gt;");
        page.says("make, change and delete links");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("form-action 'self' https://app.example;"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"));
        assert_eq!((page.header("x-frame-options"), page.header("cache-control")), ("DENY", "no-store"));
        let answer = answered(&browser.decide(&query, "allow").await);
        assert_eq!((answer["state"].as_str(), answer["x"].as_str(), answer["iss"].as_str()), ("s t&a", "1", "http://api.test"));
        let tokens = exchange(&app, &client, &answer["code"]).await;
        assert_eq!((tokens.status.as_u16(), tokens.header("cache-control"), tokens.header("pragma")), (200, "no-store", "no-cache"));
        let json = tokens.json();
        assert_eq!((&json["token_type"], &json["expires_in"], &json["scope"]), (&json!("Bearer"), &json!(3600), &json!("read write")));
        let access = field(&json, "access_token");
        assert_eq!(keys(&json), ["access_token", "expires_in", "refresh_token", "scope", "token_type"]);
        assert!(!access.is_empty() && !field(&json, "refresh_token").is_empty());
        // Everything an account says is that user's, as with a key of its own.
        let account = app.with_key(&access, Method::GET, "/api/account", None).await.ok();
        assert_eq!(account, app.with_key(&key, Method::GET, "/api/account", None).await.ok());
        assert_eq!((&account["data"]["email"], &account["data"]["username"]), (&json!("ana@e.test"), &json!("ana")));
        app.with_key(&access, Method::POST, "/api/url/add", Some(json!({"url": "https://e.test/"}))).await.ok();
        // Not what would outlive the permission.
        app.with_key(&access, Method::POST, "/api/keys", Some(json!({}))).await.failed(403, "token of an app");
        app.with_key(&access, Method::PUT, "/api/account/update", Some(json!({"password": "another horse"}))).await.failed(403, "token of an app");
        app.config.clock.advance_ms(3_600_000);
        app.with_key(&access, Method::GET, "/api/account", None).await.failed(401, "expired");
        // Nothing that opens anything lies in the database as it is.
        let pool = app.running.store.readers();
        let stored: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT hash FROM oauth_tokens UNION ALL SELECT hash FROM oauth_codes UNION ALL SELECT hash FROM sign_ins").fetch_all(pool).await.expect("rows");
        assert!(stored.len() >= 5 && stored.iter().all(|(hash,)| hash.len() == 32));
    }

    async fn the_user_can_say_no_and_take_it_back(app) {
        let (_, key) = add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        let (mut browser, query) = ready(&app, &client).await;
        let denied = answered(&browser.decide(&query, "deny").await);
        assert_eq!((denied["error"].as_str(), denied["state"].as_str()), ("access_denied", "s t&a"));
        assert!(!denied.contains_key("code"));
        let code = code(&mut browser, &query).await;
        let tokens = exchange(&app, &client, &code).await.json();
        let apps = app.with_key(&key, Method::GET, "/api/oauth/apps", None).await.ok();
        assert_eq!(apps["data"][0]["client_id"], client.client_id.as_str());
        let id = apps["data"][0]["id"].clone();
        app.delete(&format!("/api/oauth/app/{id}/delete")).await.refused("does not exist");
        app.with_key(&key, Method::DELETE, &format!("/api/oauth/app/{id}/delete"), None).await.ok();
        app.with_key(&field(&tokens, "access_token"), Method::GET, "/api/account", None).await.failed(401, "revoked");
        failed(&token(&app, &[("grant_type", "refresh_token"), ("client_id", &client.client_id), ("refresh_token", &field(&tokens, "refresh_token"))]).await, 400, "invalid_grant");
        assert_eq!(app.with_key(&key, Method::GET, "/api/oauth/apps", None).await.ok()["data"], json!([]));
    }

    async fn nobody_is_redirected_to_where_no_app_is_registered(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        let (mut browser, _) = ready(&app, &client).await;
        let ask = async |browser: &mut Browser<'_>, fields: &[(&str, &str)]| {
            let answer = browser.get(&format!("/oauth/authorize?{}", query(fields))).await;
            assert!(!answer.headers.contains_key("location"), "{fields:?}");
            assert_eq!(answer.status, 400, "{fields:?}");
        };
        let id = client.client_id.as_str();
        for uri in [
            "https://evil.test/", "https://app.example/callback", "https://app.example/callback?x=1&y=2", "https://app.example/callback?x=1#", "https://app.example/callback?x=1/",
            "HTTPS://app.example/callback?x=1", "https://app.example:443/callback?x=1", "https://app.example@evil.test/callback?x=1", "javascript:alert(1)", "//evil.test",
        ] {
            ask(&mut browser, &[("response_type", "code"), ("client_id", id), ("redirect_uri", uri), ("state", "s")]).await;
        }
        ask(&mut browser, &[("response_type", "code"), ("client_id", "nobody"), ("redirect_uri", "https://evil.test/")]).await;
        ask(&mut browser, &[("response_type", "code"), ("redirect_uri", CALLBACK)]).await;
        ask(&mut browser, &[("response_type", "code"), ("client_id", id), ("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.test/")]).await;
        ask(&mut browser, &[("client_id", id), ("client_id", "b"), ("redirect_uri", CALLBACK)]).await;
        ask(&mut browser, &[("client_id", "a\0b"), ("redirect_uri", CALLBACK)]).await;
        // What goes on after signing in is a query of ours, whatever the form says.
        browser.cookies.clear();
        browser.get("/login").await;
        let done = browser.post("/login", &[("login", "ana"), ("password", "correct horse"), ("request", "//evil.test/\r\nSet-Cookie: a=b")]).await;
        assert!(done.header("location").starts_with("/oauth/authorize?%2F%2Fevil.test"), "{done:?}");
    }

    async fn errors_go_to_the_registered_place_with_the_state(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true, "scopes": ["read"]})).await;
        let (mut browser, _) = ready(&app, &client).await;
        let challenge = challenge();
        let good = [
            ("response_type", "code"), ("client_id", client.client_id.as_str()), ("redirect_uri", CALLBACK), ("state", "s"), ("scope", "read"),
            ("code_challenge", challenge.as_str()), ("code_challenge_method", "S256"),
        ];
        for (name, value, error) in [
            ("response_type", "token", "unsupported_response_type"), ("response_type", "", "unsupported_response_type"), ("scope", "read write", "invalid_scope"),
            ("scope", "admin", "invalid_scope"), ("scope", "keys", "invalid_scope"),
            // A downgrade of PKCE is refused, whichever part of it is taken away.
            ("code_challenge_method", "plain", "invalid_request"), ("code_challenge_method", "", "invalid_request"), ("code_challenge", "", "invalid_request"), ("code_challenge", "short", "invalid_request"),
        ] {
            let fields: Vec<(&str, &str)> = good.iter().map(|(n, v)| (*n, if *n == name { value } else { v })).collect();
            let answer = answered(&browser.get(&format!("/oauth/authorize?{}", query(&fields))).await);
            assert_eq!((answer["error"].as_str(), answer["state"].as_str(), answer["x"].as_str()), (error, "s", "1"), "{name}={value}");
        }
        let without: Vec<(&str, &str)> = good[..5].to_vec();
        let answer = answered(&browser.get(&format!("/oauth/authorize?{}", query(&without))).await);
        assert_eq!(answer["error"], "invalid_request");
        let long = "s".repeat(3000);
        let fields: Vec<(&str, &str)> = good.iter().map(|(n, v)| (*n, if *n == "state" { long.as_str() } else { v })).collect();
        let answer = answered(&browser.get(&format!("/oauth/authorize?{}", query(&fields))).await);
        assert_eq!((answer["error"].as_str(), answer.get("state")), ("invalid_request", None));
    }

    async fn a_code_works_once_and_a_second_use_ends_what_came_of_it(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        let (mut browser, query) = ready(&app, &client).await;
        let first = code(&mut browser, &query).await;
        let tokens = exchange(&app, &client, &first).await.json();
        let access = field(&tokens, "access_token");
        app.with_key(&access, Method::GET, "/api/account", None).await.ok();
        failed(&exchange(&app, &client, &first).await, 400, "invalid_grant");
        app.with_key(&access, Method::GET, "/api/account", None).await.failed(401, "revoked");
        failed(&token(&app, &[("grant_type", "refresh_token"), ("client_id", &client.client_id), ("refresh_token", &field(&tokens, "refresh_token"))]).await, 400, "invalid_grant");
        // It is short-lived.
        let late = code(&mut browser, &query).await;
        app.config.clock.advance_ms(60_000);
        failed(&exchange(&app, &client, &late).await, 400, "invalid_grant");
        // Of many at once at most one gets tokens, and the others end them.
        let raced = code(&mut browser, &query).await;
        let answers = futures_util::future::join_all((0..4).map(|_| exchange(&app, &client, &raced))).await;
        let won: Vec<Value> = answers.iter().filter(|a| a.status == 200).map(Answer::json).collect();
        assert_eq!(won.len(), 1);
        app.with_key(&field(&won[0], "access_token"), Method::GET, "/api/account", None).await.failed(401, "revoked");
    }

    async fn a_stolen_code_is_of_no_use_without_verifier_client_and_place(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({"public": true})).await;
        let thief = register(&app, json!({"public": true, "name": "Thief"})).await;
        let (mut browser, query) = ready(&app, &client).await;
        let stolen = code(&mut browser, &query).await;
        // Another client does not even use it up.
        failed(&exchange(&app, &thief, &stolen).await, 400, "invalid_grant");
        assert_eq!(exchange(&app, &client, &stolen).await.status, 200);
        let id = client.client_id.as_str();
        for fields in [
            vec![("redirect_uri", CALLBACK)],
            vec![("redirect_uri", CALLBACK), ("code_verifier", "")],
            vec![("redirect_uri", CALLBACK), ("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXX")],
            vec![("redirect_uri", "https://evil.test/"), ("code_verifier", VERIFIER)],
            vec![("code_verifier", VERIFIER)],
        ] {
            let stolen = code(&mut browser, &query).await;
            let mut all = vec![("grant_type", "authorization_code"), ("client_id", id), ("code", stolen.as_str())];
            all.extend(fields.clone());
            failed(&token(&app, &all).await, 400, "invalid_grant");
            // And is used up by the attempt.
            failed(&exchange(&app, &client, &stolen).await, 400, "invalid_grant");
        }
    }

    async fn a_confidential_client_may_go_without_pkce_but_not_half_way(app) {
        add_user(&app, "ana").await;
        let client = register(&app, json!({})).await;
        let (mut browser, _) = ready(&app, &client).await;
        let secret = client.secret.clone().expect("a secret");
        let plain = query(&[("response_type", "code"), ("client_id", &client.client_id)]);
        let basic = format!("Basic {}", STANDARD.encode(format!("{}:{secret}", client.client_id)));
        let by_basic = async |fields: &[(&str, &str)]| {
            let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
            app.call(Method::POST, "/api/oauth/token", &headers, query(fields)).await
        };
        let given = code(&mut browser, &plain).await;
        let json = by_basic(&[("grant_type", "authorization_code"), ("code", &given)]).await.json();
        assert_eq!(json["scope"], "read write");
        // A verifier for a code without a challenge: somebody took the challenge away.
        let given = code(&mut browser, &plain).await;
        failed(&by_basic(&[("grant_type", "authorization_code"), ("code", &given), ("code_verifier", VERIFIER)]).await, 400, "invalid_grant");
        let given = code(&mut browser, &plain).await;
        let body = json!({"grant_type": "authorization_code", "code": given, "client_id": client.client_id, "client_secret": secret}).to_string();
        let answer = app.call(Method::POST, "/api/oauth/token", &[("content-type", "application/json")], body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
