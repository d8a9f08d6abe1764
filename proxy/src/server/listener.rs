//! A worker's listeners: one for cleartext, and one for TLS if that is spoken.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};

/// Connections the kernel keeps for us before we accept them.
const BACKLOG: i32 = 4096;

/// How long handshakes that have begun are waited for before a listener is closed. What a closed listener has not accepted
/// is reset; so it takes no new ones for this long, and those that were on their way arrive.
const LAST_HANDSHAKES: Duration = Duration::from_millis(200);

/// A program for the kernel that drops what would begin a connection: SYN without ACK. Whoever sent it tries again after a
/// second, and then meets whoever listens by then, or nobody.
///
/// Byte 13 of a TCP header holds its flags (RFC 9293 3.1). Opcodes: load a byte, and, jump if equal, return.
const NO_SYN: [SockFilter; 5] = [
    SockFilter::new(0x30, 0, 0, 13),
    SockFilter::new(0x54, 0, 0, 0x12),
    SockFilter::new(0x15, 0, 1, 0x02),
    SockFilter::new(0x06, 0, 0, 0),
    SockFilter::new(0x06, 0, 0, u32::MAX),
];

/// Not yet on a runtime.
#[derive(Debug)]
pub(super) struct Listeners {
    plain: StdListener,
    tls: Option<StdListener>,
}

/// On a worker's runtime.
#[derive(Debug)]
pub(super) struct Listening {
    plain: TcpListener,
    tls: Option<TcpListener>,
}

impl Listeners {
    /// Listens. With port 0 the first listener finds the port for all.
    ///
    /// # Errors
    /// An address cannot be had.
    pub(super) fn bind(
        addr: &mut SocketAddr,
        tls_addr: &mut Option<SocketAddr>,
    ) -> io::Result<Self> {
        let plain = listen(*addr)?;
        *addr = plain.local_addr()?;
        let mut tls = None;
        if let Some(addr) = tls_addr {
            let listener = listen(*addr)?;
            *addr = listener.local_addr()?;
            tls = Some(listener);
        }
        Ok(Self { plain, tls })
    }

    /// Onto this thread's runtime.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn attach(self) -> io::Result<Listening> {
        Ok(Listening {
            plain: TcpListener::from_std(self.plain)?,
            tls: self.tls.map(TcpListener::from_std).transpose()?,
        })
    }
}

/// A connection, where it comes from, and whether TLS is spoken on it.
pub(super) type Arrived = (TcpStream, SocketAddr, bool);

impl Listening {
    /// The next connection.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn accept(&self) -> io::Result<Arrived> {
        let Some(tls) = &self.tls else {
            let (stream, peer) = self.plain.accept().await?;
            return Ok((stream, peer, false));
        };
        tokio::select! {
            accepted = self.plain.accept() => accepted.map(|(stream, peer)| (stream, peer, false)),
            accepted = tls.accept() => accepted.map(|(stream, peer)| (stream, peer, true)),
        }
    }

    /// Takes no new connections, hands on those that the kernel has connected or is connecting, and closes.
    pub(super) async fn close(self, mut each: impl FnMut(io::Result<Arrived>)) {
        let until = Instant::now() + LAST_HANDSHAKES;
        let filtered = [Some(&self.plain), self.tls.as_ref()]
            .into_iter()
            .flatten()
            .map(|listener| SockRef::from(listener).attach_filter(&NO_SYN));
        // Where the kernel does not do that, some come late and are reset, as with any server.
        if filtered.filter(Result::is_ok).count() > 0 {
            while let Ok(accepted) = timeout_at(until, self.accept()).await {
                let failed = accepted.is_err();
                each(accepted);
                if failed {
                    break;
                }
            }
        }
        // What is left in the queue: to it, too, the kernel has promised an answer. The runtime may not know of it yet.
        let plain = self.plain.into_std().map(|listener| (listener, false));
        let tls = self
            .tls
            .map(|tls| tls.into_std().map(|listener| (listener, true)));
        for (listener, tls) in [Some(plain), tls].into_iter().flatten().flatten() {
            while let Ok((stream, peer)) = listener.accept() {
                let stream = stream
                    .set_nonblocking(true)
                    .and_then(|()| TcpStream::from_std(stream));
                each(stream.map(|stream| (stream, peer, tls)));
            }
        }
    }
}

fn listen(addr: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
mod tests {
    use std::net::{Ipv4Addr, TcpStream as Client};

    use super::*;

    #[tokio::test]
    async fn a_closing_listener_hands_on_what_it_has_and_takes_nothing_new() {
        let mut addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut none = None;
        let listening = Listeners::bind(&mut addr, &mut none)
            .and_then(Listeners::attach)
            .unwrap();
        // The kernel has connected them, and nobody has accepted them.
        let early = [(); 3].map(|()| Client::connect(addr).unwrap());
        let mut arrived = Vec::new();
        let closing = listening.close(|connection| arrived.push(connection.unwrap()));
        let knock = async move {
            let knock = move || Client::connect_timeout(&addr, LAST_HANDSHAKES / 2);
            tokio::task::spawn_blocking(knock).await.unwrap()
        };
        let ((), late) = tokio::join!(closing, knock);
        let late = late.expect_err("neither connected nor reset");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        let peers: Vec<_> = arrived.iter().map(|(_, peer, _)| *peer).collect();
        assert_eq!(peers, early.map(|client| client.local_addr().unwrap()));
        let gone = Client::connect(addr).expect_err("nobody listens");
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
    }
}
