//! TCP relays that can be cut, slowed and made to lie: what lies between a client and a broker or ClickHouse.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

/// What a relay does with what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Open,
    /// Closes what is open and what comes.
    Cut,
    /// Passes it on, each piece later.
    Slow,
    /// Answers each request itself, with 500.
    Refuse,
    /// Passes on what is asked and keeps the answers, which nobody ever gets.
    Mute,
}

/// How much later a slow relay passes a piece on: a hundred times what a network in one building takes.
const SLOW: Duration = Duration::from_millis(30);

/// How long a thread waits for bytes before it looks at the mode again.
const LOOK: Duration = Duration::from_millis(50);

/// Bytes passed on at once.
const PIECE: usize = 16 << 10;

/// See the module. Ends with the process.
#[derive(Debug)]
pub struct Relay {
    /// Where clients connect.
    pub addr: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: AtomicU16,
    mode: Mutex<Mode>,
    next: AtomicU64,
    /// Both ends of each connection, by its number.
    open: Mutex<Vec<(u64, TcpStream)>>,
}

impl Inner {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_all(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, stream) in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Relay {
    /// Listens on a free port; nothing is behind it yet.
    ///
    /// # Errors
    /// No free port.
    pub fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        let relay = Self {
            addr: listener.local_addr()?,
            inner: Arc::new(Inner {
                target: AtomicU16::new(0),
                mode: Mutex::new(Mode::Open),
                next: AtomicU64::new(0),
                open: Mutex::default(),
            }),
        };
        let inner = relay.inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = inner.clone();
                std::thread::spawn(move || {
                    // A connection that fails is a closed one, to either side.
                    let _ = connection(&inner, &stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Ok(relay)
    }

    /// Leads to this port of this machine from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.inner.target.store(target.port(), Ordering::Relaxed);
    }

    /// What it does from now on. What is open is closed, unless it only becomes slower or mute.
    pub fn set(&self, mode: Mode) {
        let mut now = self
            .inner
            .mode
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *now, mode);
        drop(now);
        if before == Mode::Mute || matches!(mode, Mode::Cut | Mode::Refuse) {
            self.inner.close_all();
        }
    }
}

fn connection(inner: &Arc<Inner>, client: &TcpStream) -> std::io::Result<()> {
    match inner.mode() {
        Mode::Cut => return Ok(()),
        Mode::Refuse => return refuse(client),
        Mode::Open | Mode::Slow | Mode::Mute => {}
    }
    let target = (Ipv4Addr::LOCALHOST, inner.target.load(Ordering::Relaxed));
    let server = TcpStream::connect(target)?;
    let number = inner.next.fetch_add(1, Ordering::Relaxed);
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
        let mut open = inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push((number, stream.try_clone()?));
    }
    // A cut that came while this one was made.
    if inner.mode() == Mode::Cut {
        return server.shutdown(Shutdown::Both);
    }
    let (from, to, up) = (client.try_clone()?, server.try_clone()?, inner.clone());
    let asking = std::thread::spawn(move || pass(&up, &from, &to, false));
    pass(inner, &server, client, true);
    let _ = asking.join();
    let mut open = inner.open.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(other, _)| *other != number);
    Ok(())
}

/// Passes bytes on until one end closes.
fn pass(inner: &Inner, mut from: &TcpStream, mut to: &TcpStream, is_answer: bool) {
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                if inner.mode() == Mode::Slow {
                    crate::pause(SLOW);
                }
                // Kept for ever: the connection is closed before anything else comes through it.
                if is_answer && inner.mode() == Mode::Mute {
                    continue;
                }
                if to
                    .write_all(piece.get(..length).unwrap_or_default())
                    .is_err()
                {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Reads a request's head and answers 500.
fn refuse(mut client: &TcpStream) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        let length = client.read(&mut piece)?;
        if length == 0 || head.len() > PIECE {
            return Ok(());
        }
        head.extend_from_slice(piece.get(..length).unwrap_or_default());
    }
    client.write_all(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 24\r\nConnection: close\r\n\r\nnot now, says the relay\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each byte with the next one.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let addr = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut byte = [0];
                    while stream.read_exact(&mut byte).is_ok() {
                        let _ = stream.write_all(&[byte[0] + 1]);
                    }
                });
            }
        });
        addr
    }

    fn ask(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"a")?;
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    #[test]
    fn a_relay_passes_on_cuts_refuses_and_keeps_answers() {
        let relay = Relay::listen().expect("listens");
        relay.lead_to(echo());
        let connect = || TcpStream::connect(relay.addr).expect("connects");
        let mut kept = connect();
        assert_eq!(ask(&mut kept).expect("passes"), b'b');
        relay.set(Mode::Slow);
        assert_eq!(ask(&mut kept).expect("passes"), b'b');
        relay.set(Mode::Cut);
        assert!(ask(&mut kept).is_err() && ask(&mut connect()).is_err());
        relay.set(Mode::Refuse);
        let mut asking = connect();
        asking.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sends");
        let mut answer = String::new();
        asking.read_to_string(&mut answer).expect("reads");
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        relay.set(Mode::Open);
        let mut mute = connect();
        assert_eq!(ask(&mut mute).expect("passes"), b'b');
        relay.set(Mode::Mute);
        mute.write_all(b"x").expect("goes to the server");
        crate::pause(4 * LOOK);
        relay.set(Mode::Open);
        let mut byte = [0];
        assert!(
            mute.read_exact(&mut byte).is_err(),
            "an answer came: {byte:?}"
        );
        assert_eq!(ask(&mut connect()).expect("passes"), b'b');
    }
}
