//! Certificates on disk.
//!
//! | in the folder | is |
//! | --- | --- |
//! | `<any>.crt`, `.pem` or `.cert` with `<any>.key` beside it | a certificate and its key |
//! | `<any>/fullchain.pem` with `<any>/privkey.pem` | the same, as certbot and its like lay them out |

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use metrics::counter;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use schemas::settings::{SettingError, SettingErrors};
use webpki::EndEntityCert;

use super::Chosen;
use crate::config::{Pair, Tls};
use crate::enrich::Stamp;
use crate::metrics as names;

/// Most certificates of a folder: more domains than one proxy ever had.
const MOST: usize = 50_000;

/// Largest file, in bytes: a chain has some 10 KiB.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Files, as they were read last.
#[derive(Debug)]
pub(super) struct Files {
    config: Tls,
    provider: Arc<CryptoProvider>,
    read: BTreeMap<Pair, Read>,
}

#[derive(Debug)]
struct Read {
    stamps: Stamps,
    key: Option<Arc<CertifiedKey>>,
    problem: Option<String>,
}

/// Of the certificate and of its key; `None`: there is no such file.
type Stamps = [Option<Stamp>; 2];

impl Files {
    pub(super) fn new(config: &Tls, provider: Arc<CryptoProvider>) -> Self {
        Self {
            config: config.clone(),
            provider,
            read: BTreeMap::new(),
        }
    }

    /// Whether one of them is not as it was read.
    pub(super) fn have_changed(&self) -> bool {
        let pairs = self.pairs();
        pairs.len() != self.read.len()
            || pairs.iter().any(|pair| {
                self.read
                    .get(pair)
                    .is_none_or(|read| read.stamps != stamps(pair))
            })
    }

    /// Reads what has changed; all certificates by name.
    pub(super) fn read(&mut self) -> Chosen {
        let pairs = self.pairs();
        let mut before = std::mem::take(&mut self.read);
        for pair in pairs {
            let stamps = stamps(&pair);
            let read = match before.remove(&pair) {
                Some(read) if read.stamps == stamps => read,
                before => self.read_pair(&pair, stamps, before),
            };
            self.read.insert(pair, read);
        }
        let mut chosen = Chosen::default();
        for (pair, read) in &self.read {
            let Some(key) = &read.key else {
                continue;
            };
            let of_settings = self.config.pair.as_ref() == Some(pair);
            if of_settings {
                chosen.default = Some(Arc::clone(key));
            }
            for name in names_of(key) {
                // One that stands in the folder is meant for its names.
                let place = chosen.by_name.entry(name.into());
                match of_settings {
                    true => drop(place.or_insert_with(|| Arc::clone(key))),
                    false => drop(place.insert_entry(Arc::clone(key))),
                }
            }
        }
        chosen
    }

    /// What is wrong with the certificate that the settings name.
    pub(super) fn problem_of_settings(&self) -> Option<SettingErrors> {
        let pair = self.config.pair.as_ref()?;
        let problem = self.read.get(pair)?.problem.as_ref()?;
        Some(SettingErrors(vec![SettingError {
            name: "SIGNPOST_TLS_CERT".to_owned(),
            value: pair.certificates.display().to_string(),
            allowed: format!(
                "a certificate with its key in SIGNPOST_TLS_KEY='{}' ({problem})",
                pair.key.display()
            ),
        }]))
    }

    fn read_pair(&self, pair: &Pair, stamps: Stamps, before: Option<Read>) -> Read {
        let (key, problem) = match load(pair, &self.provider) {
            Ok(key) => {
                counter!(names::CERTIFICATES, "result" => "loaded").increment(1);
                tracing::info!(file = %pair.certificates.display(), "certificate read");
                (Some(Arc::new(key)), None)
            }
            Err(error) => {
                counter!(names::CERTIFICATES, "result" => "failed").increment(1);
                let problem = format!("{error:#}");
                tracing::warn!(file = %pair.certificates.display(), problem, "certificate not read");
                (before.and_then(|read| read.key), Some(problem))
            }
        };
        Read {
            stamps,
            key,
            problem,
        }
    }

    fn pairs(&self) -> Vec<Pair> {
        let mut pairs: Vec<_> = self.config.pair.iter().cloned().collect();
        let folder = self.config.folder.as_deref();
        // A folder that is gone for a moment: those it had are gone as well, and come back with it.
        let entries = match folder.map(fs::read_dir) {
            Some(Ok(entries)) => entries,
            // It is there and cannot be read: no descriptors, or rights that are just being changed.
            Some(Err(error)) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, "the folder of certificates cannot be read");
                let of_settings = self.config.pair.as_ref();
                let before = self.read.keys().filter(|pair| Some(*pair) != of_settings);
                pairs.extend(before.cloned());
                return pairs;
            }
            _ => return pairs,
        };
        let found = entries
            .filter_map(|entry| in_folder(&entry.ok()?.path()))
            .take(MOST);
        pairs.extend(found);
        pairs
    }
}

fn in_folder(path: &Path) -> Option<Pair> {
    let pair = if path.is_dir() {
        Pair {
            certificates: path.join("fullchain.pem"),
            key: path.join("privkey.pem"),
        }
    } else {
        let ending = path.extension()?.to_str()?;
        ["crt", "pem", "cert"].contains(&ending).then(|| Pair {
            certificates: path.to_owned(),
            key: path.with_extension("key"),
        })?
    };
    (pair.certificates.is_file() && pair.key.is_file()).then_some(pair)
}

fn stamps(pair: &Pair) -> Stamps {
    [&pair.certificates, &pair.key].map(|path| Stamp::of(path).ok())
}

fn load(pair: &Pair, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let chain = contents(&pair.certificates)?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .context("no certificates in PEM form")?;
    let key = contents(&pair.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).context("no key in PEM form")?;
    let key = CertifiedKey::from_der(chain, key, provider)
        .context("the key is of no known kind, or another certificate's")?;
    // A chain without a beginning is found out here.
    key.end_entity_cert().context("no certificate in it")?;
    Ok(key)
}

fn contents(path: &Path) -> anyhow::Result<Vec<u8>> {
    let cannot = || format!("{}: cannot be read", path.display());
    let length = fs::metadata(path).with_context(cannot)?.len();
    anyhow::ensure!(length <= MAX_FILE_BYTES, "{}: too large", path.display());
    fs::read(path).with_context(cannot)
}

/// The names a certificate is for, in lower case.
fn names_of(key: &CertifiedKey) -> Vec<String> {
    let Some(Ok(certificate)) = key.cert.first().map(EndEntityCert::try_from) else {
        return Vec::new();
    };
    let names = certificate.valid_dns_names();
    names.map(str::to_ascii_lowercase).collect()
}
