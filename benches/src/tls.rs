//! What TLS costs: CPU of the serving threads per redirect on keep-alive connections, as a ratio to the same in cleartext.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::report::{Bound, Report, median};
use crate::system::System;
use crate::{cpu, load};

/// Links drawn at random.
const LINKS: usize = 10_000;

/// Name of the proxy's serving threads.
const SERVING: &str = "serve-";

/// Name in the certificate.
const NAME: &str = "localhost";

pub(crate) fn run(report: &mut Report, rounds: usize, seconds: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])?;
    std::fs::write(&certificate, pem("CERTIFICATE", made.cert.der()))?;
    std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der()))?;
    let addr = System::free()?;
    let system = System::with(&[
        ("SIGNPOST_TLS_ADDR", &addr.to_string()),
        ("SIGNPOST_TLS_CERT", &certificate.to_string_lossy()),
        ("SIGNPOST_TLS_KEY", &key.to_string_lossy()),
    ])?;
    let slugs = system.links("t", LINKS)?;
    let pid = system.role_pid("proxy")?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let config = Arc::new(config);
    let span = Duration::from_secs(seconds);
    let serving = || anyhow::Ok(cpu::of(&cpu::by_thread(pid)?, SERVING));
    let (mut plain, mut tls, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds as u64 {
        let before = serving()?;
        let answered = load::run(system.proxy, &slugs, span, round + 1)?;
        let cost = (serving()? - before) / answered as f64 * 1e6;
        // Handshakes are made before it is measured.
        let mut streams = (0..load::CONNECTIONS)
            .map(|_| connect(addr, &config))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let before = serving()?;
        let answered = over(&mut streams, &slugs, span)?;
        let with_tls = (serving()? - before) / answered as f64 * 1e6;
        ratios.push(with_tls / cost);
        plain.push(cost);
        tls.push(with_tls);
    }
    report.note(
        "serving threads, CPU per redirect",
        median(&mut plain),
        "µs",
    );
    report.note("… over TLS", median(&mut tls), "µs");
    let ratio = median(&mut ratios);
    report.check(
        "… over TLS / in cleartext, median",
        ratio,
        "×",
        Bound::AtMost(1.3),
    );
    Ok(())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn connect(addr: SocketAddr, config: &Arc<ClientConfig>) -> anyhow::Result<Tls> {
    let tcp = TcpStream::connect(addr)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(5)))?;
    let client = ClientConnection::new(Arc::clone(config), ServerName::try_from(NAME)?)?;
    let mut stream = StreamOwned::new(client, tcp);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

/// One request in flight on each connection, for `span`; how many were answered.
fn over(streams: &mut [Tls], slugs: &[String], span: Duration) -> anyhow::Result<u64> {
    let mut answered = 0;
    let mut buffer = [0; 4096];
    let until = Instant::now() + span;
    while Instant::now() < until {
        for (number, stream) in streams.iter_mut().enumerate() {
            let pick = (answered as usize + number).wrapping_mul(7919) % slugs.len();
            stream.write_all(&load::request(slugs.get(pick).context("no slugs")?))?;
        }
        for stream in &mut *streams {
            let mut read = 0;
            while !buffer
                .get(..read)
                .unwrap_or_default()
                .ends_with(b"\r\n\r\n")
            {
                let got = stream.read(buffer.get_mut(read..).unwrap_or_default())?;
                anyhow::ensure!(got > 0, "connection closed after {answered} answers");
                read += got;
            }
            anyhow::ensure!(buffer.starts_with(b"HTTP/1.1 302"), "no redirect");
            answered += 1;
        }
    }
    Ok(answered)
}
