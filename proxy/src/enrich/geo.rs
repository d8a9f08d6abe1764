//! Country, region and city of an address, from mmdb files.
//!
//! Each file is read into memory and never mapped: a mapped file that somebody truncates raises SIGBUS. It is read
//! again when it changes; one that cannot be read leaves the one before it in use. Two layouts are known: flat fields
//! (`country_code`, as DB-IP's and other free files have them) and GeoIP2's nested ones. Decoding one as the other gives
//! nothing rather than an error, so each file's layout is found out by trying.
//!
//! [`Geo`] reads the files and belongs to the enricher; [`Databases`] is what it has read, shared with the serving threads,
//! which take nothing but a reference.
//!
//! Nothing is ever downloaded here.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use maxminddb::Reader;
use serde::Deserialize;

/// Longest name kept, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Largest file taken, in bytes: the largest city database there is has a third of that.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Where an address is; what is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2, upper case.
    pub country: String,
    /// Name of the first-level subdivision.
    pub region: String,
    /// Name of the city.
    pub city: String,
}

/// All databases, asked in turn.
#[derive(Debug)]
pub struct Geo {
    files: Vec<GeoFile>,
    databases: Databases,
}

/// The databases as they were read last. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Databases {
    current: Arc<ArcSwap<Vec<Arc<Database>>>>,
    errors: Arc<AtomicU64>,
}

#[derive(Debug)]
struct GeoFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    database: Option<Arc<Database>>,
    problem: Option<String>,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified_ns: (i64, i64),
}

#[derive(Debug)]
struct Database {
    reader: Reader<Vec<u8>>,
    /// One of the constants below.
    layout: AtomicU8,
}

/// Not found out yet.
const UNKNOWN: u8 = 0;
const FLAT: u8 = 1;
const NESTED: u8 = 2;

#[derive(Deserialize)]
struct Flat<'a> {
    #[serde(borrow)]
    country_code: Option<&'a str>,
    #[serde(borrow)]
    state1: Option<&'a str>,
    #[serde(borrow)]
    city: Option<&'a str>,
}

#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    country: Option<Country<'a>>,
    #[serde(borrow)]
    subdivisions: Option<Vec<Named<'a>>>,
    #[serde(borrow)]
    city: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Country<'a> {
    #[serde(borrow)]
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    names: Option<Names<'a>>,
}

#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow)]
    en: Option<&'a str>,
}

impl Geo {
    /// Databases at these paths; none is read yet.
    pub fn new(paths: &[PathBuf]) -> Self {
        let files = paths
            .iter()
            .map(|path| GeoFile {
                path: path.clone(),
                stamp: None,
                database: None,
                problem: Some("not read yet".to_owned()),
            })
            .collect();
        Self {
            files,
            databases: Databases::default(),
        }
    }

    /// Reads what has changed since the last time. Returns whether anything was tried.
    pub fn refresh(&mut self) -> bool {
        let mut tried = false;
        for file in &mut self.files {
            tried |= file.refresh();
        }
        if tried {
            let read = self.files.iter().filter_map(|f| f.database.clone());
            self.databases.current.store(Arc::new(read.collect()));
        }
        tried
    }

    /// Why some of the data is missing or old; `None` when all files are in use as they are.
    pub fn problem(&self) -> Option<String> {
        let problems: Vec<_> = self
            .files
            .iter()
            .filter_map(|f| Some(format!("{}: {}", f.path.display(), f.problem.as_ref()?)))
            .collect();
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    /// Look-ups so far that failed on damaged data.
    pub fn errors(&self) -> u64 {
        self.databases.errors.load(Ordering::Relaxed)
    }

    /// Where `ip` is, as the first database says that knows its country.
    pub fn place(&self, ip: IpAddr) -> Place {
        self.databases.place(ip)
    }

    /// What has been read, now and from now on.
    pub fn databases(&self) -> Databases {
        self.databases.clone()
    }
}

impl Databases {
    /// Where `ip` is, as the first database says that knows its country. Never waits.
    pub fn place(&self, ip: IpAddr) -> Place {
        let ip = ip.to_canonical();
        for database in self.current.load().iter() {
            match database.place(ip) {
                Ok(Some(place)) => return place,
                Ok(None) => {}
                Err(_) => {
                    self.errors.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Place::default()
    }
}

impl GeoFile {
    fn refresh(&mut self) -> bool {
        let stamp = match Stamp::of(&self.path) {
            Ok(stamp) => stamp,
            Err(e) => {
                self.problem = Some(e.to_string());
                self.stamp = None;
                return false;
            }
        };
        if self.stamp == Some(stamp) {
            return false;
        }
        self.stamp = Some(stamp);
        match Database::read(&self.path, stamp.length) {
            Ok(database) => {
                self.database = Some(Arc::new(database));
                self.problem = None;
            }
            Err(problem) => self.problem = Some(problem),
        }
        true
    }
}

impl Stamp {
    /// Of the file at this path.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self {
            device: meta.dev(),
            inode: meta.ino(),
            length: meta.len(),
            modified_ns: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

impl Database {
    fn read(path: &Path, length: u64) -> Result<Self, String> {
        if length > MAX_FILE_BYTES {
            return Err(format!("{length} bytes, at most {MAX_FILE_BYTES} are read"));
        }
        let bytes = fs::read(path).map_err(|e| e.to_string())?;
        let reader = Reader::from_source(bytes).map_err(|e| format!("no geo database: {e}"))?;
        Ok(Self {
            reader,
            layout: AtomicU8::new(UNKNOWN),
        })
    }

    fn place(&self, ip: IpAddr) -> Result<Option<Place>, maxminddb::MaxMindDbError> {
        if ip.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return Ok(None);
        }
        let found = self.reader.lookup(ip)?;
        if !found.has_data() {
            return Ok(None);
        }
        let flat = || -> Result<Option<Place>, maxminddb::MaxMindDbError> {
            Ok(found
                .decode::<Flat<'_>>()?
                .and_then(|f| place(f.country_code, f.state1, f.city)))
        };
        let nested = || -> Result<Option<Place>, maxminddb::MaxMindDbError> {
            Ok(found.decode::<Nested<'_>>()?.and_then(|n| {
                let name =
                    |named: Option<Named<'_>>| named.and_then(|n| n.names?.en.map(str::to_owned));
                let region = n.subdivisions.and_then(|s| name(s.into_iter().next()));
                let city = name(n.city);
                place(n.country?.iso_code, region.as_deref(), city.as_deref())
            }))
        };
        match self.layout.load(Ordering::Relaxed) {
            FLAT => flat(),
            NESTED => nested(),
            _ => {
                if let Ok(Some(place)) = flat() {
                    self.layout.store(FLAT, Ordering::Relaxed);
                    return Ok(Some(place));
                }
                let place = nested()?;
                if place.is_some() {
                    self.layout.store(NESTED, Ordering::Relaxed);
                }
                Ok(place)
            }
        }
    }
}

/// The place, if its country is one.
fn place(country: Option<&str>, region: Option<&str>, city: Option<&str>) -> Option<Place> {
    let country = country.filter(|c| c.len() == 2 && c.bytes().all(|b| b.is_ascii_alphabetic()))?;
    let name = |text: Option<&str>| {
        super::text::bounded(text.unwrap_or_default().as_bytes(), MAX_NAME_BYTES)
    };
    Some(Place {
        country: country.to_ascii_uppercase(),
        region: name(region),
        city: name(city),
    })
}

#[cfg(test)]
pub(crate) mod tests;
