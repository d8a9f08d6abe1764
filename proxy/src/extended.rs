//! Links that do more than redirect: their gates, what was chosen for the visitor, and the answer made of it.
//!
//! Plain links never come here: `handler` answers them from their entry alone. As there, nothing here waits. What must be
//! waited for (the check of a password, a visit of a click limit, a page that lies on disk) is handed back as a [`Wait`];
//! whoever has waited asks again with the newest table and what was [`Granted`]. So a link that was edited meanwhile
//! answers as it is now.
//!
//! The order of questions is written at [`schemas::link::plan`].

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

mod file;
mod granted;
mod reply;

use http::Method;
use schemas::click::Outcome;
use schemas::link::view::{Beyond, Target, View};
use schemas::link::{Entry, Status};

pub use self::granted::{Granted, Wait};
pub(crate) use self::reply::Reply;
pub use self::reply::Response;
use crate::answer::Kind;
use crate::files::Opened;
use crate::gates::{Gates, Spent};
use crate::handler::{query_of, state};
use crate::pages::own;
use crate::request::{Head, HostName};
use crate::rules::{Choice, Facts, Senses, To, choose, turn, with_query};
use crate::table::{LinkTable, Lookup};
use crate::visit::Visit;

/// Links a rotator tries before it says that none answers. More dead ones in a row are a campaign that is over.
const MAX_TRIES: usize = 100;

/// A request, and what it is answered from.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its head.
    pub head: Head<'a>,
    /// All links.
    pub table: &'a LinkTable,
    /// Milliseconds since 1970-01-01 UTC.
    pub now_ms: i64,
    /// Host asked for.
    pub host: &'a HostName,
    /// Where facts come from.
    pub senses: &'a Senses,
    /// Leases, blobs, cookies.
    pub gates: &'a Gates,
}

/// What is to be done.
#[derive(Debug)]
pub enum Decided<'a> {
    /// Answer.
    Answer(Box<Answered<'a>>),
    /// Wait, and ask again.
    Wait(Wait),
}

/// An answer, and what to record first.
#[derive(Debug)]
pub struct Answered<'a> {
    /// What kind it is.
    pub kind: Kind,
    /// The answer.
    pub response: Response,
    /// What to record first, in this order.
    pub visits: [Option<Visit<'a>>; 2],
    /// What is to be sent behind `response`, whose body is empty then.
    pub download: Option<Box<Opened>>,
}

/// Why the way to a target ends early.
enum Stop<'a> {
    /// With this answer, not counted.
    Reply(Box<Reply>),
    /// With this one, recorded as a bot's visit.
    Preview(Box<(Reply, Entry<'a>)>),
    Wait(Wait),
}

impl From<Kind> for Stop<'_> {
    fn from(kind: Kind) -> Self {
        Reply::own(kind).into()
    }
}

impl From<Reply> for Stop<'_> {
    fn from(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

/// Decides a request for a link with a plan.
#[cold]
#[inline(never)]
pub fn decide<'a>(asked: &Asked<'a>, entry: Entry<'a>, granted: &mut Granted) -> Decided<'a> {
    let facts = Facts::new(&asked.head, asked.now_ms, asked.senses);
    let walk = Walk { asked, facts };
    let (reply, visits) = match walk.answer(entry, granted) {
        Ok(found) => found,
        Err(Stop::Reply(reply)) => (*reply, [None, None]),
        Err(Stop::Preview(preview)) => {
            let (reply, entry) = *preview;
            let visit = walk.visit(&entry, reply.outcome, reply.status, None, &[]);
            let visit = Visit { bot: true, ..visit };
            (reply, [walk.is_get().then_some(visit), None])
        }
        Err(Stop::Wait(wait)) => return Decided::Wait(wait),
    };
    if visits[0].is_none() {
        granted.give_back(asked.gates);
    }
    let download = reply.sends.then(|| granted.file.take()).flatten();
    Decided::Answer(Box::new(Answered {
        kind: reply.kind,
        response: reply.into_response(&asked.head),
        visits,
        download,
    }))
}

/// The way of one visit.
struct Walk<'w, 'a> {
    asked: &'w Asked<'a>,
    facts: Facts<'a>,
}

impl<'a> Walk<'_, 'a> {
    fn is_get(&self) -> bool {
        self.asked.head.method == Method::GET
    }

    fn is_post(&self) -> bool {
        self.asked.head.method == Method::POST
    }

    fn answer(
        &self,
        entry: Entry<'a>,
        granted: &mut Granted,
    ) -> Result<(Reply, [Option<Visit<'a>>; 2]), Stop<'a>> {
        let (view, choice) = self.enter(&entry, granted)?;
        let next = match choice.to {
            To::Target(Target::Link { domain, slug }) => self.find(domain, slug)?,
            To::Target(Target::Pick(picks)) => {
                let number = *granted.turn.get_or_insert_with(|| self.facts.turn());
                let mut turns = turn(picks, number).take(MAX_TRIES);
                turns
                    .find_map(|pick| self.live(pick.domain, pick.slug))
                    .ok_or(Kind::Disabled)?
            }
            _ => {
                let led = self.lead(&entry, &view, &choice, (view.scan, granted))?;
                let counted = led.0.counts && self.counted(granted, &entry, &view);
                let visit = counted.then_some(led.1);
                return Ok((led.0, [visit, None]));
            }
        };
        let (next_view, next_choice) = self.enter(&next, granted)?;
        let scan = view.scan || next_view.scan;
        let (reply, visit) = self.lead(&next, &next_view, &next_choice, (scan, granted))?;
        let hop = Visit {
            link: entry.link,
            workspace: entry.workspace,
            domain: entry.domain,
            slug: entry.slug,
            outcome: Outcome::Hop,
            rule: choice.rule,
            variant: choice.variant,
            ..visit
        };
        let counts = reply.counts;
        let next_counts = self.counted(granted, &next, &next_view);
        let visits = [
            (counts && next_counts).then_some(visit),
            // A form that opened the second link came by the first one, too.
            (counts && !view.uncounted && (next_counts || self.counted(granted, &entry, &view)))
                .then_some(hop),
        ];
        Ok((reply, visits))
    }

    /// Whether a visit of this link counts: read by GET, or by the form that opened it.
    fn counted(&self, granted: &Granted, entry: &Entry<'_>, view: &View<'_>) -> bool {
        !view.uncounted && (self.is_get() || self.is_post() && granted.password == Some(entry.link))
    }

    /// Through a link's gates, to what it has for this visitor.
    fn enter(
        &self,
        entry: &Entry<'a>,
        granted: &mut Granted,
    ) -> Result<(View<'a>, Choice<'a>), Stop<'a>> {
        let view = View::read(entry.plan).map_err(|_| Kind::UnknownSlug)?;
        if self.is_deleted(&view) {
            return Err(Kind::UnknownSlug.into());
        }
        match state(entry, self.asked.table, self.asked.now_ms) {
            Ok(()) => {}
            Err(Kind::Expired) => {
                return Err(self.expired(entry, &view, Kind::Expired, granted));
            }
            Err(kind) => return Err(kind.into()),
        }
        if let Some(preview) = view.preview
            && !self.is_post()
            && self.facts.is_unfurler()
        {
            let reply = Reply::page(Kind::Preview, own::preview(preview), own::PREVIEW_CSP);
            return Err(Stop::Preview(Box::new((reply, *entry))));
        }
        self.password(entry, &view, granted)?;
        self.limit(entry, &view, granted)?;
        Ok((view, choose(&view, entry.link, &self.facts)))
    }

    fn password(
        &self,
        entry: &Entry<'a>,
        view: &View<'a>,
        granted: &Granted,
    ) -> Result<(), Stop<'a>> {
        let Some((version, phc)) = view.password else {
            return Ok(());
        };
        if granted.password == Some(entry.link) {
            return Ok(());
        }
        let door = self.asked.gates.door(self.asked, entry.link, version);
        if door.is_open() {
            return Ok(());
        }
        if !self.is_post() {
            return Err(Reply::password(None).into());
        }
        let phc = std::str::from_utf8(phc).map_err(|_| Kind::GateBusy)?;
        Err(Stop::Wait(Wait::Password {
            link: entry.link,
            phc: phc.into(),
        }))
    }

    fn limit(
        &self,
        entry: &Entry<'a>,
        view: &View<'a>,
        granted: &mut Granted,
    ) -> Result<(), Stop<'a>> {
        let Some((max, beyond)) = view.click_limit else {
            return Ok(());
        };
        if granted.spent.contains(&entry.link) || self.continues(view) {
            return Ok(());
        }
        let is_file = matches!(view.target(), Some(Target::File(_)));
        let leases = &self.asked.gates.leases;
        // Looking is free: links are checked by programs before people follow them.
        let spends = self.counted(granted, entry, view) && (is_file || !self.facts.is_bot());
        let spent = if spends {
            leases.spend(entry.link, max, self.asked.now_ms)
        } else {
            leases.look(entry.link, max, self.asked.now_ms)
        };
        match (spent, beyond) {
            (Spent::Yes, _) => {
                if spends {
                    granted.spent.push(entry.link);
                }
                Ok(())
            }
            (Spent::Ask | Spent::Closed, _) if !spends => Ok(()),
            (Spent::Ask, _) => Err(Stop::Wait(Wait::Lease { link: entry.link })),
            (Spent::Closed, _) => Err(Kind::GateBusy.into()),
            (Spent::None, Beyond::Expired) => {
                Err(self.expired(entry, view, Kind::LimitReached, granted))
            }
            (Spent::None, Beyond::Url(url)) => {
                Err(Reply::redirect(Kind::LimitReached, Status::Found, url).into())
            }
            (Spent::None, Beyond::Page(page)) => {
                Err(self.gone(page, entry.destination, Kind::LimitReached, granted))
            }
        }
    }

    /// What a link shows when its time, or its number of visits, is over.
    fn expired(
        &self,
        entry: &Entry<'a>,
        view: &View<'a>,
        kind: Kind,
        granted: &Granted,
    ) -> Stop<'a> {
        if !entry.expired_url.is_empty() {
            let kind = match kind {
                Kind::Expired => Kind::ExpiredRedirect,
                kind => kind,
            };
            return Reply::redirect(kind, Status::Found, entry.expired_url).into();
        }
        match view.expired_page {
            Some(page) => self.gone(page, entry.destination, kind, granted),
            None => kind.into(),
        }
    }

    /// A shared page with status 410; our own where there is none of that id.
    fn gone(&self, page: u64, destination: &[u8], kind: Kind, granted: &Granted) -> Stop<'a> {
        let Some(page) = self.asked.table.page(page) else {
            return kind.into();
        };
        match self.asked.gates.page(page, destination, granted) {
            Ok(reply) => reply.gone(kind).into(),
            Err(Some(wait)) => Stop::Wait(wait),
            // The text is worth less than the truth: it is over.
            Err(None) => kind.into(),
        }
    }

    fn find(&self, domain: u32, slug: &[u8]) -> Result<Entry<'a>, Stop<'a>> {
        match self.asked.table.find(domain, slug) {
            Lookup::Found(entry) => Ok(entry),
            Lookup::Unknown => Err(Kind::UnknownSlug.into()),
            Lookup::Missing => Err(Kind::Missing.into()),
        }
    }

    /// A link that answers now, to be picked.
    fn live(&self, domain: u32, slug: &[u8]) -> Option<Entry<'a>> {
        let entry = self.find(domain, slug).ok()?;
        state(&entry, self.asked.table, self.asked.now_ms).ok()?;
        let view = View::read(entry.plan).ok()?;
        (view.password.is_none() && !self.is_deleted(&view)).then_some(entry)
    }

    /// The link's last instant has come; the control plane takes it out of the table when it can.
    fn is_deleted(&self, view: &View<'_>) -> bool {
        view.deletes_at_ms.is_some_and(|at| at <= self.asked.now_ms)
    }

    /// The answer that leads to what was chosen, and the visit it is.
    fn lead(
        &self,
        entry: &Entry<'a>,
        view: &View<'a>,
        choice: &Choice<'a>,
        (scan, granted): (bool, &Granted),
    ) -> Result<(Reply, Visit<'a>), Stop<'a>> {
        let (destination, utm) = match choice.to {
            To::Target(Target::Redirect { url, utm }) => (url, utm),
            To::Target(Target::Page {
                destination, utm, ..
            }) if !destination.is_empty() => (destination, utm),
            _ => (entry.destination, entry.utm),
        };
        let passed = view
            .pass_query
            .then(|| with_query(destination, self.asked.head.query))
            .flatten();
        let url = passed.as_deref().unwrap_or(destination);
        if self.is_post() && granted.password != Some(entry.link) {
            // Only a shared page can have a form.
            return Err(match choice.to {
                To::Target(Target::Page { .. }) => Stop::Wait(Wait::Form { link: entry.link }),
                _ => Kind::BadMethod.into(),
            });
        }
        // A form's answer must not be followed by another POST, with the password, to the destination.
        let status = if self.is_post() {
            Status::Found
        } else {
            entry.status
        };
        let gates = self.asked.gates;
        let reply = match choice.to {
            To::Destination | To::Target(Target::Redirect { .. }) => {
                Reply::redirect(Kind::Redirect, status, url)
            }
            To::App(app) if is_web(app) || app.starts_with(b"intent:") => {
                Reply::redirect(Kind::Redirect, Status::Found, app)
            }
            To::App(app) if own::is_openable(app) => {
                Reply::page(Kind::App, own::app(app, url), own::APP_CSP)
            }
            To::App(_) => Reply::redirect(Kind::Redirect, status, url),
            To::Target(Target::Page { page, .. }) => match self.asked.table.page(page) {
                Some(page) => gates.page(page, url, granted).map_err(missing)?,
                // A deleted splash or overlay: the link goes on without it.
                None if !url.is_empty() => Reply::redirect(Kind::Redirect, status, url),
                None => return Err(Kind::UnknownSlug.into()),
            },
            To::Target(Target::Body(body)) => gates.body(&body, granted).map_err(missing)?,
            To::Target(Target::File(file)) => self.file(&file, view, granted)?,
            // A second hop.
            To::Target(Target::Link { .. } | Target::Pick(_)) => {
                return Err(Kind::UnknownSlug.into());
            }
        };
        let reply = if self.is_post() {
            reply.opened(self.asked, entry, view)
        } else {
            reply
        };
        let utm_query = if utm { query_of(destination) } else { &[] };
        let visit = self.visit(entry, reply.outcome, reply.status, Some(choice), utm_query);
        let visit = Visit {
            scan,
            // Only where it decided something: elsewhere the enricher's verdict counts, which is the same but later.
            bot: view.click_limit.is_some() && self.facts.is_bot(),
            ..visit
        };
        Ok((reply, visit))
    }

    fn visit(
        &self,
        entry: &Entry<'a>,
        outcome: Outcome,
        status: http::StatusCode,
        choice: Option<&Choice<'_>>,
        destination_query: &'a [u8],
    ) -> Visit<'a> {
        let head = &self.asked.head;
        Visit {
            time_ms: self.asked.now_ms,
            link: entry.link,
            workspace: entry.workspace,
            domain: entry.domain,
            status: status.as_u16(),
            outcome,
            rule: choice.map_or(0, |c| c.rule),
            variant: choice.map_or(0, |c| c.variant),
            scan: false,
            bot: false,
            client_ip: head.client_ip,
            host: self.asked.host.as_bytes(),
            slug: entry.slug,
            target_query: head.query,
            destination_query,
            user_agent: head.user_agent(),
            referrer: head.referrer(),
            accept_language: head.accept_language(),
            purpose: head.purpose(),
        }
    }
}

fn missing<'a>(wait: Option<Wait>) -> Stop<'a> {
    match wait {
        Some(wait) => Stop::Wait(wait),
        None => Kind::BodyMissing.into(),
    }
}

fn is_web(url: &[u8]) -> bool {
    url.starts_with(b"http://") || url.starts_with(b"https://")
}

#[cfg(test)]
mod tests;
