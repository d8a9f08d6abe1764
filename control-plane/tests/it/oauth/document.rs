//! Every operation of the document of apps and sign-in pages, with every field it describes: what is sent is text wherever
//! it is shown, every answer is one that the document names, and nobody gets at what is another's.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use super::{Browser, CALLBACK, challenge, query, register, token};
use crate::foreign::{MARK, Victim, same};
use crate::harness::{ADMIN_KEY, Answer, TestApp, on_both_engines};
use crate::hostile::{BREAKING_OUT, HOSTILE, MARKUP, UNSEEN};
use crate::users::add_user;

/// A call that the document describes.
struct Operation {
    method: Method,
    path: String,
    /// Names of its parameters in the query.
    query: Vec<String>,
    /// Names of its form's fields, but for the proof.
    form: Vec<String>,
    /// Whether a page gives the form, which carries a proof then.
    is_page: bool,
    responses: Value,
}

/// All of them, in the document's order.
async fn operations(app: &TestApp) -> Vec<Operation> {
    let answer = app.call(Method::GET, "/oauth/openapi.json", &[], "").await;
    let document = answer.json();
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let kind = "/requestBody/content/application~1x-www-form-urlencoded/schema/$ref";
            let schema = operation.pointer(kind).and_then(Value::as_str);
            let schema = schema.map(|name| {
                let found = document.pointer(name.trim_start_matches('#'));
                found.expect("a schema")["properties"].clone()
            });
            let fields = schema.iter().filter_map(Value::as_object).flatten();
            let fields: Vec<String> = fields.map(|(name, _)| name.clone()).collect();
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let queries = parameters.filter(|one| one["in"] == "query");
            all.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                query: queries
                    .map(|one| one["name"].as_str().expect("a name").to_owned())
                    .collect(),
                is_page: fields.iter().any(|name| name == "form"),
                form: fields.into_iter().filter(|name| name != "form").collect(),
                responses: operation["responses"].clone(),
            });
        }
    }
    all
}

impl Operation {
    /// Everything of it that can be said: fields, parameters, and the token in the path.
    fn places(&self) -> Vec<&str> {
        let named = self.query.iter().chain(&self.form).map(String::as_str);
        named
            .chain(self.path.contains('{').then_some("{token}"))
            .collect()
    }

    /// With these values; a browser that was given the form's page sends it.
    async fn call(&self, browser: &mut Browser<'_>, values: &[(&str, String)]) -> Answer {
        let of = |names: &[String]| -> Vec<(&str, &str)> {
            let said = values
                .iter()
                .filter(|(name, _)| names.iter().any(|n| n == name));
            said.map(|(name, value)| (*name, value.as_str())).collect()
        };
        let token = values.iter().find(|(name, _)| *name == "{token}");
        let token = token.map_or("nothing", |(_, value)| value);
        let token =
            percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
        let mut path = self.path.replace("{token}", &token.to_string());
        let (asked, form) = (of(&self.query), of(&self.form));
        if !asked.is_empty() {
            path = format!("{path}?{}", query(&asked));
        }
        let answer = if self.method == Method::GET {
            browser.get(&path).await
        } else if self.is_page {
            browser.post(&path, &form).await
        } else {
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let method = self.method.clone();
            browser
                .app
                .call(method, &path, &headers, query(&form))
                .await
        };
        self.is_described(&answer);
        answer
    }

    #[track_caller]
    fn is_described(&self, answer: &Answer) {
        let described = &self.responses[answer.status.as_str()];
        let shown = format!(
            "{} {}: {} {}",
            self.method,
            self.path,
            answer.status,
            answer.text()
        );
        assert!(described.is_object(), "{shown}");
        assert_ne!(answer.status, 429, "{shown}");
        if let Some(kinds) = described["content"].as_object() {
            let kind = answer.header("content-type");
            let kind = kind.split(';').next().unwrap_or_default().trim();
            assert!(kinds.contains_key(kind), "{shown}");
        }
    }
}

/// Time between two calls: those of an address are counted by the minute, wrong passwords by the quarter of an hour.
const PAUSE_MS: i64 = 100_000;

/// A browser that has the proof of a form, in which somebody is signed in or nobody is.
async fn browser<'a>(app: &'a TestApp, login: Option<&str>) -> Browser<'a> {
    app.config.clock.advance_ms(15 * 60_000);
    let mut browser = Browser::new(app);
    if let Some(login) = login {
        let done = browser.sign_in(login, "correct horse").await;
        assert_eq!(done.status, 303, "{}", done.text());
    }
    browser.get("/login").await;
    browser
}

/// A request to authorize that is right.
fn request(client_id: &str) -> String {
    query(&[
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", CALLBACK),
        ("code_challenge", &challenge()),
        ("code_challenge_method", "S256"),
    ])
}

on_both_engines! {
    async fn the_document_names_every_call_that_needs_no_key(app) {
        let all: BTreeSet<String> = operations(&app).await.iter().map(|one| format!("{} {}", one.method, one.path)).collect();
        let known = [
            "GET /.well-known/oauth-authorization-server", "POST /api/oauth/token", "POST /api/oauth/revoke",
            "GET /oauth/authorize", "POST /oauth/authorize", "GET /login", "POST /login", "GET /login/{token}", "POST /login/{token}",
            "POST /logout", "GET /invitation/{token}", "POST /invitation/{token}",
        ];
        assert_eq!(all, known.map(str::to_owned).into());
        let metadata = app.call(Method::GET, "/.well-known/oauth-authorization-server", &[], "").await.json();
        for (name, value) in metadata.as_object().expect("an object") {
            if let Some(url) = value.as_str().filter(|_| name.ends_with("_endpoint")) {
                let path = url.split_once("//").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..])).expect("a path");
                assert!(all.iter().any(|one| one.ends_with(path)), "{url}");
            }
        }
    }

    async fn markup_in_any_field_of_sign_in_pages_is_text_and_every_answer_is_described(app) {
        add_user(&app, "ana").await;
        let client = register(&app, serde_json::json!({"public": true})).await;
        let right = |name: &str| match name {
            "request" => request(&client.client_id),
            "client_id" => client.client_id.clone(),
            "redirect_uri" => CALLBACK.to_owned(),
            "response_type" => "code".to_owned(),
            "code_challenge" => challenge(),
            "code_challenge_method" => "S256".to_owned(),
            "grant_type" => "authorization_code".to_owned(),
            "scope" => "read".to_owned(),
            "response_mode" => "query".to_owned(),
            "decision" => "allow".to_owned(),
            _ => "1".to_owned(),
        };
        let mut walked = 0;
        for operation in operations(&app).await {
            let places = operation.places();
            for login in [None, Some("ana")] {
                let mut browser = browser(&app, login).await;
                for place in &places {
                    for text in [HOSTILE, UNSEEN, BREAKING_OUT, "\0"] {
                        app.config.clock.advance_ms(PAUSE_MS);
                        let value = |name: &str| if name == *place { text.to_owned() } else { right(name) };
                        let values: Vec<(&str, String)> = places.iter().map(|name| (*name, value(name))).collect();
                        let answer = operation.call(&mut browser, &values).await;
                        let shown = format!("{} {} {place}: {}", operation.method, operation.path, answer.text());
                        assert!(!answer.headers.get("content-type").is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) || !MARKUP.iter().any(|markup| answer.text().contains(markup)), "{shown}");
                        // Nor does any of it end a header, or lead anywhere but to the app and to us.
                        let to = answer.headers.get("location").map_or("", |to| to.to_str().expect("text"));
                        assert!(to.is_empty() || to.starts_with('/') || to.starts_with("https://app.example/callback?"), "{shown}");
                        walked += 1;
                    }
                }
            }
        }
        assert!(walked > 200, "{walked}");
        // Bytes that are no text at all.
        for path in ["/login/%ff", "/invitation/%ff"] {
            let mut browser = browser(&app, None).await;
            assert_eq!(browser.get(path).await.status, 410);
            assert_eq!(browser.post(path, &[]).await.status, 410);
        }
    }

    async fn a_stranger_gets_at_nothing_by_pages_and_tokens(app) {
        let victim = Victim::new(&app).await;
        add_user(&app, "mallory").await;
        let (workspace,): (i64,) = sqlx::query_as("SELECT workspace_id FROM users WHERE id = $1")
            .bind(victim.ids.of("user").parse::<i64>().expect("a number"))
            .fetch_one(app.running.store.readers())
            .await
            .expect("a row");
        let clients = app.with_key(&victim.key, Method::GET, "/api/oauth/clients", None).await.ok();
        let clients: Vec<String> = clients["data"]["clients"].as_array().expect("a list").iter().map(|one| one["client_id"].as_str().expect("text").to_owned()).collect();
        assert_eq!(clients.len(), 2);
        let mut values: BTreeSet<String> = clients.iter().cloned().collect();
        values.extend([workspace.to_string(), format!("{MARK}-ana"), format!("{MARK}-ana@e.test"), format!("{MARK}-guest@e.test"), ADMIN_KEY.to_owned()]);
        for kind in ["user", "key", "app", "client", "invitation", "member", "link"] {
            values.insert(victim.ids.of(kind).to_owned());
        }
        let before = victim.view(&app).await;
        for operation in operations(&app).await {
            let mut browser = browser(&app, Some("mallory")).await;
            for place in operation.places() {
                for value in &values {
                    app.config.clock.advance_ms(PAUSE_MS);
                    let answer = operation.call(&mut browser, &[(place, value.clone())]).await;
                    let shown = format!("{} {} {place}={value}: {} {}", operation.method, operation.path, answer.status, answer.text());
                    assert!(value.contains(MARK) || !answer.text().contains(MARK), "{shown}");
                    assert!(answer.headers.get("location").is_none_or(|to| !to.to_str().expect("text").contains("code=")), "{shown}");
                    assert!(!answer.text().contains("access_token"), "{shown}");
                }
            }
        }
        // A right request for the victim's workspace is asked again, and for the stranger's own it is granted: so it was the
        // workspace that was refused.
        let mut granted = 0;
        for client in &clients {
            let request = request(client);
            let mut browser = browser(&app, Some("mallory")).await;
            let page = browser.get(&format!("/oauth/authorize?{request}")).await;
            if page.status != 200 {
                // The confidential one has no place to go back to.
                assert_eq!(page.status, 400);
                continue;
            }
            let theirs = workspace.to_string();
            let refused = browser.post("/oauth/authorize", &[("request", &request), ("workspace", &theirs), ("decision", "allow")]).await;
            assert_eq!(refused.status, 200, "{}", refused.text());
            let allowed = browser.decide(&request, "allow").await;
            assert!(allowed.status == 303 && allowed.header("location").contains("code="));
            granted += 1;
        }
        assert_eq!(granted, 1);
        let wrong = token(&app, &[("grant_type", "client_credentials"), ("client_id", &clients[0]), ("client_secret", "guess")]).await;
        assert_eq!(wrong.status, 401);
        same(&before, &victim.view(&app).await, "a stranger");
    }
}
