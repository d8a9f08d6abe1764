//! Calls and queries, one connection each: processes come and go on the same port here.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client.
#[derive(Debug, Clone)]
pub struct Http(ureq::Agent);

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// `Location`, or nothing.
    pub location: String,
    /// Its body.
    pub body: String,
}

impl Default for Http {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .timeout_global(Some(PATIENCE));
        Self(config.build().new_agent())
    }
}

impl Http {
    /// A request with any method and headers.
    ///
    /// # Errors
    /// No answer.
    pub fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> anyhow::Result<Answer> {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            Some(body) => self.0.run(request.body(body.to_owned())?),
            None => self.0.run(request.body(())?),
        };
        let mut answer = answer.with_context(|| format!("no answer from {url}"))?;
        let location = answer.headers().get("location");
        let location = location.and_then(|value| value.to_str().ok());
        Ok(Answer {
            status: answer.status().as_u16(),
            location: location.unwrap_or_default().to_owned(),
            // Tables of some hundred thousand rows.
            body: answer
                .body_mut()
                .with_config()
                .limit(1 << 30)
                .read_to_string()
                .with_context(|| format!("no whole answer from {url}"))?,
        })
    }
}

/// The REST API with a key.
#[derive(Debug, Clone)]
pub struct Api {
    /// The client.
    pub http: Http,
    /// Where it is.
    pub addr: SocketAddr,
    /// An API key.
    pub key: String,
}

impl Api {
    /// A call on a path below `/api`; its answer's JSON.
    ///
    /// # Errors
    /// No answer, or an error.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = format!("http://{}/api{path}", self.addr);
        let auth = format!("Bearer {}", self.key);
        let headers = [
            ("authorization", auth.as_str()),
            ("content-type", "application/json"),
        ];
        let body = body.map(Value::to_string);
        let answer = self.http.send(method, &url, &headers, body.as_deref())?;
        let json: Value = serde_json::from_str(&answer.body)
            .with_context(|| format!("{method} {path}: {}: {}", answer.status, answer.body))?;
        anyhow::ensure!(
            answer.status == 200 && json["error"] == 0,
            "{method} {path}: {}: {json}",
            answer.status
        );
        Ok(json)
    }
}

/// ClickHouse's HTTP interface.
#[derive(Debug, Clone)]
pub struct ClickHouse {
    /// The client.
    pub http: Http,
    /// Where it is.
    pub addr: SocketAddr,
    /// Password of the user `signpost`.
    pub password: String,
}

impl ClickHouse {
    /// The rows of a query's answer, each a list of its columns as text.
    ///
    /// # Errors
    /// No answer, or an error.
    pub fn rows(&self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let url = format!("http://{}/", self.addr);
        let headers = [
            ("x-clickhouse-user", "signpost"),
            ("x-clickhouse-key", self.password.as_str()),
        ];
        let answer = self.http.send("POST", &url, &headers, Some(query))?;
        anyhow::ensure!(answer.status == 200, "{query}: {}", answer.body);
        let row = |line: &str| line.split('\t').map(str::to_owned).collect();
        Ok(answer.body.lines().map(row).collect())
    }
}
