//! What `up` is going to run: addresses, folders, and the settings each child gets.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use schemas::names::files;
use schemas::settings::Settings;

use super::child::Role;

/// Longest path a Unix socket can have (`sun_path`), less the longest role's name.
const MAX_SOCKET_FOLDER_BYTES: usize = 107 - "/control-plane.sock".len();

/// How long addresses may still be held by the children of an `up` that was killed a moment ago.
const GRACE: Duration = Duration::from_secs(1);

/// The plan of one start.
#[derive(Debug)]
pub(crate) struct Plan {
    data_dir: PathBuf,
    proxy_addr: SocketAddr,
    api_addr: SocketAddr,
    admin_addr: SocketAddr,
    clickhouse_addr: SocketAddr,
    /// The embedded engine runs, since no other ClickHouse was named.
    embedded: bool,
    public_url: String,
    /// Where visitors come in over TLS, if they do.
    tls_addr: Option<SocketAddr>,
    /// How long the proxy gives connections, and then downloads, to finish.
    drain: Duration,
    environment: BTreeMap<String, String>,
    sockets: PathBuf,
    /// Held for as long as the plan lives.
    lock: Option<File>,
}

impl Plan {
    /// Reads the settings of `up`, and lets every role read its own, so that all mistakes are told together.
    pub(crate) fn from_settings(settings: &mut Settings) -> Self {
        let visitors = proxy::Config::from_settings(settings);
        control_plane::Config::from_settings(settings);
        ingest::Config::from_settings(settings);
        embedded::Config::from_settings(settings);
        let mut address = |name: &str, port: u16| {
            let default = SocketAddr::from(([127, 0, 0, 1], port));
            settings.parsed(name, default, "an address such as 127.0.0.1:8080")
        };
        let proxy_addr = address("SIGNPOST_PROXY_ADDR", 8080);
        let api_addr = address("SIGNPOST_API_ADDR", 8081);
        let admin_addr = address("SIGNPOST_ADMIN_ADDR", 9090);
        let clickhouse_addr = address("SIGNPOST_CLICKHOUSE_ADDR", 8123);
        let data_dir = PathBuf::from(settings.text("SIGNPOST_DATA_DIR").unwrap_or("./data"));
        let public_url = settings.text("SIGNPOST_PUBLIC_URL").map_or_else(
            || format!("http://{proxy_addr}"),
            |url| url.trim_end_matches('/').to_owned(),
        );
        Self {
            data_dir,
            proxy_addr,
            api_addr,
            admin_addr,
            clickhouse_addr,
            embedded: settings.text("SIGNPOST_CLICKHOUSE_URL").is_none(),
            public_url,
            tls_addr: visitors.tls.map(|tls| tls.addr),
            drain: visitors.limits.drain,
            environment: settings
                .with_prefix("SIGNPOST_")
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
            sockets: PathBuf::new(),
            lock: None,
        }
    }

    /// Makes the data folder, takes its lock, and checks that every address is free.
    ///
    /// # Errors
    /// The folder cannot be used, is another process's, or a port is taken; the text names the setting.
    pub(crate) fn prepare(mut self) -> anyhow::Result<Self> {
        let given = self.data_dir.clone();
        let named = || format!("SIGNPOST_DATA_DIR={}: cannot be used", given.display());
        std::fs::create_dir_all(&given).with_context(named)?;
        // Children run from the same folder, but what is logged and printed should hold anywhere.
        self.data_dir = given.canonicalize().with_context(named)?;
        self.lock = Some(lock(&self.data_dir.join("up.lock")).with_context(named)?);
        let mut taken = Vec::new();
        for (setting, flag, addr) in [
            (
                "SIGNPOST_PROXY_ADDR",
                " (--proxy-addr)",
                Some(self.proxy_addr),
            ),
            ("SIGNPOST_TLS_ADDR", "", self.tls_addr),
            ("SIGNPOST_API_ADDR", " (--api-addr)", Some(self.api_addr)),
            (
                "SIGNPOST_ADMIN_ADDR",
                " (--admin-addr)",
                Some(self.admin_addr),
            ),
            (
                "SIGNPOST_CLICKHOUSE_ADDR",
                " (--clickhouse-addr)",
                self.clickhouse_addr(),
            ),
        ] {
            if let Some(addr) = addr
                && let Some(error) = in_use(addr)
            {
                taken.push(format!(
                    "{setting}={addr}{flag}: cannot listen there: {error}"
                ));
            }
        }
        anyhow::ensure!(taken.is_empty(), "{}", taken.join("\n"));

        self.sockets = self.data_dir.join("run");
        if self.sockets.as_os_str().len() > MAX_SOCKET_FOLDER_BYTES {
            self.sockets = std::env::temp_dir().join(format!("signpost-{}", std::process::id()));
        }
        std::fs::create_dir_all(&self.sockets).with_context(named)?;
        Ok(self)
    }

    /// The roles to run, in the order they start.
    pub(crate) fn roles(&self) -> Vec<Role> {
        let mut roles = vec![Role::ControlPlane, Role::Proxy, Role::Ingest];
        if self.embedded {
            roles.insert(0, Role::Clickhouse);
        }
        roles
    }

    /// Settings of a child, as environment variables.
    pub(crate) fn environment(&self, role: Role) -> BTreeMap<String, String> {
        let mut environment = self.environment.clone();
        let mut set = |name: &str, value: String| environment.insert(name.to_owned(), value);
        set("SIGNPOST_DATA_DIR", self.data_dir.display().to_string());
        set(
            "SIGNPOST_ADMIN_ADDR",
            format!("unix:{}", self.socket(role).display()),
        );
        set("SIGNPOST_PUBLIC_URL", self.public_url.clone());
        set(crate::roles::PARENT, std::process::id().to_string());
        environment
    }

    /// Socket of a child's admin page.
    pub(crate) fn socket(&self, role: Role) -> PathBuf {
        self.sockets.join(format!("{}.sock", role.name()))
    }

    /// File of the first API key.
    pub(crate) fn admin_key_file(&self) -> PathBuf {
        self.data_dir.join(files::ADMIN_KEY)
    }

    /// The data folder, absolute.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The default short domain.
    pub(crate) fn public_url(&self) -> &str {
        &self.public_url
    }

    /// How long the proxy gives connections, and then downloads, to finish.
    pub(crate) fn drain(&self) -> Duration {
        self.drain
    }

    /// Where the API listens.
    pub(crate) fn api_addr(&self) -> SocketAddr {
        self.api_addr
    }

    /// Where the merged admin page listens.
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Where the embedded engine listens, if it runs.
    pub(crate) fn clickhouse_addr(&self) -> Option<SocketAddr> {
        self.embedded.then_some(self.clickhouse_addr)
    }
}

/// Why an address cannot be listened on. Processes of an `up` that was killed hold theirs for a moment longer.
fn in_use(addr: SocketAddr) -> Option<std::io::Error> {
    let until = Instant::now() + GRACE;
    loop {
        match std::net::TcpListener::bind(addr) {
            Err(error)
                if error.kind() == std::io::ErrorKind::AddrInUse && Instant::now() < until =>
            {
                std::thread::park_timeout(GRACE / 20);
            }
            tried => return tried.err(),
        }
    }
}

fn lock(path: &Path) -> anyhow::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .context("another `signpost up` is running in it")?;
    Ok(file)
}
