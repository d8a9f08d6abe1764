//! A visitor's connection: a TCP socket, with or without TLS around it.
//!
//! Redirects and downloads, which run on threads of different runtimes, speak through the same type.

use std::io;
use std::net::TcpStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The connection.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Cleartext.
    Plain(TcpStream),
    /// TLS, its handshake done.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Whether nobody between the visitor and us can read along.
    #[inline]
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The socket: what is read and written there is not what the client means when there is TLS around it.
    pub(crate) fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_mut().0,
        }
    }

    /// Takes it off this thread's runtime.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Plain(stream) => Ok(Detached::Plain(stream.into_std()?)),
            Self::Tls(stream) => {
                // A second descriptor of the same socket: a TLS stream is never without one.
                let copy = SockRef::from(stream.get_ref().0).try_clone()?;
                Ok(Detached::Tls(stream, copy.into()))
            }
        }
    }
}

/// A connection on its way from one runtime to another.
#[derive(Debug)]
pub(crate) enum Detached {
    Plain(StdStream),
    Tls(Box<TlsStream<TcpStream>>, StdStream),
}

impl Detached {
    /// Puts it onto this thread's runtime.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn attach(self) -> io::Result<Transport> {
        match self {
            Self::Plain(stream) => TcpStream::from_std(stream).map(Transport::Plain),
            Self::Tls(mut stream, copy) => {
                *stream.get_mut().0 = TcpStream::from_std(copy)?;
                Ok(Transport::Tls(stream))
            }
        }
    }
}

impl AsyncRead for Transport {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
