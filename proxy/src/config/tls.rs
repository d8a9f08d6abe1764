//! Where visitors come in over TLS, and with which certificates.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemas::settings::Settings;

/// Port of TLS where no address is given.
const PORT: u16 = 8443;

/// TLS for visitors.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Where they come in (`SIGNPOST_TLS_ADDR`). Port 0 takes a free one.
    pub addr: SocketAddr,
    /// The certificate for every name that has none of its own (`SIGNPOST_TLS_CERT`, `SIGNPOST_TLS_KEY`).
    pub pair: Option<Pair>,
    /// Folder of certificates, chosen by the names in them (`SIGNPOST_TLS_DIR`).
    pub folder: Option<PathBuf>,
}

/// Files of one certificate, PEM.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// The certificate, and those between it and a root.
    pub certificates: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Tls {
    pub(super) fn from_settings(settings: &mut Settings, visitors: SocketAddr) -> Option<Self> {
        let addr = settings.parsed(
            "SIGNPOST_TLS_ADDR",
            SocketAddr::new(visitors.ip(), PORT),
            "an address and port, e.g. 0.0.0.0:443",
        );
        let path = |name| settings.text(name).map(PathBuf::from);
        let certificates = path("SIGNPOST_TLS_CERT");
        let key = path("SIGNPOST_TLS_KEY");
        let folder = path("SIGNPOST_TLS_DIR");
        let pair = match (certificates, key) {
            (Some(certificates), Some(key)) => Some(Pair { certificates, key }),
            (None, None) => None,
            (Some(file), None) => {
                let file = file.display().to_string();
                settings.reject(
                    "SIGNPOST_TLS_CERT",
                    file,
                    "with SIGNPOST_TLS_KEY, or neither",
                );
                None
            }
            (None, Some(file)) => {
                let file = file.display().to_string();
                settings.reject(
                    "SIGNPOST_TLS_KEY",
                    file,
                    "with SIGNPOST_TLS_CERT, or neither",
                );
                None
            }
        };
        (pair.is_some() || folder.is_some()).then_some(Self { addr, pair, folder })
    }
}
