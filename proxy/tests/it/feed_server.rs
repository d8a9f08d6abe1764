//! A control plane's feed, as small as it can be: a model of the database behind `schemas::feed`, and ways to break
//! every byte it sends.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use prost::Message as _;
use schemas::feed::{
    self, Change, GROUPS, Heartbeat, Hello, Key, Kind, Shared, SnapshotBegin, SnapshotEnd,
    SnapshotGroup, SnapshotRequest, encode_frame, entry_sum, group_of, key_hash,
};
use schemas::link::{Entry, Status};

pub(crate) const TOKEN: &str = "feed-token";

/// How often the test's feed says that it is alive.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// Changes what is sent: the path asked for, and the bytes.
pub(crate) type Mangle = Box<dyn FnMut(&str, Vec<u8>) -> Vec<u8> + Send>;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) links: BTreeMap<(u32, Vec<u8>), Vec<u8>>,
    domains: BTreeMap<u32, feed::Domain>,
    suspended: BTreeMap<u64, bool>,
    salts: Vec<feed::Salt>,
    pages: BTreeMap<u64, feed::Page>,
    cookie_keys: Option<feed::CookieKeys>,
    /// By hash in hex.
    pub(crate) blobs: BTreeMap<String, Vec<u8>>,
    /// Limit and visits handed out, by link.
    pub(crate) limits: BTreeMap<u64, (u64, u64)>,
    /// Visits handed out with one answer, at most.
    pub(crate) grant: u64,
    pub(crate) leases_fail: bool,
    /// Heads and bodies of forms passed on.
    pub(crate) forms: Vec<(String, String)>,
    seq: u64,
    /// Id of each transaction since the beginning of this history.
    ids: BTreeMap<u64, Vec<u8>>,
    changes: BTreeMap<u64, Change>,
    /// Connections are hung up when this moves on.
    generation: u64,
    pub(crate) down: bool,
    pub(crate) mute: bool,
    pub(crate) mangle: Option<Mangle>,
    pub(crate) snapshots: u64,
    pub(crate) groups_sent: u64,
    pub(crate) follows: u64,
}

pub(crate) struct FeedServer {
    addr: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

/// A plain link on domain 1.
pub(crate) fn link(slug: &str, destination: &str) -> Vec<u8> {
    encode(&entry(slug, destination))
}

pub(crate) fn entry<'a>(slug: &'a str, destination: &'a str) -> Entry<'a> {
    Entry {
        domain: 1,
        slug: slug.as_bytes(),
        destination: destination.as_bytes(),
        link: 1,
        workspace: 1,
        status: Status::Found,
        disabled: false,
        utm: false,
        starts_at_ms: i64::MIN,
        expires_at_ms: i64::MAX,
        expired_url: b"",
        plan: b"",
    }
}

pub(crate) fn encode(entry: &Entry<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    entry.encode(&mut out).expect("legal");
    out
}

pub(crate) fn domain(id: u32, host: &str) -> feed::Domain {
    feed::Domain {
        id,
        host: host.to_owned(),
        live: true,
        is_default: id == 1,
        ..Default::default()
    }
}

impl FeedServer {
    /// A database with a default domain and no links.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("port");
        let addr = listener.local_addr().expect("bound");
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let server = Self {
            addr,
            state: Arc::clone(&state),
        };
        server.transaction(
            vec![],
            vec![],
            Some(Shared {
                domain: vec![domain(1, "go.test")],
                salts: Some(feed::Salts {
                    salt: vec![feed::Salt {
                        starts_at_ms: 0,
                        ends_at_ms: i64::MAX,
                        key: vec![7; 32].into(),
                    }],
                }),
                ..Default::default()
            }),
        );
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                thread::spawn(move || {
                    // A proxy that hangs up is none of our business.
                    let _ = serve(stream, &state);
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().expect("state")
    }

    /// One transaction; returns its sequence number.
    pub(crate) fn transaction(
        &self,
        upsert: Vec<Vec<u8>>,
        delete: Vec<(u32, &str)>,
        shared: Option<Shared>,
    ) -> u64 {
        let mut state = self.lock();
        for bytes in &upsert {
            let e = Entry::parse(bytes).expect("legal");
            state
                .links
                .insert((e.domain, e.slug.to_vec()), bytes.clone());
        }
        for (domain, slug) in &delete {
            state.links.remove(&(*domain, slug.as_bytes().to_vec()));
        }
        if let Some(shared) = &shared {
            for domain in &shared.domain {
                state.domains.insert(domain.id, domain.clone());
            }
            for workspace in &shared.workspace {
                state.suspended.insert(workspace.id, workspace.suspended);
            }
            for page in &shared.page {
                state.pages.insert(page.id, page.clone());
            }
            for id in &shared.page_delete {
                state.pages.remove(id);
            }
            if let Some(keys) = &shared.cookie_keys {
                state.cookie_keys = Some(keys.clone());
            }
            if let Some(salts) = &shared.salts {
                state.salts = salts.salt.clone();
            }
        }
        state.seq += 1;
        let (seq, mut id) = (state.seq, vec![0; 16]);
        getrandom::fill(&mut id).expect("random");
        state.ids.insert(seq, id.clone());
        let delete = delete.into_iter().map(|(domain, slug)| Key {
            domain,
            slug: slug.as_bytes().to_vec().into(),
        });
        let change = Change {
            seq,
            change: id.into(),
            committed_at_ms: 0,
            upsert: upsert.into_iter().map(Into::into).collect(),
            delete: delete.collect(),
            shared,
        };
        state.changes.insert(seq, change);
        drop(state);
        self.state.1.notify_all();
        seq
    }

    pub(crate) fn put(&self, slug: &str, destination: &str) {
        self.transaction(vec![link(slug, destination)], vec![], None);
    }

    /// The feed is gone: connections are cut, new ones closed at once.
    pub(crate) fn down(&self) {
        let mut state = self.lock();
        state.down = true;
        state.generation += 1;
        drop(state);
        self.state.1.notify_all();
    }

    pub(crate) fn up(&self) {
        self.lock().down = false;
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.lock().generation += 1;
        self.state.1.notify_all();
    }

    /// The database forgets every transaction so far but not its state: nobody can resume.
    pub(crate) fn forget_history(&self) {
        let mut state = self.lock();
        state.ids.clear();
        state.changes.clear();
    }

    pub(crate) fn mangle(&self, mangle: impl FnMut(&str, Vec<u8>) -> Vec<u8> + Send + 'static) {
        self.lock().mangle = Some(Box::new(mangle));
    }
}

impl State {
    /// As if the database had been restored from a backup: this many transactions, none with an id of before.
    pub(crate) fn restore(&mut self, seq: u64) {
        self.seq = seq;
        self.changes.clear();
        self.ids = (1..=seq).map(|seq| (seq, vec![seq as u8; 16])).collect();
    }

    fn shared(&self) -> Shared {
        Shared {
            domain: self.domains.values().cloned().collect(),
            domain_delete: vec![],
            workspace: self
                .suspended
                .iter()
                .map(|(id, suspended)| feed::Workspace {
                    id: *id,
                    suspended: *suspended,
                })
                .collect(),
            salts: Some(feed::Salts {
                salt: self.salts.clone(),
            }),
            page: self.pages.values().cloned().collect(),
            page_delete: vec![],
            cookie_keys: self.cookie_keys.clone(),
        }
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Vec<u8> {
        let mut groups: Vec<Vec<Vec<u8>>> = vec![vec![]; GROUPS];
        for ((domain, slug), bytes) in &self.links {
            groups[group_of(key_hash(*domain, slug))].push(bytes.clone());
        }
        let sums: Vec<u64> = groups
            .iter()
            .map(|g| {
                g.iter()
                    .fold(0_u64, |sum, e| sum.wrapping_add(entry_sum(e)))
            })
            .collect();
        self.snapshots += 1;
        let id = self.ids.get(&self.seq).cloned().unwrap_or(vec![9; 16]);
        let mut out = Vec::new();
        let mut put = |kind| out.extend(encode_frame(kind).expect("small"));
        put(Kind::SnapshotBegin(SnapshotBegin {
            seq: self.seq,
            change: id.into(),
            group_sum: sums.clone(),
        }));
        put(Kind::Shared(self.shared()));
        for (number, group) in groups.iter().enumerate() {
            if request.group_sum.get(number).copied().unwrap_or(0) == sums[number] {
                continue;
            }
            self.groups_sent += 1;
            let half = group.len() / 2;
            for (part, last) in [(&group[..half], false), (&group[half..], true)] {
                put(Kind::Group(SnapshotGroup {
                    group: number as u32,
                    entry: part.iter().map(|e| e.clone().into()).collect(),
                    last,
                }));
            }
        }
        put(Kind::SnapshotEnd(SnapshotEnd {
            links: self.links.len() as u64,
        }));
        out
    }

    /// Hands out visits as a control plane does.
    fn lease(&mut self, request: &feed::LeaseRequest) -> feed::LeaseReply {
        for unused in &request.unused {
            let (_, handed) = self.limits.get_mut(&unused.link).expect("a link");
            *handed = handed
                .checked_sub(unused.visits)
                .expect("no more than it got");
        }
        let grant = self.grant.max(1);
        let mut lease = |link: &u64| {
            let (max, handed) = self.limits.get_mut(link).expect("a link");
            let visits = grant.min(*max - *handed);
            *handed += visits;
            feed::Lease {
                link: *link,
                visits,
                max: *max,
            }
        };
        feed::LeaseReply {
            lease: request.ask.iter().map(&mut lease).collect(),
        }
    }

    fn mangled(&mut self, path: &str, bytes: Vec<u8>) -> Vec<u8> {
        match &mut self.mangle {
            Some(mangle) => mangle(path, bytes),
            None => bytes,
        }
    }
}

fn serve(mut stream: TcpStream, state: &(Mutex<State>, Condvar)) -> std::io::Result<()> {
    let (head, body) = read_request(&mut stream)?;
    let first = head.lines().next().unwrap_or_default().to_owned();
    let (lock, changed) = state;
    let mut guard = lock.lock().expect("state");
    if guard.down {
        return Ok(());
    }
    if !head.contains(&format!("Bearer {TOKEN}")) {
        return stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
    }
    let ok = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let target = first.split(' ').nth(1).unwrap_or_default();
    if first.starts_with("POST ") && target == feed::paths::SNAPSHOT {
        let request = SnapshotRequest::decode(&body[..]).expect("a request of ours");
        let bytes = guard.snapshot(&request);
        let bytes = guard.mangled("snapshot", bytes);
        drop(guard);
        stream.write_all(ok)?;
        return stream.write_all(&bytes);
    }
    let whole = |status: &str, head: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\n{head}content-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    if let Some(hash) = target.strip_prefix(feed::paths::BLOBS) {
        let bytes = guard.blobs.get(hash.trim_start_matches('/')).cloned();
        drop(guard);
        let range = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": bytes=")?;
            let (first, last) = value.trim().split_once('-')?;
            let range: (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            name.eq_ignore_ascii_case("range").then_some(range)
        });
        return stream.write_all(&match bytes {
            Some(bytes) if range.is_some_and(|(_, last)| last < bytes.len()) => {
                let (first, last) = range.expect("a range");
                whole("206 Partial Content", "", &bytes[first..=last])
            }
            Some(bytes) => whole("200 OK", "", &bytes),
            None => whole("404 Not Found", "", b""),
        });
    }
    if target == feed::paths::LEASES {
        if guard.leases_fail {
            return Ok(());
        }
        let request = feed::LeaseRequest::decode(&body[..]).expect("a request of ours");
        let reply = guard.lease(&request);
        drop(guard);
        return stream.write_all(&whole("200 OK", "", &reply.encode_to_vec()));
    }
    if target.starts_with(feed::paths::VISITOR) {
        let form = String::from_utf8_lossy(&body).into_owned();
        guard.forms.push((head.clone(), form));
        drop(guard);
        let head = "content-type: text/html\r\nset-cookie: secret=1\r\n";
        return stream.write_all(&whole("200 OK", head, b"thank you"));
    }
    assert!(target.starts_with(feed::paths::FEED), "{target}");
    guard.follows += 1;
    let query: BTreeMap<_, _> = target
        .split_once('?')
        .expect("query")
        .1
        .split('&')
        .filter_map(|p| p.split_once('='))
        .collect();
    let mut sent: u64 = query["after"].parse().expect("number");
    let id = hex::decode(query["change"]).expect("hex");
    let resumed = guard.ids.get(&sent) == Some(&id);
    let hello = Hello {
        seq: guard.seq,
        change: guard
            .ids
            .get(&guard.seq)
            .cloned()
            .unwrap_or_default()
            .into(),
        resumed,
    };
    stream.write_all(ok)?;
    let bytes = encode_frame(Kind::Hello(hello)).expect("small");
    let bytes = guard.mangled("hello", bytes);
    stream.write_all(&bytes)?;
    if !resumed {
        return Ok(());
    }
    let generation = guard.generation;
    loop {
        if guard.generation != generation {
            return Ok(());
        }
        let mut bytes = Vec::new();
        while let Some(change) = guard.changes.get(&(sent + 1)).cloned() {
            bytes.extend(encode_frame(Kind::Change(change)).expect("small"));
            sent += 1;
        }
        if bytes.is_empty() && !guard.mute {
            let heartbeat = Heartbeat {
                seq: guard.seq,
                time_ms: 0,
            };
            bytes = encode_frame(Kind::Heartbeat(heartbeat)).expect("small");
        }
        let bytes = guard.mangled("feed", bytes);
        stream.write_all(&bytes)?;
        guard = changed.wait_timeout(guard, HEARTBEAT).expect("state").0;
    }
}

fn read_request(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..got]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_string();
        let length = head
            .lines()
            .filter_map(|l| {
                l.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(str::to_owned)
            })
            .find_map(|v| v.trim().parse::<usize>().ok())
            .unwrap_or(0);
        if bytes.len() >= end + 4 + length {
            return Ok((head, bytes[end + 4..].to_vec()));
        }
    }
}
