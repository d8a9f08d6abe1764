//! haproxy in front of proxies and control planes, as an operator writes it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Servers behind one address: name, address, and where to ask whether it is well (`None`: there).
pub(crate) type Servers<'a> = &'a [(String, SocketAddr, Option<SocketAddr>)];

/// Writes haproxy's configuration. Only what could not be connected to is tried again elsewhere: a visit that a proxy
/// may have seen is not sent twice.
pub(crate) fn configure(
    folder: &Path,
    (visitors, proxies): (SocketAddr, Servers<'_>),
    (api, control_planes): (SocketAddr, Servers<'_>),
) -> anyhow::Result<PathBuf> {
    let mut text = "\
global
  maxconn 4000
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 20s
  timeout check 3s
  retries 5
  retry-on conn-failure
  option redispatch 1
  option forwardfor
"
    .to_owned();
    // A proxy without Kafka is not ready and serves all the same; a control plane that ends says so before it closes.
    for (name, addr, servers, check) in [
        ("visitors", visitors, proxies, "/robots.txt"),
        ("api", api, control_planes, "/ready"),
    ] {
        write!(
            text,
            "frontend {name}\n  bind {addr}\n  default_backend {name}_servers\n\
             backend {name}_servers\n  balance roundrobin\n  option httpchk GET {check}\n"
        )?;
        for (server, addr, asked) in servers {
            let port = asked.map_or(String::new(), |a| format!(" port {}", a.port()));
            writeln!(
                text,
                "  server {server} {addr} check{port} inter 200ms fall 3 rise 1"
            )?;
        }
    }
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
