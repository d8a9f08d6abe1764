//! The floor: a bare epoll loop that answers every request with the same bytes and does nothing else.
//!
//! It looks for the end of the request's head and writes. No parsing, no look-up, no record: what the kernel costs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::event::epoll;

/// Serves until it is killed. Prints its port on the first line of standard output.
pub(crate) fn serve(answer: &Path) -> anyhow::Result<()> {
    let answer = std::fs::read(answer)?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
    std::io::stdout().flush()?;
    listener.set_nonblocking(true)?;

    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(
        &poll,
        &listener,
        epoll::EventData::new_u64(u64::MAX),
        epoll::EventFlags::IN,
    )?;
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut out = Vec::new();
    let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let token = event.data.u64();
            if token == u64::MAX {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let data = epoll::EventData::new_u64(connections.len() as u64);
                    epoll::add(&poll, stream.as_fd(), data, epoll::EventFlags::IN)?;
                    connections.push(Some(stream));
                }
                continue;
            }
            let Some(slot) = connections.get_mut(token as usize) else {
                continue;
            };
            let Some(stream) = slot else { continue };
            match stream.read(&mut buffer) {
                Ok(0) => *slot = None,
                Ok(read) => {
                    // The generator writes whole heads, so each read holds whole ones.
                    let heads = buffer
                        .get(..read)
                        .unwrap_or_default()
                        .windows(4)
                        .filter(|w| w == b"\r\n\r\n")
                        .count();
                    out.clear();
                    for _ in 0..heads {
                        out.extend_from_slice(&answer);
                    }
                    stream.write_all(&out)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => *slot = None,
            }
        }
    }
}
