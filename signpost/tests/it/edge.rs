//! The proxy's edge as operators meet it: many connections, restarts behind a balancer, service managers, fronts that ask.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Role, SETTLE, START, Up, eventually, free_addr, signpost};

/// A proxy of its own.
fn proxy(data: &Path, addr: SocketAddr, settings: &[(&str, &str)]) -> Role {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(data.with_extension("log"))
        .unwrap();
    let process = signpost()
        .arg("proxy")
        .env("SIGNPOST_DATA_DIR", data)
        .env("SIGNPOST_PROXY_ADDR", addr.to_string())
        .env("SIGNPOST_ADMIN_ADDR", free_addr().to_string())
        .env("SIGNPOST_RING_BYTES", "4MiB")
        .env("SIGNPOST_GEO_DB", "/nowhere.mmdb")
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Role(process)
}

fn log(data: &Path) -> String {
    std::fs::read_to_string(data.with_extension("log")).unwrap_or_default()
}

/// Memory of a process that is in use, in bytes.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// A connection on which one request has been answered.
fn answered(addr: SocketAddr, more: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(START))?;
    let request = format!("GET /robots.txt HTTP/1.1\r\nHost: go.test\r\n{more}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"Disallow:\n") {
        let mut piece = [0; 512];
        match stream.read(&mut piece)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            got => answer.extend_from_slice(&piece[..got]),
        }
    }
    Ok(stream)
}

#[test]
fn ten_thousand_idle_connections_take_little_memory() {
    /// Most that one of them may take, in bytes, beside what the kernel needs.
    const EACH: u64 = 16_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let addr = free_addr();
    let settings = [
        ("SIGNPOST_PROXY_IDLE_SECONDS", "600"),
        ("SIGNPOST_PROXY_MAX_CONNECTIONS_PER_ADDRESS", "20000"),
    ];
    let role = proxy(&data, addr, &settings);
    let pid = role.0.id();
    eventually(START, "the proxy answers", || answered(addr, "").ok());
    // Descriptors of this process are the bound: other tests need some, too.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let open = limits.lines().find(|l| l.starts_with("Max open files"));
    let open: Option<u64> = open.and_then(|l| l.split_whitespace().nth(3)?.parse().ok());
    let many = open.unwrap_or(u64::MAX).saturating_sub(1_000).min(10_000) / 2;
    // Buffers that all share, and what the first ones grow, are nobody's.
    let warm: Vec<_> = ["", "Content-Length: 0\r\n"]
        .iter()
        .flat_map(|more| (0..100).map(|_| answered(addr, more).unwrap()))
        .collect();
    let mut held = Vec::new();
    // On the direct path, and where hyper has read a request.
    for more in ["", "Content-Length: 0\r\n"] {
        let before = resident(pid);
        held.extend((0..many).map(|_| answered(addr, more).unwrap()));
        let each = resident(pid).saturating_sub(before) / many;
        assert!(each <= EACH, "{each} bytes for each of {many} ({more:?})");
        eprintln!("{each} bytes for each of {many} idle connections ({more:?})");
    }
    drop((warm, held));
}

/// Ends the clients when dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One client behind a balancer, on one connection for as long as that goes; failed requests in words.
fn visits(addr: SocketAddr, goes_on: impl Fn() -> bool, done: &AtomicU64) -> Vec<String> {
    let mut failed = Vec::new();
    let mut connection: Option<BufReader<TcpStream>> = None;
    while goes_on() {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(addr).unwrap();
                stream.set_read_timeout(Some(SETTLE)).unwrap();
                stream.set_nodelay(true).unwrap();
                BufReader::new(stream)
            }
        };
        match visit(&mut stream) {
            Ok(true) => connection = Some(stream),
            Ok(false) => {}
            Err(why) => failed.push(why),
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    failed
}

/// Whether the connection stays open behind the answer.
fn visit(stream: &mut BufReader<TcpStream>) -> Result<bool, String> {
    let request = b"GET /rolling HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl/8\r\n\r\n";
    stream
        .get_mut()
        .write_all(request)
        .map_err(|e| format!("not sent: {e}"))?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head) {
            Ok(1..) => {}
            Ok(0) => return Err(format!("closed behind {head:?}")),
            Err(error) => return Err(format!("{error} behind {head:?}")),
        }
    }
    if !head.starts_with("HTTP/1.1 302") {
        return Err(head);
    }
    Ok(!head.to_ascii_lowercase().contains("connection: close"))
}

#[test]
fn proxies_behind_a_balancer_are_restarted_without_a_failed_request() {
    /// Requests that are answered meanwhile, at least.
    const REQUESTS: u64 = 100_000;
    const CLIENTS: usize = 8;
    let up = Up::start();
    up.link("rolling", &json!({ "url": "https://e.test/" }));
    let token = std::fs::read_to_string(up.data.join("feed.token")).unwrap();
    let feed = format!("http://{}", up.api);
    let folder = tempfile::tempdir().unwrap();
    let settings = [
        ("SIGNPOST_FEED_URL", feed.as_str()),
        ("SIGNPOST_FEED_TOKEN", token.trim()),
        ("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    let places = ["one", "two"].map(|name| (folder.path().join(name), free_addr()));
    let start = |index: usize| {
        let (data, addr) = &places[index];
        let role = proxy(data, *addr, &settings);
        eventually(START, "the proxy follows links", || {
            let mut stream = BufReader::new(TcpStream::connect(addr).ok()?);
            visit(&mut stream).ok()
        });
        role
    };
    let mut roles = [start(0), start(1)];
    let front = free_addr();
    let config = folder.path().join("haproxy.cfg");
    // As an operator writes it: checks, and another try where no connection could be made.
    let text = format!(
        "global\n  maxconn 1000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n  \
         retries 3\n  option redispatch\nfrontend visitors\n  bind {front}\n  default_backend proxies\nbackend proxies\n  \
         balance roundrobin\n  option httpchk GET /robots.txt\n  server one {} check inter 200ms\n  server two {} check inter 200ms\n",
        places[0].1, places[1].1
    );
    std::fs::write(&config, text).unwrap();
    let balancer = Command::new("haproxy")
        .arg("-db")
        .arg("-f")
        .arg(&config)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("haproxy is there: make deps");
    let balancer = Role(balancer);
    eventually(START, "the balancer answers", || {
        let mut stream = BufReader::new(TcpStream::connect(front).ok()?);
        visit(&mut stream).ok()
    });
    let done = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let goes_on = || !over.load(Ordering::Relaxed);
    let mut restarts = 0;
    let failed = std::thread::scope(|scope| {
        // However this ends, the clients do.
        let end = End(&over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| visits(front, goes_on, &done)))
            .collect();
        while done.load(Ordering::Relaxed) < REQUESTS || restarts < 4 {
            let index = restarts % 2;
            let pid = roles[index].0.id();
            let asked = Instant::now();
            Up::signal(pid, "TERM");
            let status = eventually(START, "the proxy ends", || {
                roles[index].0.try_wait().unwrap()
            });
            assert_eq!(status.code(), Some(0), "{}", log(&places[index].0));
            assert!(asked.elapsed() < Duration::from_secs(15));
            roles[index] = start(index);
            restarts += 1;
            // The balancer has to see that it is back before the other one goes.
            let seen = done.load(Ordering::Relaxed) + 2_000;
            let until = Instant::now() + Duration::from_secs(1);
            eventually(SETTLE, "requests go on", || {
                (done.load(Ordering::Relaxed) >= seen && Instant::now() > until).then_some(())
            });
        }
        drop(end);
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect::<Vec<_>>()
    });
    let done = done.into_inner();
    eprintln!(
        "{done} requests, {restarts} restarts, {} failed",
        failed.len()
    );
    assert!(
        failed.is_empty(),
        "{} of {done}: {:?}",
        failed.len(),
        failed.first()
    );
    assert!(done >= REQUESTS);
    drop(balancer);
}

#[test]
fn a_front_that_gets_certificates_asks_whether_a_domain_is_ours() {
    let up = Up::with(&[("SIGNPOST_PUBLIC_URL", "https://go.example")]);
    let ask = |name: &str| {
        let page = format!("http://{}/domain?domain={name}", up.admin);
        up.try_get(&page).expect("an answer").status
    };
    assert_eq!(ask("go.example"), 200);
    assert_eq!(ask("GO.example"), 200);
    for stranger in [
        "other.example",
        "x.go.example",
        "127.0.0.1",
        "localhost",
        "go.example:443",
        "",
        "%00",
    ] {
        assert_eq!(ask(stranger), 404, "{stranger}");
    }
    let none = up.try_get(&format!("http://{}/domain", up.admin));
    assert_eq!(none.expect("an answer").status, 400);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing.pem");
    for role in ["proxy", "up"] {
        let mut up = Up::stopped(&[]);
        let output = up
            .command()
            .arg(role)
            .env("SIGNPOST_TLS_ADDR", free_addr().to_string())
            .env("SIGNPOST_TLS_CERT", &path)
            .env("SIGNPOST_TLS_KEY", &path)
            .output()
            .unwrap();
        assert!(!output.status.success());
        assert!(role == "up" || output.status.code() == Some(64));
        let said = String::from_utf8_lossy(&output.stderr);
        let named = ["SIGNPOST_TLS_CERT", "missing.pem", "cannot be read"];
        assert!(
            named.iter().all(|name| said.contains(name)),
            "{role}: {said}"
        );
        up.stop("TERM");
    }
}

#[test]
fn a_service_manager_hears_when_it_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let filter = folder.path().join("filter");
    std::fs::write(&filter, "warn\n").unwrap();
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(START)).unwrap();
    let hear = || {
        let mut told = [0; 200];
        let length = socket.recv(&mut told).unwrap();
        String::from_utf8_lossy(&told[..length]).into_owned()
    };
    let mut up = Up::with(&[
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("SIGNPOST_LOG_FILTER_FILE", filter.to_str().unwrap()),
    ]);
    assert!(hear().starts_with("READY=1\n"));
    assert!(!up.log().contains(" INFO "), "{}", up.log());
    // The filter changes while it runs, and SIGHUP ends nobody.
    std::fs::write(&filter, "info\n").unwrap();
    for role in ["proxy", "control-plane", "ingest", "clickhouse"] {
        Up::signal(up.role_pid(role).unwrap(), "HUP");
    }
    Up::signal(up.pid(), "HUP");
    eventually(SETTLE, "all five have read it", || {
        (up.log().matches("log filter read").count() >= 5).then_some(())
    });
    assert_eq!(up.stop("TERM"), Some(0), "{}", up.log());
    assert!(hear().starts_with("STOPPING=1\n"));
}
