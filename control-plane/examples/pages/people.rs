//! The pages that people sign in, allow apps and join on, as a real control plane answers a browser: with its status, its
//! policy and its cookies.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use control_plane::Config;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use schemas::health::Health;
use schemas::settings::Settings;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// The first key of an installation that lives as long as this takes.
const KEY: &str = "a-key-for-the-check-of-pages";

/// Password of everybody.
const PASSWORD: &str = "correct horse battery";

/// What a browser keeps between pages.
struct Browser {
    addr: SocketAddr,
    cookies: BTreeMap<String, String>,
    /// The proof of the last form.
    proof: String,
    pages: Vec<Value>,
}

/// All of them, as `pages.json` holds them.
pub(super) async fn pages() -> anyhow::Result<Vec<Value>> {
    let data = tempfile::TempDir::new()?;
    let mut settings = Settings::new(
        [
            ("SIGNPOST_DATA_DIR", data.path().to_string_lossy().as_ref()),
            ("SIGNPOST_API_ADDR", "127.0.0.1:0"),
            ("SIGNPOST_ADMIN_KEY", KEY),
            // Nobody listens there: none of these pages has statistics.
            ("SIGNPOST_CLICKHOUSE_ADDR", "127.0.0.1:1"),
        ]
        .map(|(name, value)| (name, value.to_owned())),
    );
    let config = Config::from_settings(&mut settings);
    settings.check().map_err(anyhow::Error::new)?;
    let shutdown = CancellationToken::new();
    let running = control_plane::start(config, Health::new(), shutdown.clone()).await?;
    let mut browser = Browser {
        addr: running.api_addr,
        cookies: BTreeMap::new(),
        proof: String::new(),
        pages: Vec::new(),
    };
    visit(&mut browser).await?;
    shutdown.cancel();
    running.wait().await?;
    Ok(browser.pages)
}

async fn visit(browser: &mut Browser) -> anyhow::Result<()> {
    let ana = json!({"username": "ana", "email": "ana@shops.test", "password": PASSWORD});
    let ana = browser.api(Method::POST, "/api/user/add", ana).await?;
    let app = json!({"name": "Planner & “Friends” <of ours>", "redirect_uris": ["https://dest.test/callback"], "public": true});
    let app = browser
        .api(Method::POST, "/api/oauth/client/add", app)
        .await?;
    let client = app["client_id"].as_str().context("no client_id")?;
    let ask = format!(
        "/oauth/authorize?response_type=code&client_id={client}&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    browser
        .keep("people-unknown-app", "/oauth/authorize?client_id=nobody")
        .await?;
    browser.keep("people-sign-in-for-app", &ask).await?;
    browser.keep("people-sign-in", "/login").await?;
    let wrong = browser.post("/login", "login=ana&password=wrong").await?;
    browser.take("people-sign-in-wrong", wrong).await?;
    let link = browser
        .api(
            Method::GET,
            &format!("/api/user/login/{}", ana["data"]["id"]),
            Value::Null,
        )
        .await?;
    browser.keep("people-one-time", &path_of(&link)?).await?;
    browser
        .keep("people-no-invitation", "/invitation/nothing")
        .await?;
    for (name, email) in [
        ("people-invited", "bo@shops.test"),
        ("people-invited-account", "ana@shops.test"),
    ] {
        let body = json!({"email": email, "role": "editor"});
        let invited = browser
            .api(Method::POST, "/api/member/invite", body)
            .await?;
        let path = path_of(&invited)?;
        browser.keep(name, &path).await?;
        if name == "people-invited-account" {
            // So that there are two workspaces to choose from.
            let form = format!("password={}", PASSWORD.replace(' ', "+"));
            let welcome = browser.post(&path, &form).await?;
            browser.take("people-welcome", welcome).await?;
        }
    }
    browser.keep("people-signed-in", "/login").await?;
    browser.keep("people-consent", &ask).await?;
    browser.proof.clear();
    let forged = browser.post("/logout", "").await?;
    browser.take("people-forged", forged).await
}

fn path_of(reply: &Value) -> anyhow::Result<String> {
    let url = reply["url"].as_str().context("no url")?;
    let url: http::Uri = url.parse()?;
    Ok(url.path().to_owned())
}

impl Browser {
    async fn keep(&mut self, name: &str, path: &str) -> anyhow::Result<()> {
        let page = self.call(Method::GET, path, &[], Bytes::new()).await?;
        self.take(name, page).await
    }

    async fn post(&mut self, path: &str, form: &str) -> anyhow::Result<Response<Bytes>> {
        let body = format!("{form}&form={}", self.proof);
        let kind = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        self.call(Method::POST, path, &kind, body.into()).await
    }

    async fn api(&mut self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        let bearer = format!("Bearer {KEY}");
        let headers = [
            ("authorization", bearer.as_str()),
            (CONTENT_TYPE.as_str(), "application/json"),
        ];
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.call(method, path, &headers, text.into()).await?;
        let json: Value = serde_json::from_slice(answer.body())?;
        anyhow::ensure!(json["error"] == 0, "{path}: {json}");
        Ok(json)
    }

    /// Notes a page.
    async fn take(&mut self, name: &str, page: Response<Bytes>) -> anyhow::Result<()> {
        let policy = page.headers().get(CONTENT_SECURITY_POLICY);
        let policy = policy
            .with_context(|| format!("{name}: no policy"))?
            .to_str()?;
        let html = std::str::from_utf8(page.body())?;
        self.pages.push(json!({
            "name": name, "status": page.status().as_u16(), "csp": policy, "html": html, "pixels": [],
        }));
        Ok(())
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Response<Bytes>> {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "api.test")
            .header(COOKIE, cookies.join("; "));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let stream = tokio::net::TcpStream::connect(self.addr).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let (head, body) = sender
            .send_request(request.body(Full::new(body))?)
            .await?
            .into_parts();
        let body = body.collect().await?.to_bytes();
        driver.abort();
        for set in head.headers.get_all(SET_COOKIE) {
            let (name, rest) = set.to_str()?.split_once('=').context("no value")?;
            let value = rest.split(';').next().unwrap_or_default();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let html = String::from_utf8_lossy(&body);
        if let Some((_, rest)) = html.split_once("name=\"form\" value=\"") {
            self.proof = rest.split('"').next().unwrap_or_default().to_owned();
        }
        Ok(Response::from_parts(head, body))
    }
}
