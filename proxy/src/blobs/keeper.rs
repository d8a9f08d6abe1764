//! The blobs' thread: fetches what the link table names, loads what visitors ask for.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, Method, StatusCode};
use metrics::counter;
use schemas::link::Entry;
use schemas::link::plan::MAX_BLOB_BYTES;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::disk::{Disk, is_whole};
use super::{Blobs, Message, named, named_by_pages, path_of};
use crate::feed::Caller;
use crate::metrics as names;
use crate::pages::BlobHash;
use crate::table::{Current, PIECES};

/// Blobs fetched at once: enough to hide a distance, few enough to leave the control plane to others.
const FETCHES: usize = 4;

/// Longest fetch of one blob.
const FETCH_DEADLINE: Duration = Duration::from_secs(20);

/// How often what could not be fetched is tried again.
const AGAIN_EVERY: Duration = Duration::from_secs(2);

type Fetched = (BlobHash, Option<Bytes>);

pub(super) struct Keeper {
    disk: Disk,
    caller: Caller,
    table: Current,
    blobs: Arc<Blobs>,
    /// All that the link table names, for what is kept on disk; what it no longer names stays in here until the next
    /// look at all of it.
    wanted: HashSet<BlobHash>,
    /// To be fetched, the last first: what a visitor waits for came last.
    queue: Vec<BlobHash>,
    failed: Vec<BlobHash>,
    underway: HashMap<BlobHash, Vec<oneshot::Sender<Option<Bytes>>>>,
}

impl Keeper {
    pub(super) fn new(disk: Disk, caller: Caller, table: Current, blobs: Arc<Blobs>) -> Self {
        Self {
            disk,
            caller,
            table,
            blobs,
            wanted: HashSet::new(),
            queue: Vec::new(),
            failed: Vec::new(),
            underway: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Message>) {
        let mut fetches: FuturesUnordered<Pin<Box<dyn Future<Output = Fetched>>>> =
            FuturesUnordered::new();
        let mut again = interval(AGAIN_EVERY);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while fetches.len() < FETCHES
                && let Some(hash) = self.queue.pop()
            {
                self.underway.entry(hash).or_default();
                fetches.push(Box::pin(fetch(self.caller.clone(), hash)));
            }
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.hear(message),
                    None => return,
                },
                Some((hash, bytes)) = fetches.next() => self.fetched(hash, bytes),
                _ = again.tick() => self.queue.append(&mut self.failed),
            }
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Wanted(hashes) => {
                for hash in hashes {
                    self.wanted.insert(hash);
                    self.want(hash);
                }
            }
            Message::LookAtAll => {
                let table = self.table.load_full();
                let mut all = Vec::new();
                named_by_pages(table.shared().pages(), &mut all);
                table.for_each_in(0..PIECES, |_, bytes| {
                    if let Ok((entry, _)) = Entry::read(bytes) {
                        named(&entry, &mut all);
                    }
                });
                self.wanted = all.iter().copied().collect();
                for hash in all {
                    self.want(hash);
                }
            }
            Message::Locate(hash, answer) => {
                let _ = answer.send(self.disk.touch(&hash));
            }
            Message::Adopted(hash, bytes) => self.disk.adopt(&hash, bytes, &self.wanted),
            Message::Load(hash, answer) => {
                // Read by another visitor's wish in the meantime?
                let bytes = self.blobs.get(&hash).or_else(|| self.disk.read(&hash));
                if let Some(bytes) = bytes {
                    self.blobs.keep(hash, &bytes);
                    // Nobody waits any more: all the same.
                    let _ = answer.send(Some(bytes));
                    return;
                }
                let is_new = !self.underway.contains_key(&hash);
                self.underway.entry(hash).or_default().push(answer);
                if is_new {
                    self.failed.retain(|other| *other != hash);
                    self.queue.push(hash);
                }
            }
        }
    }

    fn want(&mut self, hash: BlobHash) {
        if !self.disk.has(&hash) && !self.underway.contains_key(&hash) {
            self.underway.insert(hash, Vec::new());
            self.queue.push(hash);
        }
    }

    fn fetched(&mut self, hash: BlobHash, bytes: Option<Bytes>) {
        let result = if bytes.is_some() { "fetched" } else { "failed" };
        counter!(names::BLOB_FETCHES, "result" => result).increment(1);
        let waiting = self.underway.remove(&hash).unwrap_or_default();
        match &bytes {
            Some(bytes) => {
                self.disk.write(&hash, bytes, &self.wanted);
                if !waiting.is_empty() || !self.disk.has(&hash) {
                    self.blobs.keep(hash, bytes);
                }
            }
            None if self.wanted.contains(&hash) => self.failed.push(hash),
            None => {}
        }
        for answer in waiting {
            let _ = answer.send(bytes.clone());
        }
    }
}

async fn fetch(caller: Caller, hash: BlobHash) -> Fetched {
    let path = path_of(&hash);
    let limit = MAX_BLOB_BYTES as usize;
    let get = (Method::GET, path.as_str());
    let answer = caller
        .call(get, HeaderMap::new(), Bytes::new(), limit, FETCH_DEADLINE)
        .await;
    let bytes = answer
        .filter(|answer| answer.status == StatusCode::OK)
        .map(|answer| answer.body)
        .filter(|bytes| is_whole(&hash, bytes));
    (hash, bytes)
}
