//! What holds for all dialects: each counts, refuses and describes itself in its own form under its own base.

use http::Method;
use serde_json::Value;

use crate::harness::{Answer, TestApp, on_both_engines};

/// Base of each dialect, content type of its errors, and the names that lead to the text of one.
const DIALECTS: [(&str, &str, &[&str]); 4] = [
    ("/api", "application/json", &["message"]),
    ("/api/v1", "application/json", &["message"]),
    ("/api/v2", "application/problem+json", &["detail"]),
    ("/v1", "application/json", &["error", "message"]),
];

#[track_caller]
fn refused(answer: &Answer, status: u16, (base, kind, path): (&str, &str, &[&str]), part: &str) {
    assert_eq!(answer.status.as_u16(), status, "{base} {answer:?}");
    assert_eq!(answer.header("content-type"), kind, "{base}");
    let json: Value = serde_json::from_slice(&answer.body).expect("a JSON body");
    let text = path.iter().fold(&json, |value, name| &value[*name]);
    let text = text.as_str().unwrap_or_else(|| panic!("{base} {json}"));
    assert!(text.contains(part), "{base} {text}");
}

on_both_engines! {
    async fn each_base_refuses_in_its_own_form(app) {
        for dialect in DIALECTS {
            let base = dialect.0;
            let nothing = app.get(&format!("{base}/no/such/thing")).await;
            refused(&nothing, 404, dialect, "no such endpoint");
            let wrong = app.delete(&format!("{base}/docs")).await;
            refused(&wrong, 405, dialect, "method");
            assert!(wrong.header("allow").contains("GET"), "{base}");
        }
    }

    async fn each_dialect_has_windows_of_its_own(app) {
        let key = app.key("small", Some(2)).await;
        let call = async |path: &str| {
            let headers = [("authorization", format!("Bearer {key}")), ("x-api-key", key.clone())];
            let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            app.call(Method::GET, path, &headers, "").await
        };
        for (base, limit) in [("/api", 2), ("/api/v1", 2), ("/api/v2", 2), ("/v1", 120)] {
            let answer = call(&format!("{base}/openapi.json")).await;
            assert_eq!(answer.number("x-ratelimit-limit"), limit, "{base}");
            assert_eq!(answer.number("x-ratelimit-remaining"), limit - 1, "{base}");
        }
        for dialect in &DIALECTS[..3] {
            call(&format!("{}/openapi.json", dialect.0)).await;
            let over = call(&format!("{}/openapi.json", dialect.0)).await;
            refused(&over, 429, *dialect, "too many");
            assert!(over.number("retry-after") > 0);
        }
    }
}

/// `docs/openapi/<dialect>.json` is what is served (`SIGNPOST_OPENAPI_UPDATE=1` writes it anew).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_in_the_repository_are_current() {
    let app = TestApp::on_sqlite().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi");
    for (base, name) in [
        ("/api", "openmylink"),
        ("/api/v1", "minilnk"),
        ("/api/v2", "urlr"),
        ("/v1", "smartlinks"),
        ("/oauth", "oauth"),
    ] {
        // Without a key, and so is the page.
        let served = app
            .call(Method::GET, &format!("{base}/openapi.json"), &[], "")
            .await;
        let document = served.json();
        assert_eq!(document["openapi"], "3.1.0", "{base}");
        for path in document["paths"].as_object().expect("paths").keys() {
            assert!(
                path.starts_with(base) || matches!(name, "openmylink" | "oauth"),
                "{path}"
            );
        }
        let page = app
            .call(Method::GET, &format!("{base}/docs"), &[], "")
            .await;
        assert_eq!(page.status.as_u16(), 200, "{base}");
        let html = String::from_utf8_lossy(&page.body).into_owned();
        assert!(
            html.contains("<h1>") && !html.contains("<script") && !html.contains("src="),
            "{base}"
        );
        let file = folder.join(format!("{name}.json"));
        let text = format!(
            "{}\n",
            serde_json::to_string_pretty(&document).expect("JSON")
        );
        if std::env::vars().any(|(name, _)| name == "SIGNPOST_OPENAPI_UPDATE") {
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(&file, &text).expect("written");
        }
        let current = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            current == text,
            "{} is not current: run `make openapi`",
            file.display()
        );
    }
}
