//! The shared server, a raw HTTP client that shows every byte, and waiting without sleeping blindly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use embedded::{Config, Running, start};
use schemas::health::Health;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Shared {
    pub(crate) running: Running,
    pub(crate) addr: SocketAddr,
    pub(crate) data_dir: PathBuf,
    pub(crate) signpost: String,
    pub(crate) analyst: String,
}

/// Memory of one query in the shared server: small, so that a test can reach it.
pub(crate) const QUERY_MEMORY: u64 = 300 << 20;

pub(crate) fn library() -> PathBuf {
    let path = std::env::var_os("SIGNPOST_CHDB_LIB").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../.cache/chdb/libchdb.so"
            ))
        },
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "no ClickHouse engine at {}: run `make fetch`",
        path.display()
    );
    path
}

pub(crate) fn config(data_dir: &std::path::Path) -> Config {
    let mut config = Config::new(data_dir, library());
    config.addr = "127.0.0.1:0".parse().unwrap();
    config
}

/// The shared server, on a runtime of its own that outlives every test.
pub(crate) fn server() -> &'static Shared {
    static SERVER: OnceLock<Shared> = OnceLock::new();
    SERVER.get_or_init(|| {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                remove_left_behind();
                // The engine works in it until the process ends, so the next run removes it.
                let data_dir = tempfile::Builder::new()
                    .prefix(PREFIX)
                    .tempdir()
                    .unwrap()
                    .keep();
                let mut config = config(&data_dir);
                config.memory_total = 1500 << 20;
                config.memory_per_query = QUERY_MEMORY;
                config.max_running = 4;
                config.max_queued = 2;
                config.queue_timeout = Duration::from_secs(2);
                config.analyst_timeout = Duration::from_secs(5);
                let running = start(config, Health::new(), CancellationToken::new())
                    .await
                    .unwrap();
                let password = |name: &str| std::fs::read_to_string(data_dir.join(name)).unwrap();
                let shared = Shared {
                    addr: running.addr,
                    running,
                    signpost: password("clickhouse.password"),
                    analyst: password("clickhouse.analyst-password"),
                    data_dir,
                };
                send.send(shared).unwrap();
                std::future::pending::<()>().await;
            });
        });
        receive.recv().unwrap()
    })
}

/// Of folders that outlive their process; the crate's own tests name theirs so too.
const PREFIX: &str = "signpost-embedded-test-";

/// Removes folders of earlier runs: those whose lock nobody holds.
fn remove_left_behind() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let unlocked = || {
            let lock = std::fs::File::open(entry.path().join("clickhouse.lock"));
            lock.is_ok_and(|lock| lock.try_lock().is_ok())
        };
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && unlocked() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// One at a time: tests that fill all places, and those that would be turned away then.
pub(crate) fn all_places() -> &'static tokio::sync::RwLock<()> {
    static LOCK: OnceLock<tokio::sync::RwLock<()>> = OnceLock::new();
    LOCK.get_or_init(Default::default)
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.head.lines().find_map(|line| {
            let (n, v) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
        })
    }

    /// The exception's number, if this is an error.
    pub(crate) fn code(&self) -> Option<u32> {
        self.header("x-clickhouse-exception-code")
            .map(|c| c.parse().unwrap())
    }
}

/// Sends bytes as they are and reads until the server closes.
pub(crate) async fn raw(request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(server().addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    parse(&answer)
}

pub(crate) fn parse(answer: &[u8]) -> Reply {
    let at = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a head");
    let head = String::from_utf8_lossy(&answer[..at]).into_owned();
    let mut body = answer[at + 4..].to_vec();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        body = dechunked(&body);
    }
    Reply { status, head, body }
}

fn dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let Some(line) = rest.windows(2).position(|w| w == b"\r\n") else {
            return body;
        };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
        if size == 0 {
            return body;
        }
    }
}

pub(crate) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

pub(crate) fn request(user: &str, password: &str, arguments: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /?{arguments} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// POST as Signpost itself.
pub(crate) async fn post(arguments: &str, body: impl AsRef<[u8]>) -> Reply {
    raw(&request(
        "signpost",
        &server().signpost,
        arguments,
        body.as_ref(),
    ))
    .await
}

/// A query in the body, as Signpost.
pub(crate) async fn query(sql: &str) -> Reply {
    post("", sql).await
}

/// A query in the body, as the analyst.
pub(crate) async fn analyst(sql: &str) -> Reply {
    raw(&request("analyst", &server().analyst, "", sql.as_bytes())).await
}

/// The result of a query that must go well, without the last line break.
#[track_caller]
pub(crate) fn ok(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text().trim_end_matches('\n').to_owned()
}

/// Waits until `true`.
pub(crate) async fn eventually(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let end = Instant::now() + deadline;
    while !condition().await {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
