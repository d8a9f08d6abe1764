//! A defect of ours, made on purpose: it costs the connection that met it, and no other.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use schemas::click::Stream;

use super::*;
use crate::enrich::{Agents, Databases};
use crate::table::LinkTable;

/// Asked for this path, a worker of a test panics.
pub(super) fn perhaps_panic(path: &str) {
    assert!(path != "/panic", "as the test wants it");
}

fn server(workers: u64, ended: impl Fn() + Clone + Send + 'static) -> Server {
    let ring = |worker| {
        let stream = Stream {
            epoch: 1,
            worker: u16::try_from(worker).unwrap(),
        };
        ring::Folder::without_ring(stream).0
    };
    let parts = Parts {
        addr: (Ipv4Addr::LOCALHOST, 0).into(),
        tls: None,
        limits: Limits::default(),
        descriptors: 1024,
        trusted: Trusted::default(),
        proxy_protocol: false,
        table: Arc::new(ArcSwap::from_pointee(LinkTable::empty())),
        rings: (0..workers).map(ring).collect(),
        known: Known {
            geo: Databases::default(),
            agents: Agents::new().unwrap(),
        },
        gates: Arc::new(Gates::shut()),
    };
    Server::start(parts, ended).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.addr()).unwrap();
    let deadline = Some(Duration::from_secs(20));
    stream.set_read_timeout(deadline).unwrap();
    stream
}

fn ask(stream: &mut TcpStream, path: &str, more: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nHost: go.test\r\n{more}\r\n");
    let mut answer = [0; 12];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && &answer == b"HTTP/1.1 200"
}

/// Reads the rest of an answer of `robots.txt`.
fn rest(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let mut byte = [0];
    while !rest.ends_with(b"Disallow:\n") {
        stream.read_exact(&mut byte).unwrap();
        rest.push(byte[0]);
    }
}

#[test]
fn a_panic_costs_one_connection() {
    let (ends, ended) = std::sync::mpsc::channel();
    let server = server(1, move || {
        let _ = ends.send(());
    });
    let mut others: Vec<_> = (0..5).map(|_| connect(&server)).collect();
    for _ in 0..3 {
        // On the direct path, and where hyper reads.
        for more in ["", "Content-Length: 0\r\n"] {
            let mut unlucky = connect(&server);
            assert!(!ask(&mut unlucky, "/panic", more));
            assert_eq!(unlucky.read(&mut [0]).unwrap_or(0), 0);
            for other in &mut others {
                assert!(ask(other, "/robots.txt", more));
                rest(other);
            }
            let mut new = connect(&server);
            assert!(ask(&mut new, "/robots.txt", more));
        }
    }
    assert!(ended.try_recv().is_err(), "the thread goes on");
    drop(others);
    server.drain();
    assert!(ended.recv().is_ok());
}
