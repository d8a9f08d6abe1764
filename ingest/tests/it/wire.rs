//! A TCP forwarder between ingest and the engine that remembers what ingest said, to say it again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Wire {
    pub(crate) addr: SocketAddr,
    engine: SocketAddr,
    /// From its next insert on, nothing that ingest says goes on.
    held: Arc<AtomicBool>,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Wire {
    pub(crate) async fn to(engine: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let said: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let all = Arc::clone(&said);
        let held = Arc::new(AtomicBool::new(false));
        let holding = Arc::clone(&held);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(engine).await else {
                    continue;
                };
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let index = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let all = Arc::clone(&all);
                let holding = Arc::clone(&holding);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 1 << 16];
                    let mut held = false;
                    while let Ok(n @ 1..) = from_client.read(&mut buffer).await {
                        all.lock().unwrap()[index].extend_from_slice(&buffer[..n]);
                        // A question about the statement before is let through: its asker would never insert again.
                        held |= holding.load(Ordering::SeqCst) && is_insert(&buffer[..n]);
                        if held {
                            continue;
                        }
                        if to_server.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                });
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
                });
            }
        });
        Self {
            addr,
            engine,
            held,
            said,
        }
    }

    /// From its next insert on takes what ingest says and does not pass it on.
    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::SeqCst);
    }

    /// Whether the end of an insert has been taken and not been passed on.
    pub(crate) fn holds_a_statement(&self) -> bool {
        let said = self.said.lock().unwrap();
        self.held.load(Ordering::SeqCst)
            && said
                .iter()
                .filter(|bytes| is_insert(bytes))
                .any(|bytes| bytes.ends_with(b"0\r\n\r\n"))
    }

    /// The tokens of statements that fill this roll-up.
    pub(crate) fn tokens(&self, table: &str) -> Vec<String> {
        let name = format!("insert_deduplication_token={table}-");
        let said = self.said.lock().unwrap();
        let mut tokens: Vec<_> = said
            .iter()
            .flat_map(|bytes| {
                let text = String::from_utf8_lossy(bytes);
                let tokens = text.split(&name).skip(1).map(|rest| rest[..32].to_owned());
                tokens.collect::<Vec<_>>()
            })
            .collect();
        tokens.sort_unstable();
        tokens
    }

    /// Says everything once more, to the engine itself; returns how many inserts that were.
    pub(crate) async fn replay(&self) -> usize {
        let said = self.said.lock().unwrap().clone();
        let mut inserts = 0;
        for bytes in said {
            inserts += bytes
                .windows(7)
                .filter(|w| {
                    w.eq_ignore_ascii_case(b"INSERT+") || w.eq_ignore_ascii_case(b"INSERT ")
                })
                .count();
            let mut engine = TcpStream::connect(self.engine).await.unwrap();
            engine.write_all(&bytes).await.unwrap();
            // The last of the connection, so that its answers have an end.
            engine
                .write_all(b"GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut answer = Vec::new();
            engine.read_to_end(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.starts_with("HTTP/1.1 200") && !answer.contains("DB::Exception"),
                "{answer}"
            );
        }
        inserts
    }
}

fn is_insert(bytes: &[u8]) -> bool {
    bytes.windows(6).any(|w| w == b"INSERT")
}
