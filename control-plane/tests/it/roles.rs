//! Every route of the dialect with every role and kind of key: who passes the gate is what the table says.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, TestApp, on_both_engines};
use crate::members::add_member;
use crate::oauth::token_of_client;

/// The routes as they are registered.
const ROUTES: &str = include_str!("../../src/api/openmylink.rs");

/// All of them: method and path.
fn routes() -> Vec<(Method, String)> {
    let mut found = Vec::new();
    for route in ROUTES.split(".route(").skip(1) {
        let mut parts = route.splitn(3, '"');
        let (path, rest) = (
            parts.nth(1).expect("a path"),
            parts.next().expect("methods"),
        );
        for (name, method) in [
            ("get(", Method::GET),
            ("post(", Method::POST),
            ("put(", Method::PUT),
            ("delete(", Method::DELETE),
            ("patch(", Method::PATCH),
        ] {
            if rest
                .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '('))
                .any(|word| word.starts_with(name))
            {
                found.push((method, path.to_owned()));
            }
        }
    }
    found
}

/// What a caller may do, in words of its own.
#[derive(Clone, Copy)]
pub(crate) struct May {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) account: bool,
    pub(crate) keys: bool,
    pub(crate) manage: bool,
    pub(crate) administer: bool,
}

impl May {
    pub(crate) const NOTHING: Self = Self {
        read: false,
        write: false,
        account: false,
        keys: false,
        manage: false,
        administer: false,
    };
}

pub(crate) const VIEWER: May = May {
    read: true,
    account: true,
    keys: true,
    ..May::NOTHING
};

pub(crate) const EDITOR: May = May {
    write: true,
    ..VIEWER
};

pub(crate) const OWNER: May = May {
    manage: true,
    ..EDITOR
};

/// Whether who may so much may make this call.
pub(crate) fn allowed(may: May, method: &Method, path: &str) -> bool {
    let begins = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
    if begins(&["/api/openapi.json", "/api/docs", "/avatars/"]) {
        true
    } else if begins(&["/api/plan", "/api/user"]) {
        may.administer
    } else if begins(&["/api/member", "/api/oauth/client"]) {
        may.manage
    } else if begins(&["/api/key"]) {
        may.keys
    } else if begins(&["/api/account/update", "/api/oauth/app"]) {
        may.account
    } else if method == Method::GET || path == "/api/account" {
        may.read
    } else {
        may.write
    }
}

async fn walk(app: &TestApp, who: &str, key: &str, may: May) {
    for (method, path) in routes() {
        let mut called = String::new();
        for (place, part) in path.split('{').enumerate() {
            called.push_str(if place == 0 {
                part
            } else {
                part.split_once('}').map_or("", |(_, rest)| rest)
            });
            if path.matches('{').count() > place {
                called.push_str("999999");
            }
        }
        let answer = app
            .with_key(key, method.clone(), &called, Some(json!({})))
            .await;
        assert!(
            answer.status != 404 || path.starts_with("/avatars/"),
            "{who} {method} {called}"
        );
        let passed = answer.status != 403;
        // Refused for what it would give away, and so behind the gate.
        let escalates = String::from_utf8_lossy(&answer.body).contains("does not have itself");
        assert_eq!(
            passed || escalates,
            allowed(may, &method, &path),
            "{who} {method} {called}: {}",
            answer.status
        );
    }
}

on_both_engines! {
    async fn the_gate_lets_through_what_the_table_says(app) {
        assert!(routes().len() > 30, "{:?}", routes());
        app.put("/api/plan/1/update", json!({"rate": 0})).await.ok();
        let none = May::NOTHING;
        for (role, may) in [("owner", OWNER), ("editor", EDITOR), ("viewer", VIEWER)] {
            let (_, key) = add_member(&app, role, role).await;
            walk(&app, role, &key, may).await;
        }
        for (scopes, may) in [
            ("read", May { read: true, ..none }), ("write", May { write: true, account: true, ..none }), ("keys", May { keys: true, manage: true, ..none }),
        ] {
            let made = app.post("/api/keys", json!({"scopes": scopes})).await.ok();
            walk(&app, scopes, made["key"].as_str().expect("key"), may).await;
        }
        let token = token_of_client(&app, "read write").await;
        walk(&app, "an app", &token, May { read: true, write: true, ..none }).await;
        let all = May { administer: true, ..OWNER };
        walk(&app, "an administrator", ADMIN_KEY, all).await;
    }

    async fn without_a_key_only_open_routes_answer(app) {
        for (method, path) in routes() {
            // Calls without a key are few a minute.
            app.config.clock.advance_ms(3_000);
            let called: String = path.replace(['{', '}'], "");
            let answer = app.call(method.clone(), &called, &[], "{}").await;
            let open = allowed(May::NOTHING, &method, &path);
            assert_eq!(answer.status == 401, !open, "{method} {called}: {}", answer.status);
            if !open {
                assert_ne!(answer.json()["error"], Value::from(0));
            }
        }
    }
}
