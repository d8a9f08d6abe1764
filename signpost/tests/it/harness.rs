//! A whole Signpost on free ports and a folder of its own, and the calls tests make to it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a whole start may take on a busy machine, in a debug build.
pub(crate) const START: Duration = Duration::from_secs(60);

/// How long a number may take to settle.
pub(crate) const SETTLE: Duration = Duration::from_secs(30);

/// A browser's user agent, so that a visit counts as a person's.
pub(crate) const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

/// A phone's.
pub(crate) const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1";

/// Tries again until it gives something or the deadline has passed; then says what it was waiting for.
#[track_caller]
pub(crate) fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut attempt: impl FnMut() -> Option<T>,
) -> T {
    let until = Instant::now() + deadline;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(
            Instant::now() < until,
            "{what} did not happen within {deadline:?}"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A free port. Another process may take it before it is used; the start then fails and says so.
pub(crate) fn free_addr() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap()
}

/// What `make fetch` got.
pub(crate) fn cache() -> PathBuf {
    std::env::vars()
        .find(|(name, _)| name == "SIGNPOST_CACHE_DIR")
        .map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache"),
            |(_, folder)| PathBuf::from(folder),
        )
        .canonicalize()
        .expect("the cache folder exists: run `make fetch`")
}

/// The program, without any setting of the environment that runs the tests.
pub(crate) fn signpost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signpost"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGNPOST_")) {
        command.env_remove(name);
    }
    command.env("SIGNPOST_CACHE_DIR", cache());
    command
}

/// One role of its own, without `up`. It ends with this.
pub(crate) struct Role(pub(crate) Child);

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running `signpost up`.
pub(crate) struct Up {
    pub(crate) data: PathBuf,
    pub(crate) proxy: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) clickhouse: SocketAddr,
    settings: Vec<(String, String)>,
    process: Option<Child>,
    agent: ureq::Agent,
    _folder: Option<tempfile::TempDir>,
}

/// An answer: status, headers, body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |v| v.to_str().unwrap_or("<not text>"))
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.body))
    }
}

impl Up {
    /// Starts everything in a fresh folder and waits until it is ready.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// As [`Self::start`], with settings.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        let mut up = Self::stopped(settings);
        up.launch();
        up.wait_ready();
        up
    }

    /// A setting it was given.
    pub(crate) fn setting(&self, name: &str) -> String {
        let given = self.settings.iter().find(|(n, _)| n == name);
        given.map(|(_, value)| value.clone()).unwrap()
    }

    /// Everything but the start.
    pub(crate) fn stopped(settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // Processes come and go on the same port here: a kept connection may lead to one that is gone.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(20)))
            .build()
            .new_agent();
        Self {
            data: folder.path().join("data"),
            proxy: free_addr(),
            api: free_addr(),
            admin: free_addr(),
            clickhouse: free_addr(),
            settings: settings
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            process: None,
            agent,
            _folder: Some(folder),
        }
    }

    /// The program with this instance's settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = signpost();
        command
            .env("SIGNPOST_DATA_DIR", &self.data)
            .env("SIGNPOST_PROXY_ADDR", self.proxy.to_string())
            .env("SIGNPOST_API_ADDR", self.api.to_string())
            .env("SIGNPOST_ADMIN_ADDR", self.admin.to_string())
            .env("SIGNPOST_CLICKHOUSE_ADDR", self.clickhouse.to_string())
            .env("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8")
            .env("SIGNPOST_RING_BYTES", "4MiB")
            // Destinations of tests are nobody's.
            .env("SIGNPOST_ASK_DESTINATIONS", "off")
            .envs(self.settings.iter().map(|(k, v)| (k.as_str(), v.as_str())))
            .stdin(Stdio::null());
        command
    }

    /// Starts `signpost up`, its log in a file beside the data.
    pub(crate) fn launch(&mut self) {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.data.with_file_name("log"))
            .unwrap();
        let out = std::fs::File::create(self.data.with_file_name("stdout")).unwrap();
        let process = self
            .command()
            .arg("up")
            .stdout(out)
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// Waits until the control plane answers calls, started without `up`.
    #[track_caller]
    pub(crate) fn wait_api(&self) {
        let account = format!("http://{}/api/account", self.api);
        eventually(START, "the control plane answers", || {
            self.try_get(&account).filter(|page| page.status == 401)
        });
    }

    /// Waits until `/ready` says yes.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self) {
        let until = Instant::now() + START;
        loop {
            if let Some(page) = self.try_get(&format!("http://{}/ready", self.admin))
                && page.status == 200
            {
                return;
            }
            let ended = self.process.as_mut().and_then(|p| p.try_wait().unwrap());
            assert!(
                ended.is_none() && Instant::now() < until,
                "not ready ({ended:?}):\n{}",
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// What the roles have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.data.with_file_name("log")).unwrap_or_default()
    }

    /// What `up` has printed on standard output.
    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.data.with_file_name("stdout")).unwrap_or_default()
    }

    /// Process id of `up`.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("running").id()
    }

    /// Process id of a role's process, as long as there is one.
    pub(crate) fn role_pid(&self, role: &str) -> Option<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        std::fs::read_to_string(children)
            .ok()?
            .split_whitespace()
            .find_map(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
                let mut words = line.split(|b| *b == 0);
                (words.nth(1) == Some(role.as_bytes())).then(|| pid.parse().ok())?
            })
    }

    /// Sends a signal to a process of this instance.
    pub(crate) fn signal(pid: u32, signal: &str) {
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &pid.to_string()])
            .status()
            .unwrap();
        assert!(status.success(), "kill -{signal} {pid}");
    }

    /// Ends `up` with a signal and waits for it; its exit status.
    pub(crate) fn stop(&mut self, signal: &str) -> Option<i32> {
        let mut process = self.process.take()?;
        Self::signal(process.id(), signal);
        eventually(Duration::from_secs(50), "end of `up`", || {
            process.try_wait().unwrap()
        })
        .code()
    }

    /// The admin key.
    pub(crate) fn key(&self) -> String {
        std::fs::read_to_string(self.data.join("admin.key"))
            .unwrap()
            .trim()
            .to_owned()
    }

    /// A request with any method, body and headers. `None`: nobody answered.
    pub(crate) fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Option<Answer> {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = match body {
            Some(body) => self.agent.run(request.body(body.to_owned()).unwrap()),
            None => self.agent.run(request.body(()).unwrap()),
        }
        .ok()?;
        Some(Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.body_mut().read_to_string().ok()?,
        })
    }

    /// GET of any page.
    pub(crate) fn try_get(&self, url: &str) -> Option<Answer> {
        self.try_send("GET", url, &[], None)
    }

    /// An API call with the admin key, on a path below `/api`.
    #[track_caller]
    pub(crate) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let url = format!("http://{}/api{path}", self.api);
        let auth = format!("Bearer {}", self.key());
        let body = body.map(Value::to_string);
        let headers = [
            ("authorization", auth.as_str()),
            ("content-type", "application/json"),
        ];
        self.try_send(method, &url, &headers, body.as_deref())
            .unwrap_or_else(|| panic!("no answer from {method} {path}\n{}", self.log()))
    }

    /// Makes a link and returns its id. Waits until a visitor would find it.
    #[track_caller]
    pub(crate) fn link(&self, slug: &str, body: &Value) -> i64 {
        let mut body = body.clone();
        body["custom"] = slug.into();
        let answer = self.api("POST", "/url/add", Some(&body)).json();
        assert_eq!(answer["error"], 0, "{answer}");
        eventually(SETTLE, "link goes live", || {
            (self.head(&format!("/{slug}")).status != 404).then_some(())
        });
        answer["data"]["id"].as_i64().unwrap()
    }

    /// HEAD: looks without being counted.
    #[track_caller]
    pub(crate) fn head(&self, path: &str) -> Answer {
        self.try_send(
            "HEAD",
            &format!("http://{}{path}", self.proxy),
            &[("user-agent", CHROME)],
            None,
        )
        .expect("the proxy answers")
    }

    /// A visit by a browser at `address` (told as a trusted proxy would).
    #[track_caller]
    pub(crate) fn visit_as(
        &self,
        path: &str,
        address: &str,
        agent: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut all = vec![("user-agent", agent), ("x-forwarded-for", address)];
        all.extend_from_slice(headers);
        self.try_send("GET", &format!("http://{}{path}", self.proxy), &all, None)
            .unwrap_or_else(|| panic!("no answer from the proxy\n{}", self.log()))
    }

    /// A visit by a browser.
    #[track_caller]
    pub(crate) fn visit(&self, path: &str) -> Answer {
        self.visit_as(path, "203.0.113.7", CHROME, &[])
    }

    /// A link's statistics, `query` as in `?from=…`.
    #[track_caller]
    pub(crate) fn stats(&self, link: i64, query: &str) -> Value {
        let answer = self.api("GET", &format!("/url/{link}/stats{query}"), None);
        answer.json()
    }

    /// Waits until a link has this many clicks, and returns its statistics.
    #[track_caller]
    pub(crate) fn settled(&self, link: i64, clicks: u64) -> Value {
        let mut last = Value::Null;
        let until = Instant::now() + SETTLE;
        loop {
            let answer = self.stats(link, "");
            if answer["data"]["total_clicks"] == clicks {
                return answer["data"].clone();
            }
            last = if answer.is_null() { last } else { answer };
            assert!(
                Instant::now() < until,
                "{clicks} clicks expected, last seen: {last}\n{}",
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// A query of ClickHouse as the user `signpost`; the answer as text.
    #[track_caller]
    pub(crate) fn sql(&self, query: &str) -> String {
        let password = std::fs::read_to_string(self.data.join("clickhouse.password")).unwrap();
        let headers = [
            ("x-clickhouse-user", "signpost"),
            ("x-clickhouse-key", password.trim()),
        ];
        let answer = self
            .try_send(
                "POST",
                &format!("http://{}/", self.clickhouse),
                &headers,
                Some(query),
            )
            .expect("ClickHouse answers");
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            // The children go with it.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
