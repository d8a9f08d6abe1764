//! A connection that gives up on a reader that takes nothing: hyper waits for ever, and what waits holds memory, a file
//! descriptor and, for a stream, whatever makes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Longest time that a write may make no progress at all. A proxy reads as fast as it can; this is for one that has
/// stopped without closing, and for hostile clients.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(15);

/// `inner`, with a deadline for the progress of its writes.
#[derive(Debug)]
pub(crate) struct WriteDeadline<S> {
    inner: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteDeadline<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            stalled: None,
        }
    }

    /// What a write came to, unless it has come to nothing for too long.
    fn judge<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if write.is_ready() {
            self.stalled = None;
            return write;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(WRITE_DEADLINE)));
        ready!(stalled.as_mut().poll(cx));
        crate::metrics::slow_reader("connection");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.inner).poll_write(cx, bytes);
        this.judge(cx, write)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let write = Pin::new(&mut this.inner).poll_write_vectored(cx, pieces);
        this.judge(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flush = Pin::new(&mut this.inner).poll_flush(cx);
        this.judge(cx, flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shutdown = Pin::new(&mut this.inner).poll_shutdown(cx);
        this.judge(cx, shutdown)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(10);
        let mut ours = WriteDeadline::new(ours);
        let began = Instant::now();
        let error = ours.write_all(&[0; 100]).await.expect_err("gives up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= WRITE_DEADLINE);
        assert!(began.elapsed() < WRITE_DEADLINE * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_a_little_now_and_then_is_served() {
        let (ours, mut theirs) = tokio::io::duplex(10);
        let mut ours = WriteDeadline::new(ours);
        let reader = tokio::spawn(async move {
            let mut got = Vec::new();
            let mut bytes = [0; 10];
            while let Ok(n @ 1..) = theirs.read(&mut bytes).await {
                got.extend_from_slice(&bytes[..n]);
                sleep(WRITE_DEADLINE / 2).await;
            }
            got
        });
        ours.write_all(&[7; 100]).await.expect("served");
        drop(ours);
        assert_eq!(reader.await.expect("reads"), [7; 100]);
    }
}
