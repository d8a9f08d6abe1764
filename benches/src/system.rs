//! A whole Signpost on free ports in a temporary folder, from the release binary beside this one.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

/// How long the start may take.
const START: Duration = Duration::from_secs(30);

/// Where a link of [`System::links`] leads: 60 bytes.
pub(crate) fn destination(slug: &str) -> String {
    format!("https://destination.example/articles/2026/{slug}/read-it-all")
}

/// A running system.
pub(crate) struct System {
    /// Where visitors are answered.
    pub(crate) proxy: SocketAddr,
    /// Where the API is.
    pub(crate) api: SocketAddr,
    admin: SocketAddr,
    clickhouse: SocketAddr,
    folder: tempfile::TempDir,
    process: Option<Child>,
    agent: ureq::Agent,
    settings: Vec<(String, String)>,
}

impl System {
    /// A free address.
    pub(crate) fn free() -> anyhow::Result<SocketAddr> {
        Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
    }

    /// Starts one and waits until it is ready.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::with(&[])
    }

    /// The same with settings.
    pub(crate) fn with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            // Connections that are idle would be counted where connections are spread.
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .new_agent();
        let mut system = Self {
            proxy: Self::free()?,
            api: Self::free()?,
            admin: Self::free()?,
            clickhouse: Self::free()?,
            folder: tempfile::tempdir()?,
            process: None,
            agent,
            settings: settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        };
        system.launch()?;
        Ok(system)
    }

    /// Starts the processes (again) and waits until they are ready.
    pub(crate) fn launch(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::create(self.folder.path().join("log"))?;
        self.process = Some(
            self.command()?
                .arg("up")
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()?,
        );
        let until = Instant::now() + START;
        while self
            .agent
            .get(format!("http://{}/ready", self.admin))
            .call()
            .map_or(0, |a| a.status().as_u16())
            != 200
        {
            anyhow::ensure!(Instant::now() < until, "not ready: {}", self.log());
            pause();
        }
        Ok(())
    }

    /// Stops the processes in order.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            let pid = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
            process.wait()?;
        }
        Ok(())
    }

    /// The program with this system's settings.
    pub(crate) fn command(&self) -> anyhow::Result<Command> {
        let program = std::env::current_exe()?.with_file_name("signpost");
        anyhow::ensure!(
            program.exists(),
            "{} is not there: make build",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .env("SIGNPOST_DATA_DIR", self.data_dir())
            .env("SIGNPOST_PROXY_ADDR", self.proxy.to_string())
            .env("SIGNPOST_API_ADDR", self.api.to_string())
            .env("SIGNPOST_ADMIN_ADDR", self.admin.to_string())
            .env("SIGNPOST_CLICKHOUSE_ADDR", self.clickhouse.to_string())
            .env("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8")
            // Nobody is measured who is not here.
            .env("SIGNPOST_ASK_DESTINATIONS", "off")
            .envs(self.settings.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        Ok(command)
    }

    /// The data folder.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the roles have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Process id of a role.
    pub(crate) fn role_pid(&self, role: &str) -> anyhow::Result<u32> {
        let up = self.process.as_ref().context("not running")?.id();
        let children = std::fs::read_to_string(format!("/proc/{up}/task/{up}/children"))?;
        children
            .split_whitespace()
            .find(|pid| {
                let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                line.split(|b| *b == 0).nth(1) == Some(role.as_bytes())
            })
            .and_then(|pid| pid.parse().ok())
            .with_context(|| format!("no process of {role}"))
    }

    /// Private memory of a role in bytes: `Anonymous` of proc(5). Rings and databases are files, and not in it.
    pub(crate) fn memory(&self, role: &str) -> anyhow::Result<u64> {
        memory(self.role_pid(role)?)
    }

    /// An API call with the admin key, on a path below `/api`.
    pub(crate) fn api(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let key = std::fs::read_to_string(self.data_dir().join("admin.key"))?;
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("http://{}/api{path}", self.api))
            .header("authorization", format!("Bearer {}", key.trim()))
            .header("content-type", "application/json");
        let mut answer = match body {
            Some(body) => self.agent.run(request.body(body.to_string())?)?,
            None => self.agent.run(request.body(())?)?,
        };
        let value: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        anyhow::ensure!(value["error"] == 0, "{method} {path}: {value}");
        Ok(value)
    }

    /// Makes `count` links `<prefix><number>` and waits until the last one is live. Returns their slugs.
    pub(crate) fn links(&self, prefix: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let slugs: Vec<String> = (0..count).map(|i| format!("{prefix}{i:06}")).collect();
        for part in slugs.chunks(1000) {
            let urls: Vec<Value> = part
                .iter()
                .map(|slug| serde_json::json!({ "custom": slug, "url": destination(slug) }))
                .collect();
            let answer = self.api(
                "POST",
                "/urls/bulk",
                Some(&serde_json::json!({ "urls": urls })),
            )?;
            let all = answer["results"]
                .as_array()
                .is_some_and(|r| r.iter().all(|row| row["error"] == 0));
            anyhow::ensure!(all, "links were refused: {answer}");
        }
        let last = slugs.last().context("no links")?;
        let until = Instant::now() + START;
        while self.location(last)?.is_none() {
            anyhow::ensure!(Instant::now() < until, "links do not go live");
            pause();
        }
        Ok(slugs)
    }

    /// Where a slug leads, looked up with HEAD, so that nothing is counted.
    pub(crate) fn location(&self, slug: &str) -> anyhow::Result<Option<String>> {
        let answer = self
            .agent
            .head(format!("http://{}/{slug}", self.proxy))
            .call()?;
        Ok(answer
            .headers()
            .get("location")
            .and_then(|l| l.to_str().ok())
            .map(str::to_owned))
    }

    /// A visit by a browser.
    pub(crate) fn visit(&self, slug: &str) -> anyhow::Result<()> {
        let answer = self
            .agent
            .get(format!("http://{}/{slug}", self.proxy))
            .header(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
            )
            .call()?;
        anyhow::ensure!(answer.status() == 302, "{slug}: {}", answer.status());
        Ok(())
    }

    /// A statement for ClickHouse, with a body for inserts; the answer as bytes.
    pub(crate) fn sql(&self, query: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let password = std::fs::read_to_string(self.data_dir().join("clickhouse.password"))?;
        let mut answer = self
            .agent
            .post(format!("http://{}/", self.clickhouse))
            .query("query", query)
            .header("x-clickhouse-user", "signpost")
            .header("x-clickhouse-key", password.trim())
            .send(body)?;
        let status = answer.status();
        let bytes = answer
            .body_mut()
            .with_config()
            .limit(4 << 30)
            .read_to_vec()?;
        anyhow::ensure!(
            status == 200,
            "{query}: {}",
            String::from_utf8_lossy(&bytes)
        );
        Ok(bytes)
    }

    /// A statement whose answer is one number.
    pub(crate) fn number(&self, query: &str) -> anyhow::Result<u64> {
        let answer = self.sql(query, b"")?;
        String::from_utf8_lossy(&answer)
            .trim()
            .parse()
            .with_context(|| format!("{query}: not a number"))
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Private memory of a process in bytes: `Anonymous` of proc(5).
pub(crate) fn memory(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|l| l.strip_prefix("Anonymous:"));
    let kib = line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.context("no Anonymous in smaps_rollup")? << 10)
}

/// A short pause between two looks at something that is about to happen.
pub(crate) fn pause() {
    std::thread::park_timeout(Duration::from_millis(5));
}
