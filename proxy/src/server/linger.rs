//! A connection's end: the last answer goes out, and what the client is still sending is read and thrown away.
//!
//! Were the socket closed on bytes nobody has read, the kernel would reset the connection and the client might never see
//! the answer.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::connection::unix_ms;
use super::strict::Fault;
use super::watched::Watched;
use crate::answer::Date;

/// How long, and for how many bytes, a client that was answered may go on sending.
pub(super) const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// A connection that ends.
#[derive(Debug)]
pub(super) struct Lingering {
    socket: Watched,
    answer: Vec<u8>,
    shut: bool,
    left: usize,
}

impl Lingering {
    /// After an answer.
    pub(super) fn new(socket: Watched) -> Self {
        Self {
            socket,
            answer: Vec::new(),
            shut: false,
            left: LINGER_BYTES,
        }
    }

    /// With the answer to a request that is refused.
    pub(super) fn refusing(socket: Watched, fault: Fault) -> Self {
        let mut this = Self::new(socket);
        if let Some(status) = fault.status() {
            let before =
                format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\ndate: ");
            this.answer = before.into_bytes();
            this.answer.extend_from_slice(Date::default().at(unix_ms()));
            this.answer.extend_from_slice(b"\r\n\r\n");
        }
        this
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let transport = &mut self.socket.transport;
        while !self.answer.is_empty() {
            match ready!(Pin::new(&mut *transport).poll_write(cx, &self.answer)) {
                Ok(sent @ 1..) => drop(self.answer.drain(..sent)),
                _ => return Poll::Ready(()),
            }
        }
        if !self.shut {
            // hyper shuts our side down at the end of its own accord, but not after an error.
            let _ = ready!(Pin::new(&mut *transport).poll_shutdown(cx));
            self.shut = true;
        }
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        loop {
            let mut read = ReadBuf::uninit(&mut buffer);
            match ready!(Pin::new(transport.tcp_mut()).poll_read(cx, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    match self.left.checked_sub(read.filled().len()) {
                        Some(left) => self.left = left,
                        None => return Poll::Ready(()),
                    }
                }
                _ => return Poll::Ready(()),
            }
        }
    }
}
