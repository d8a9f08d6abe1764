//! Telling the service manager how the program is: `sd_notify(3)`, a datagram to the socket named in the environment.
//!
//! With `Type=notify` systemd waits for `READY=1` before it starts what depends on us, and for `STOPPING=1` it does not
//! take an end for a failure. Without a service manager all of this does nothing.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use schemas::health::Health;
use schemas::settings::Settings;

/// Where the service manager listens; set by it, not by people.
pub(crate) const SOCKET: &str = "NOTIFY_SOCKET";

/// How often readiness is looked at, until it is told.
const POLL: Duration = Duration::from_millis(50);

/// The service manager, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manager(Option<SocketAddr>);

impl Manager {
    /// Reads the environment's word on it.
    pub(crate) fn from_settings(settings: &mut Settings) -> Self {
        let allowed = "the path of a socket, or @ and the name of one";
        Self(settings.parsed_with(SOCKET, allowed, address))
    }

    /// All parts are ready.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving\n");
    }

    /// It ends because it was asked to.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what has begun\n");
    }

    /// Tells as soon as all parts are ready, from a thread of its own.
    ///
    /// # Errors
    /// No thread.
    pub(crate) fn tell_when_ready(&self, health: Health) -> std::io::Result<()> {
        if self.0.is_none() {
            return Ok(());
        }
        let this = self.clone();
        let waiting = move || {
            while !health.is_ready() {
                std::thread::park_timeout(POLL);
            }
            this.ready();
        };
        // It ends with the process: nothing depends on it.
        std::thread::Builder::new()
            .name("notify".to_owned())
            .spawn(waiting)
            .map(drop)
    }

    fn tell(&self, what: &str) {
        let Some(address) = &self.0 else {
            return;
        };
        let told = UnixDatagram::unbound()
            .and_then(|socket| socket.send_to_addr(what.as_bytes(), address));
        if let Err(error) = told {
            tracing::warn!(%error, "the service manager cannot be told");
        }
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).ok(),
        None if text.starts_with('/') => SocketAddr::from_pathname(text).ok(),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_sockets_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@signpost-test-{}", std::process::id());
        let texts = [path.to_str().unwrap().to_owned(), name];
        for text in texts {
            let bound = address(&text).unwrap();
            let socket = UnixDatagram::bind_addr(&bound).unwrap();
            let mut settings = Settings::new([(SOCKET, text)]);
            let manager = Manager::from_settings(&mut settings);
            settings.check().unwrap();
            let health = Health::new();
            health.not_ready("part", "why");
            manager.tell_when_ready(health.clone()).unwrap();
            health.ready("part");
            let mut told = [0; 100];
            let length = socket.recv(&mut told).unwrap();
            assert!(told[..length].starts_with(b"READY=1\n"));
            manager.stopping();
            let length = socket.recv(&mut told).unwrap();
            assert!(told[..length].starts_with(b"STOPPING=1\n"));
        }
        let mut settings = Settings::new([(SOCKET, "somewhere")]);
        Manager::from_settings(&mut settings);
        assert!(settings.check().is_err());
    }
}
