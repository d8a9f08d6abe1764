//! `signpost check`: are the settings right, and can every part be reached? Changes nothing.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use schemas::settings::Settings;

/// How long a part may take to answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// Checks everything and prints a line each; exit status 1 when something is wrong, 64 when a setting is.
pub(crate) fn run(mut settings: Settings) -> anyhow::Result<ExitCode> {
    proxy::Config::from_settings(&mut settings);
    let control_plane = control_plane::Config::from_settings(&mut settings);
    let ingest = ingest::Config::from_settings(&mut settings);
    embedded::Config::from_settings(&mut settings);
    let mut address = |name: &str, port: u16| {
        let default = SocketAddr::from(([127, 0, 0, 1], port));
        (
            name.to_owned(),
            settings.parsed(name, default, "an address such as 127.0.0.1:8080"),
        )
    };
    let addresses = [
        address("SIGNPOST_PROXY_ADDR", 8080),
        address("SIGNPOST_API_ADDR", 8081),
        address("SIGNPOST_ADMIN_ADDR", 9090),
        address("SIGNPOST_CLICKHOUSE_ADDR", 8123),
    ];
    settings.check()?;

    let mut findings = vec![data_dir(Path::new(
        settings.text("SIGNPOST_DATA_DIR").unwrap_or("./data"),
    ))];
    findings.push(files(&control_plane.files.place));
    if settings.text("SIGNPOST_CLICKHOUSE_URL").is_none() {
        findings.push(file(
            "SIGNPOST_CHDB_LIB",
            settings.text("SIGNPOST_CHDB_LIB").unwrap_or_default(),
        ));
    }
    if let Some(url) = settings.text("SIGNPOST_CLICKHOUSE_URL") {
        findings.push(clickhouse(url));
    }
    if let Some(kafka) = &ingest.kafka {
        findings.extend(
            kafka
                .brokers
                .split(',')
                .map(|broker| broker_at(broker.trim())),
        );
    }
    if settings.text("SIGNPOST_DATABASE_URL").is_some() {
        findings.push(database(&control_plane));
    }
    for path in settings
        .text("SIGNPOST_GEO_DB")
        .unwrap_or_default()
        .split(',')
    {
        findings.push(file("SIGNPOST_GEO_DB", path.trim()));
    }
    if let Some(path) = &control_plane.blocklist {
        findings.push(blocklist(path));
    }
    findings.push(ring_dir(Path::new(
        settings.text("SIGNPOST_RING_DIR").unwrap_or("/dev/shm"),
    )));
    for (name, addr) in addresses {
        findings.push(listening(&name, addr));
    }
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        let (mark, text) = match finding {
            Ok(text) => ("ok   ", text),
            Err(text) => ("WRONG", text),
        };
        writeln!(out, "{mark} {text}")?;
    }
    Ok(if findings.iter().all(Result::is_ok) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether the block list is one.
fn blocklist(path: &Path) -> Result<String, String> {
    match control_plane::blocklist::read(Some(path)) {
        Ok(list) => Ok(format!("SIGNPOST_BLOCKLIST: {} rules", list.len())),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// Whether the link database opens and has been set up.
fn database(config: &control_plane::Config) -> Result<String, String> {
    let ask = async { tokio::time::timeout(DEADLINE, control_plane::keys::list(config)).await };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.map(|runtime| runtime.block_on(ask)) {
        Ok(Ok(Ok(keys))) => Ok(format!("SIGNPOST_DATABASE_URL: {} API keys", keys.len())),
        Ok(Ok(Err(error))) => Err(format!("SIGNPOST_DATABASE_URL: {error:#}")),
        Ok(Err(_)) => Err(format!(
            "SIGNPOST_DATABASE_URL: no answer within {} s",
            DEADLINE.as_secs()
        )),
        Err(error) => Err(format!("SIGNPOST_DATABASE_URL: {error}")),
    }
}

/// Whether files can be stored: the folder takes a file, or the bucket takes our key.
fn files(place: &control_plane::config::FilesPlace) -> Result<String, String> {
    use control_plane::config::FilesPlace;
    match place {
        FilesPlace::Folder(folder) => {
            let named = format!("SIGNPOST_FILES={}", folder.display());
            if !folder.exists() {
                return Ok(format!("{named}: will be made at the first start"));
            }
            writable(folder)
                .map(|()| format!("{named}: can be written"))
                .map_err(|error| format!("{named}: {error}"))
        }
        FilesPlace::Bucket(bucket) => {
            let named = format!("SIGNPOST_FILES=s3://{}", bucket.bucket);
            let ask =
                async { tokio::time::timeout(DEADLINE, control_plane::storage::ask(bucket)).await };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime.map(|runtime| runtime.block_on(ask)) {
                Ok(Ok(Ok(()))) => Ok(format!("{named}: can be read")),
                Ok(Ok(Err(error))) => Err(format!("{named}: {error:#}")),
                Ok(Err(_)) => Err(format!(
                    "{named}: no answer within {} s",
                    DEADLINE.as_secs()
                )),
                Err(error) => Err(format!("{named}: {error}")),
            }
        }
    }
}

/// Whether somebody listens where ClickHouse should be. Its user and password show when ingest starts.
fn clickhouse(url: &str) -> Result<String, String> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let named = format!("SIGNPOST_CLICKHOUSE_URL at {host}");
    let port = if url.starts_with("https") { 443 } else { 80 };
    let target = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    let addrs = target
        .to_socket_addrs()
        .map_err(|error| format!("{named}: {error}"))?;
    let reached = addrs
        .into_iter()
        .any(|addr| TcpStream::connect_timeout(&addr, DEADLINE).is_ok());
    if reached {
        Ok(format!("{named}: something answers there"))
    } else {
        Err(format!("{named}: nobody answers"))
    }
}

/// Whether somebody answers at a broker's address; TLS, users and topics show when the proxy starts.
fn broker_at(broker: &str) -> Result<String, String> {
    let named = format!("SIGNPOST_KAFKA_BROKERS at {broker}");
    let mut addrs = broker
        .to_socket_addrs()
        .map_err(|error| format!("{named}: {error}"))?;
    if addrs.any(|addr| TcpStream::connect_timeout(&addr, DEADLINE).is_ok()) {
        Ok(format!("{named}: something answers there"))
    } else {
        Err(format!("{named}: nobody answers"))
    }
}

fn data_dir(folder: &Path) -> Result<String, String> {
    let named = format!("SIGNPOST_DATA_DIR={}", folder.display());
    if !folder.exists() {
        return Ok(format!("{named}: will be made at the first start"));
    }
    writable(folder)
        .map(|()| format!("{named}: can be written"))
        .map_err(|error| format!("{named}: {error}"))
}

fn ring_dir(folder: &Path) -> Result<String, String> {
    let named = format!("SIGNPOST_RING_DIR={}", folder.display());
    writable(folder).map_err(|error| format!("{named}: {error}"))?;
    match rustix::fs::statfs(folder) {
        // TMPFS_MAGIC of statfs(2).
        Ok(fs) if fs.f_type == 0x0102_1994 => Ok(format!("{named}: a tmpfs that can be written")),
        _ => Err(format!(
            "{named}: not a tmpfs: a redirect could wait for a disk; name one, e.g. /dev/shm"
        )),
    }
}

fn writable(folder: &Path) -> Result<(), String> {
    let probe: PathBuf = folder.join(format!(".signpost-check-{}", std::process::id()));
    let tried = std::fs::write(&probe, b"x").map_err(|error| format!("cannot be written: {error}"));
    // Only ever our own probe.
    let _ = std::fs::remove_file(&probe);
    tried
}

fn file(setting: &str, path: &str) -> Result<String, String> {
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_file() && facts.len() > 0 => {
            Ok(format!("{setting}={path}: {} MiB", facts.len() >> 20))
        }
        Ok(_) => Err(format!(
            "{setting}={path}: not a file, or empty: make fetch"
        )),
        Err(error) => Err(format!("{setting}={path}: {error}: make fetch")),
    }
}

fn listening(setting: &str, addr: SocketAddr) -> Result<String, String> {
    if TcpListener::bind(addr).is_ok() {
        return Ok(format!("{setting}={addr}: free"));
    }
    if TcpStream::connect_timeout(&addr, DEADLINE).is_ok() {
        return Ok(format!("{setting}={addr}: something answers there"));
    }
    Err(format!(
        "{setting}={addr}: can neither be listened on nor reached"
    ))
}
