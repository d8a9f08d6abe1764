//! What is known of one visit, looked up when it is first asked for.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::sync::Arc;

use super::zones::Zones;
use crate::enrich::{
    Agent, Agents, Databases, Known, Place, is_prefetch, is_unfurler, preferred_tag,
};
use crate::request::Head;

/// What one serving thread looks things up in. Not shared: each has its own memory of user agents and zones.
#[derive(Debug)]
pub struct Senses {
    geo: Databases,
    agents: RefCell<Agents>,
    zones: RefCell<Zones>,
    turns: Cell<u64>,
}

impl Senses {
    /// Of one more thread.
    pub fn new(known: &Known) -> Self {
        Self {
            geo: known.geo.clone(),
            agents: RefCell::new(known.agents.another()),
            zones: RefCell::default(),
            turns: Cell::new(0),
        }
    }

    /// Rises with each call.
    pub(crate) fn next_turn(&self) -> u64 {
        let turn = self.turns.get();
        self.turns.set(turn.wrapping_add(1));
        turn
    }
}

/// One visit.
#[derive(Debug)]
pub struct Facts<'r> {
    /// Instant, milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// The visitor's address, `::ffff:` unmapped.
    pub client_ip: IpAddr,
    /// Query of the request, without `?`.
    pub query: &'r [u8],
    /// `User-Agent`.
    pub user_agent: &'r [u8],
    accept_language: &'r [u8],
    purpose: &'r [u8],
    senses: &'r Senses,
    pub(super) place: OnceCell<Place>,
    pub(super) agent: OnceCell<Arc<Agent>>,
    language: OnceCell<&'r [u8]>,
}

impl<'r> Facts<'r> {
    /// Of a request at this instant.
    pub fn new(head: &Head<'r>, now_ms: i64, senses: &'r Senses) -> Self {
        Self {
            now_ms,
            client_ip: head.client_ip.to_canonical(),
            query: head.query,
            user_agent: head.user_agent(),
            accept_language: head.accept_language(),
            purpose: head.purpose(),
            senses,
            place: OnceCell::new(),
            agent: OnceCell::new(),
            language: OnceCell::new(),
        }
    }

    /// Where the visitor is.
    pub fn place(&self) -> &Place {
        self.place
            .get_or_init(|| self.senses.geo.place(self.client_ip))
    }

    /// What the user agent says.
    pub fn agent(&self) -> &Agent {
        self.agent
            .get_or_init(|| self.senses.agents.borrow_mut().of(self.user_agent))
    }

    /// Tag of the language the visitor prefers; empty: none.
    pub fn language(&self) -> &'r [u8] {
        self.language
            .get_or_init(|| preferred_tag(self.accept_language))
    }

    /// No person's visit: a bot's, or a browser's that fetches ahead of a person.
    pub fn is_bot(&self) -> bool {
        is_prefetch(self.purpose) || self.agent().bot.is_some()
    }

    /// A bot's that makes a card of the link.
    pub fn is_unfurler(&self) -> bool {
        is_unfurler(self.user_agent) && self.agent().bot.is_some()
    }

    /// Weekday (0: Monday) and minute of the day in a time zone, if there is such a zone.
    pub(super) fn clock(&self, zone: &str) -> Option<(u8, u16)> {
        self.senses.zones.borrow_mut().clock(zone, self.now_ms)
    }

    /// A number that is another one each time.
    pub(crate) fn turn(&self) -> u64 {
        self.senses.next_turn()
    }
}
