//! The real proxy in this process, and a client that writes raw bytes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use proxy::{Config, Proxy};
use schemas::health::Health;
use schemas::settings::Settings;
use socket2::{Domain, Socket, Type};

use crate::feed_server::{FeedServer, TOKEN};

/// Longest wait for anything that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct TestProxy {
    pub(crate) health: Health,
    proxy: Option<Proxy>,
}

impl TestProxy {
    /// A proxy with its data in `dir`, fed by `feed`, and settings on top of small defaults.
    pub(crate) fn start(dir: &Path, feed: &FeedServer, settings: &[(&str, &str)]) -> Self {
        let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let mut all: Vec<(String, String)> = [
            ("SIGNPOST_PROXY_ADDR", "127.0.0.1:0".to_owned()),
            ("SIGNPOST_PROXY_WORKERS", "2".to_owned()),
            ("SIGNPOST_DATA_DIR", path("data")),
            ("SIGNPOST_RING_DIR", dir.to_string_lossy().into_owned()),
            ("SIGNPOST_RING_BYTES", "1MiB".to_owned()),
            ("SIGNPOST_CLICK_LOG_BYTES", "16MiB".to_owned()),
            ("SIGNPOST_FEED_URL", feed.url()),
            ("SIGNPOST_FEED_TOKEN", TOKEN.to_owned()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
        for (name, value) in settings {
            all.retain(|(n, _)| n != name);
            all.push(((*name).to_owned(), (*value).to_owned()));
        }
        let mut settings = Settings::new(all);
        let config = Config::from_settings(&mut settings);
        settings.check().expect("legal settings");
        let health = Health::new();
        let proxy = Proxy::start(&config, &health).expect("started");
        Self {
            health,
            proxy: Some(proxy),
        }
    }

    /// As [`Self::start`], and waits until it has a whole table.
    pub(crate) fn ready(dir: &Path, feed: &FeedServer, settings: &[(&str, &str)]) -> Self {
        let proxy = Self::start(dir, feed, settings);
        eventually("the link table is there", || links_are_ready(&proxy.health));
        proxy
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.proxy.as_ref().expect("running").addr()
    }

    pub(crate) fn tls_addr(&self) -> SocketAddr {
        let proxy = self.proxy.as_ref().expect("running");
        proxy.tls_addr().expect("TLS is on")
    }

    /// `GET <target>` with this host.
    pub(crate) fn get(&self, target: &str, host: &str) -> Answer {
        self.raw(
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        )
    }

    /// Status and `Location` (or nothing) of a GET on the default domain.
    pub(crate) fn follow(&self, slug: &str) -> String {
        let answer = self.get(&format!("/{slug}"), "go.test");
        let location = answer.header("location").unwrap_or_default();
        format!("{} {location}", answer.status)
            .trim_end()
            .to_owned()
    }

    /// Writes these bytes and reads one answer.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("written");
        let head_only = bytes.starts_with(b"HEAD ");
        read_answer(&mut stream, &mut Vec::new(), head_only)
            .unwrap_or_else(|| panic!("no answer to {:.200}", String::from_utf8_lossy(bytes)))
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr()).expect("connected");
        stream.set_read_timeout(Some(DEADLINE)).expect("timeout");
        stream
    }

    /// A connection from this address of this machine.
    pub(crate) fn connect_from(&self, ip: [u8; 4]) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
        let from = SocketAddr::from((ip, 0));
        socket.bind(&from.into()).expect("an address of loopback");
        socket.connect(&self.addr().into()).expect("connected");
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(DEADLINE)).expect("timeout");
        stream
    }

    pub(crate) fn stop(mut self) {
        self.proxy
            .take()
            .expect("running")
            .stop()
            .expect("a clean end");
    }

    /// Stops in the background: returns at once.
    pub(crate) fn stop_soon(mut self) -> std::thread::JoinHandle<()> {
        let proxy = self.proxy.take().expect("running");
        std::thread::spawn(move || proxy.stop().expect("a clean end"))
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        if let Some(proxy) = self.proxy.take() {
            let _ = proxy.stop();
        }
    }
}

pub(crate) fn links_are_ready(health: &Health) -> bool {
    health.report().get("links") == Some(&None)
}

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// Reads one answer; `rest` keeps what comes behind it. `None`: hung up.
pub(crate) fn read_answer(
    stream: &mut TcpStream,
    rest: &mut Vec<u8>,
    head_only: bool,
) -> Option<Answer> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8(rest[..end].to_vec()).expect("ascii");
            let status = head[9..12].parse().expect("status");
            let answer = Answer {
                status,
                head,
                body: String::new(),
            };
            let length = match answer.header("content-length") {
                Some(length) if !head_only => length.parse().expect("length"),
                _ => 0,
            };
            if rest.len() >= end + 4 + length {
                let body =
                    String::from_utf8(rest[end + 4..end + 4 + length].to_vec()).expect("utf-8");
                rest.drain(..end + 4 + length);
                return Some(Answer { body, ..answer });
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(got) => rest.extend_from_slice(&buffer[..got]),
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(e) => panic!("no answer: {e}"),
        }
    }
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % sides as u64) as usize
    }
}
