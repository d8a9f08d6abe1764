//! What a redirect is compared with: the floor, a bare hyper, nginx and haproxy, each with the same links.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, server::conn::http1};
use hyper_util::rt::TokioIo;

use crate::cpu;
use crate::system::System;

/// How long a peer may take to read its links.
const START: Duration = Duration::from_secs(120);

/// Serving threads of each peer: as many as the proxy has on two cores.
const THREADS: usize = 2;

/// A running peer.
pub(crate) struct Peer {
    /// What the report calls it.
    pub(crate) name: &'static str,
    pub(crate) addr: SocketAddr,
    process: Child,
}

impl Peer {
    /// The floor, with the bytes of one answer.
    pub(crate) fn floor(folder: &Path, answer: &[u8]) -> anyhow::Result<Self> {
        let path = folder.join("answer");
        std::fs::write(&path, answer)?;
        Self::of_ours("epoll floor", "floor", &path)
    }

    /// A bare hyper that has the links in a `HashMap`, and answers with the headers of `answer`.
    pub(crate) fn hyper(folder: &Path, answer: &[u8], links: &Links<'_>) -> anyhow::Result<Self> {
        std::fs::write(folder.join("answer"), answer)?;
        let path = folder.join("hyper");
        std::fs::write(&path, links.lines(" ", ""))?;
        Self::of_ours("bare hyper", "hyper", &path)
    }

    /// One of this program's own servers; they print their port.
    fn of_ours(name: &'static str, command: &str, file: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(command)
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut port = String::new();
        BufReader::new(process.stdout.as_mut().context("no output")?).read_line(&mut port)?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port.trim().parse()?));
        Ok(Self {
            name,
            addr,
            process,
        })
    }

    /// nginx with the links in a map and its access log in the combined format, buffered. `None`: it is not installed.
    pub(crate) fn nginx(folder: &Path, links: &Links<'_>) -> anyhow::Result<Option<Self>> {
        std::fs::write(folder.join("nginx.map"), links.lines(" ", ";"))?;
        let (dir, addr) = (folder.display(), System::free()?);
        let config = format!(
            "daemon off; user root; worker_processes {THREADS}; pid {dir}/nginx.pid; error_log stderr error;
             events {{ worker_connections 4096; }}
             http {{
               client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
               uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
               map_hash_max_size 4194304; map_hash_bucket_size 256;
               map $uri $destination {{ default ''; include {dir}/nginx.map; }}
               access_log {dir}/nginx.log combined buffer=64k flush=1s;
               keepalive_requests 4000000000; server_tokens off;
               server {{ listen {addr}; location / {{ if ($destination = '') {{ return 404; }} return 302 $destination; }} }}
             }}"
        );
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config)?;
        Self::of_others(
            "nginx with its log",
            "nginx",
            &["-p", "."],
            "-c",
            &path,
            addr,
        )
    }

    /// haproxy with the links in a map file, and no log. `None`: it is not installed.
    pub(crate) fn haproxy(folder: &Path, links: &Links<'_>) -> anyhow::Result<Option<Self>> {
        std::fs::write(folder.join("haproxy.map"), links.lines(" ", ""))?;
        let (dir, addr) = (folder.display(), System::free()?);
        let config = format!(
            "global\n  nbthread {THREADS}\n  maxconn 4096\n\
             defaults\n  mode http\n  timeout client 60s\n  timeout connect 1s\n  timeout server 60s\n\
             frontend links\n  bind {addr}\n  \
             http-request set-var(txn.destination) path,map_str({dir}/haproxy.map)\n  \
             http-request redirect code 302 location %[var(txn.destination)] if {{ var(txn.destination) -m found }}\n  \
             http-request return status 404\n"
        );
        let path = folder.join("haproxy.cfg");
        std::fs::write(&path, config)?;
        Self::of_others(
            "haproxy without a log",
            "haproxy",
            &["-db"],
            "-f",
            &path,
            addr,
        )
    }

    fn of_others(
        name: &'static str,
        program: &str,
        arguments: &[&str],
        flag: &str,
        config: &Path,
        addr: SocketAddr,
    ) -> anyhow::Result<Option<Self>> {
        // Debian keeps servers where not every user's PATH leads.
        let found = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"]
            .iter()
            .map(|dir| Path::new(dir).join(program))
            .find(|path| path.exists());
        let Some(program) = found else {
            let _ = writeln!(
                std::io::stderr(),
                "{name} is left out: install the package {program}"
            );
            return Ok(None);
        };
        let process = Command::new(&program)
            .args(arguments)
            .arg(flag)
            .arg(config)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| format!("{} does not start", program.display()))?;
        let mut peer = Self {
            name,
            addr,
            process,
        };
        let until = Instant::now() + START;
        while TcpStream::connect(addr).is_err() {
            let ended = peer.process.try_wait()?;
            anyhow::ensure!(ended.is_none(), "{} has ended", program.display());
            anyhow::ensure!(Instant::now() < until, "{} is slow", program.display());
            crate::system::pause();
        }
        Ok(Some(peer))
    }

    /// CPU seconds of the process and its children so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<f64> {
        let pid = self.process.id();
        let mut used = cpu::of(&cpu::by_thread(pid)?, "");
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        for child in children.split_whitespace() {
            used += cpu::of(&cpu::by_thread(child.parse()?)?, "");
        }
        Ok(used)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // nginx takes its workers with it only when it is asked to.
        if let Some(pid) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let until = Instant::now() + Duration::from_secs(5);
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < until {
            crate::system::pause();
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The links that all peers have.
pub(crate) struct Links<'a> {
    pub(crate) slugs: &'a [String],
    /// Where a slug leads.
    pub(crate) destination: fn(&str) -> String,
}

impl Links<'_> {
    /// A line a link: path, separator, destination, end.
    fn lines(&self, separator: &str, end: &str) -> String {
        let mut lines = String::new();
        for slug in self.slugs {
            let _ = writeln!(lines, "/{slug}{separator}{}{end}", (self.destination)(slug));
        }
        lines
    }
}

/// The bare hyper: as many threads as the proxy has, each with a listener and a runtime of its own, as hyper's own
/// examples do it. Serves until it is killed. Prints its port on the first line of standard output.
pub(crate) fn serve_hyper(file: &Path) -> anyhow::Result<()> {
    let lines = std::fs::read_to_string(file)?;
    let mut links: HashMap<String, HeaderValue> = HashMap::new();
    for line in lines.lines() {
        let (path, destination) = line.split_once(' ').context("no destination")?;
        links.insert(path.to_owned(), HeaderValue::from_str(destination)?);
    }
    drop(lines);
    let links = Arc::new(links);
    let answer = std::fs::read_to_string(file.with_file_name("answer"))?;
    let mut headers = HeaderMap::new();
    for line in answer.lines().skip(1) {
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(
                HeaderName::from_bytes(name.as_bytes())?,
                HeaderValue::from_str(value)?,
            );
        }
    }
    headers.remove("date");
    headers.remove("location");
    let headers = Arc::new(headers);
    let first = listener(0)?;
    let port = first.local_addr()?.port();
    let mut threads = Vec::new();
    for number in 0..THREADS {
        let listener = match number {
            0 => first.try_clone()?,
            _ => listener(port)?,
        };
        let (links, headers) = (Arc::clone(&links), Arc::clone(&headers));
        threads.push(std::thread::spawn(move || {
            serve_thread(listener, &links, &headers)
        }));
    }
    drop(first);
    writeln!(std::io::stdout(), "{port}")?;
    std::io::stdout().flush()?;
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread of hyper panicked"))??;
    }
    Ok(())
}

fn listener(port: u16) -> anyhow::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn serve_thread(
    listener: TcpListener,
    links: &Arc<HashMap<String, HeaderValue>>,
    headers: &Arc<HeaderMap>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (links, headers) = (Arc::clone(links), Arc::clone(headers));
            tokio::task::spawn_local(async move {
                let service = service_fn(move |request: Request<_>| {
                    let answer = redirect(&request, &links, &headers);
                    async move { Ok::<_, Infallible>(answer) }
                });
                // A client that goes away is no concern of a bench.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

fn redirect(
    request: &Request<hyper::body::Incoming>,
    links: &HashMap<String, HeaderValue>,
    headers: &HeaderMap,
) -> Response<Empty<Bytes>> {
    let mut answer = Response::new(Empty::new());
    match links.get(request.uri().path()) {
        Some(destination) => {
            *answer.status_mut() = StatusCode::FOUND;
            *answer.headers_mut() = headers.clone();
            answer
                .headers_mut()
                .insert(hyper::header::LOCATION, destination.clone());
        }
        None => *answer.status_mut() = StatusCode::NOT_FOUND,
    }
    answer
}
