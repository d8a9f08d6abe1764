//! One download: a head, a file, and the end of its connection.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::Opened;
use crate::transport::{Detached, Transport};

/// Time over which a reader's rate is looked at, and the least it must take in it: who takes less holds a place that
/// others wait for. 1 KiB a second, a tenth of what the slowest phone does.
const WINDOW: Duration = Duration::from_secs(60);
const WINDOW_BYTES: u64 = 60 << 10;

/// How long, and for how many bytes, a client that was answered may go on sending before its connection is closed on it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// How a download ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Whole.
    Done,
    /// The client went away.
    Gone,
    /// The client took too little.
    Slow,
    /// The file broke off.
    Broken,
    /// The process ended.
    Ended,
}

impl Sent {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Gone => "gone",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Ended => "ended",
        }
    }
}

/// Sends it all. `stall`: how long the client may take nothing.
pub(super) async fn send(
    stream: Detached,
    head: Vec<u8>,
    mut opened: Opened,
    stall: Duration,
) -> Sent {
    let Ok(stream) = stream.attach() else {
        return Sent::Gone;
    };
    let mut writing = Writing {
        stream,
        stall,
        window_ends: Instant::now() + WINDOW,
        in_window: 0,
    };
    if let Err(sent) = writing.write(&head).await {
        return sent;
    }
    loop {
        let Some(piece) = opened.source.piece().await else {
            // Fewer bytes than the head has said: the client knows that it is not whole.
            return Sent::Broken;
        };
        if piece.is_empty() {
            break;
        }
        if let Err(sent) = writing.write(&piece).await {
            return sent;
        }
    }
    writing.end().await;
    // Its place among the downloads is another's only now: what lingers has a connection and a task, too.
    drop(opened);
    Sent::Done
}

struct Writing {
    stream: Transport,
    stall: Duration,
    window_ends: Instant,
    in_window: u64,
}

impl Writing {
    async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Sent> {
        while !bytes.is_empty() {
            let written = timeout(self.stall, self.stream.write(bytes)).await;
            let written = written.map_err(|_| Sent::Slow)?.map_err(|_| Sent::Gone)?;
            if written == 0 {
                return Err(Sent::Gone);
            }
            bytes = bytes.get(written..).unwrap_or_default();
            self.in_window += written as u64;
            let now = Instant::now();
            if now >= self.window_ends {
                if self.in_window < WINDOW_BYTES {
                    return Err(Sent::Slow);
                }
                self.window_ends = now + WINDOW;
                self.in_window = 0;
            }
        }
        Ok(())
    }

    /// Were the socket closed on bytes nobody has read, the kernel would reset the connection, and the client might never
    /// see the end of its file.
    async fn end(mut self) {
        let reading = async {
            self.stream.shutdown().await?;
            let tcp = self.stream.tcp_mut();
            let mut buffer = [0; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match tcp.read(&mut buffer).await? {
                    0 => break,
                    got => left = left.saturating_sub(got),
                }
            }
            io::Result::Ok(())
        };
        // Whatever comes of it, the file is out. With TLS around it, shutting down flushes.
        let _ = timeout(LINGER, reading).await;
    }
}
