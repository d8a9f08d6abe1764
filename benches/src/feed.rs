//! A feed of as many links as a machine can hold, made up as they are sent: what a control plane says to a proxy, without
//! a database behind it.
//!
//! Links are numbers. Slug, destination and entry of a number are computed when they are needed, so that a hundred million
//! of them cost this side half a gigabyte (their order by group) and no disk.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use prost::Message as _;
use schemas::feed::{
    Change, Domain, GROUPS, Heartbeat, Hello, Kind, SNAPSHOT_FRAME_BYTES, Salt, Salts, Shared,
    SnapshotBegin, SnapshotEnd, SnapshotGroup, SnapshotRequest, encode_frame, entry_sum, group_of,
    key_hash, paths,
};
use schemas::link::{Entry, Status};

/// The domain that every link is on.
const DOMAIN: u32 = 1;

/// Letters of a slug.
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Letters in a slug, the mean of what platforms hand out.
const SLUG_LETTERS: u32 = 7;

/// Prime to 62^7, so that numbers next to each other get slugs that have nothing in common, and no two the same.
const STRIDE: u128 = 1_580_030_173_247;

/// Bytes of the shortest destination and of the longest; the mean is the 60 that is asked for.
const DESTINATION_BYTES: (u64, u64) = (40, 80);

/// Slug of a link.
pub(crate) fn slug(link: u64) -> String {
    let mut rest = (u128::from(link) * STRIDE) % 62_u128.pow(SLUG_LETTERS);
    let mut slug = String::with_capacity(SLUG_LETTERS as usize);
    for _ in 0..SLUG_LETTERS {
        slug.push(char::from(
            LETTERS.get((rest % 62) as usize).copied().unwrap_or(b'0'),
        ));
        rest /= 62;
    }
    slug
}

/// Where a link leads after its `edit`th edit (0: as it was made).
pub(crate) fn destination(link: u64, edit: u64) -> String {
    let mixed = (link ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let (least, most) = DESTINATION_BYTES;
    let length = (least + (mixed >> 33) % (most - least + 1)) as usize;
    let mut destination = format!("https://destination.example/{mixed:016x}/{edit}/");
    while destination.len() < length {
        destination.push('a');
    }
    destination.truncate(length);
    destination
}

/// Its entry.
fn entry(link: u64, edit: u64) -> anyhow::Result<Vec<u8>> {
    let (slug, destination) = (slug(link), destination(link, edit));
    let mut out = Vec::with_capacity(96);
    Entry {
        domain: DOMAIN,
        slug: slug.as_bytes(),
        destination: destination.as_bytes(),
        link: link + 1,
        workspace: 1,
        status: Status::Found,
        disabled: false,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: b"",
    }
    .encode(&mut out)?;
    Ok(out)
}

/// The links of a first snapshot, in the order of their groups.
struct Links {
    order: Vec<u32>,
    /// Where each group begins in `order`.
    begins: Vec<usize>,
    sums: Vec<u64>,
    /// Bytes of all slugs and destinations.
    payload: u64,
}

impl Links {
    /// Computed by all cores, a part of the numbers each.
    fn new(count: u32) -> anyhow::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        let part = count.div_ceil(threads).max(1);
        let parts: Vec<_> = (0..threads)
            .map(|n| (n * part).min(count)..((n + 1) * part).min(count))
            .collect();
        let done = std::thread::scope(|scope| {
            let parts = parts.into_iter().map(|numbers| {
                scope.spawn(move || {
                    let mut groups = Vec::with_capacity(numbers.len());
                    let (mut sums, mut payload) = (vec![0_u64; GROUPS], 0);
                    for link in numbers.map(u64::from) {
                        let slug = slug(link);
                        let group = group_of(key_hash(DOMAIN, slug.as_bytes()));
                        let sum = sums.get_mut(group).context("no such group")?;
                        *sum = sum.wrapping_add(entry_sum(&entry(link, 0)?));
                        payload += (slug.len() + destination(link, 0).len()) as u64;
                        groups.push(group as u16);
                    }
                    anyhow::Ok((groups, sums, payload))
                })
            });
            let parts: Vec<_> = parts.collect();
            parts
                .into_iter()
                .map(|part| {
                    part.join()
                        .map_err(|_| anyhow::anyhow!("a thread panicked"))?
                })
                .collect::<anyhow::Result<Vec<_>>>()
        })?;
        let mut begins = vec![0; GROUPS + 1];
        let mut sums = vec![0_u64; GROUPS];
        let mut payload = 0;
        for (groups, part_sums, part_payload) in &done {
            for group in groups {
                if let Some(next) = begins.get_mut(usize::from(*group) + 1) {
                    *next += 1;
                }
            }
            for (sum, part) in sums.iter_mut().zip(part_sums) {
                *sum = sum.wrapping_add(*part);
            }
            payload += part_payload;
        }
        let mut total = 0;
        for begin in &mut begins {
            total += *begin;
            *begin = total;
        }
        let mut next = begins.clone();
        let mut order = vec![0; count as usize];
        let groups = done.iter().flat_map(|(groups, ..)| groups);
        for (link, group) in (0..count).zip(groups) {
            let at = next.get_mut(usize::from(*group)).context("no such group")?;
            *order.get_mut(*at).context("no such place")? = link;
            *at += 1;
        }
        Ok(Self {
            order,
            begins,
            sums,
            payload,
        })
    }

    fn group(&self, group: usize) -> &[u32] {
        let begin = self.begins.get(group).copied().unwrap_or(0);
        let end = self.begins.get(group + 1).copied().unwrap_or(begin);
        self.order.get(begin..end).unwrap_or_default()
    }
}

struct State {
    seq: u64,
    /// Nobody is answered.
    down: bool,
    /// The proxy that follows.
    follower: Option<TcpStream>,
}

/// The feed.
pub(crate) struct Feed {
    /// Where it is.
    pub(crate) addr: SocketAddr,
    shared: Arc<(Links, Mutex<State>)>,
}

impl Feed {
    /// Makes up `links` links, and serves them.
    pub(crate) fn start(links: u32) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let addr = listener.local_addr()?;
        let state = State {
            seq: 1,
            down: false,
            follower: None,
        };
        let shared = Arc::new((Links::new(links)?, Mutex::new(state)));
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let served = Arc::clone(&served);
                // A proxy that hangs up ends its thread, and that is all.
                std::thread::spawn(move || drop(answer(stream, &served)));
            }
        });
        let beating = Arc::downgrade(&shared);
        std::thread::spawn(move || {
            while let Some(shared) = beating.upgrade() {
                let mut state = lock(&shared.1);
                let seq = state.seq;
                // Whoever is gone is found out by the next change.
                let _ = send(&mut state, Kind::Heartbeat(Heartbeat { seq, time_ms: 0 }));
                drop(state);
                drop(shared);
                std::thread::park_timeout(Duration::from_secs(1));
            }
        });
        Ok(Self { addr, shared })
    }

    /// Bytes of all slugs and destinations of the first snapshot.
    pub(crate) fn payload(&self) -> u64 {
        self.shared.0.payload
    }

    /// Hangs up and answers nobody, or answers again.
    pub(crate) fn set_down(&self, down: bool) {
        let mut state = lock(&self.shared.1);
        state.down = down;
        if let Some(follower) = state.follower.take() {
            let _ = follower.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Whether a proxy follows.
    pub(crate) fn is_followed(&self) -> bool {
        lock(&self.shared.1).follower.is_some()
    }

    /// Sends one transaction: each link with the number of its edit. Blocks while the proxy is behind.
    ///
    /// # Errors
    /// Nobody follows.
    pub(crate) fn change(&self, links: impl Iterator<Item = (u64, u64)>) -> anyhow::Result<()> {
        let upsert = links.map(|(link, edit)| Ok(entry(link, edit)?.into()));
        let upsert = upsert.collect::<anyhow::Result<_>>()?;
        let mut state = lock(&self.shared.1);
        state.seq += 1;
        let seq = state.seq;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let change = Change {
            seq,
            change: change_id(seq),
            committed_at_ms: now.as_millis() as i64,
            upsert,
            delete: Vec::new(),
            shared: None,
        };
        send(&mut state, Kind::Change(change))
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn change_id(seq: u64) -> bytes::Bytes {
    [seq.to_le_bytes(), [7; 8]].concat().into()
}

fn send(state: &mut State, kind: Kind) -> anyhow::Result<()> {
    let frame = encode_frame(kind)?;
    let follower = state.follower.as_mut().context("nobody follows")?;
    follower.write_all(&frame)?;
    Ok(())
}

fn answer(mut stream: TcpStream, (links, state): &(Links, Mutex<State>)) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut target = String::new();
    reader.read_line(&mut target)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        anyhow::ensure!(reader.read_line(&mut line)? > 0, "half a head");
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let known = lock(state).seq;
    if lock(state).down {
        return Ok(());
    }
    if target.contains(paths::FEED) {
        let after = format!("after={known}&change={}", hex(&change_id(known)));
        write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
        let hello = Hello {
            seq: known,
            change: change_id(known),
            resumed: target.contains(&after),
        };
        stream.write_all(&encode_frame(Kind::Hello(hello))?)?;
        lock(state).follower = Some(stream);
        return Ok(());
    }
    if target.contains(paths::SNAPSHOT) {
        anyhow::ensure!(known == 1, "the links have changed since");
        write!(stream, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
        let held = SnapshotRequest::decode(body.as_slice())?.group_sum;
        return snapshot(stream, links, &held);
    }
    write!(
        stream,
        "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )?;
    Ok(())
}

fn snapshot(mut stream: TcpStream, links: &Links, held: &[u64]) -> anyhow::Result<()> {
    let mut put = |kind| anyhow::Ok(stream.write_all(&encode_frame(kind)?)?);
    put(Kind::SnapshotBegin(SnapshotBegin {
        seq: 1,
        change: change_id(1),
        group_sum: links.sums.clone(),
    }))?;
    put(Kind::Shared(Shared {
        domain: vec![Domain {
            id: DOMAIN,
            host: "go.example".to_owned(),
            live: true,
            is_default: true,
            ..Domain::default()
        }],
        salts: Some(Salts {
            salt: vec![Salt {
                starts_at_ms: 0,
                ends_at_ms: i64::MAX,
                key: vec![7; 32].into(),
            }],
        }),
        ..Shared::default()
    }))?;
    for (group, sum) in links.sums.iter().enumerate() {
        if held.get(group).copied().unwrap_or(0) == *sum {
            continue;
        }
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for link in links.group(group) {
            let entry = entry(u64::from(*link), 0)?;
            bytes += entry.len();
            entries.push(entry.into());
            if bytes >= SNAPSHOT_FRAME_BYTES {
                bytes = 0;
                put(Kind::Group(SnapshotGroup {
                    group: group as u32,
                    entry: std::mem::take(&mut entries),
                    last: false,
                }))?;
            }
        }
        put(Kind::Group(SnapshotGroup {
            group: group as u32,
            entry: entries,
            last: true,
        }))?;
    }
    put(Kind::SnapshotEnd(SnapshotEnd {
        links: links.order.len() as u64,
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
