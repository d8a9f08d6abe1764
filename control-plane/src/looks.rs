//! A look at what links lead to, after the call that made them has been answered (one dialect waits for titles, a short
//! time): whether it redirects back to a short domain of ours, the page's title, where its owner gave
//! none, and whether it lets itself be framed, where a link shows it in a frame. The one way out is [`crate::fetch`].
//!
//! That a link leads to ours by itself is refused in the call ([`crate::destinations`]); that it does so by way of another
//! redirector shows only here. Its visitors are led nowhere then, until it leads elsewhere. The look ends before it asks one
//! of ours, so it counts nowhere as a visit.
//!
//! Links wait in the database ([`crate::store::looks`]), noted by the transaction that made them, so each is looked at however
//! many there are and whoever ends meanwhile, by any control plane. A destination that cannot be reached is tried again some
//! times, and then taken to lead where it says. One that a link shows in a frame is asked again each day, since visitors depend
//! on the answer; until there is one, and when none comes, the link frames, as its owner asked; only a clear no makes it a
//! redirect.
//!
//! Only a link's own destination is asked: those of its rules and variants are taken to be like it. A destination that
//! redirects to ours later is found when its link frames it or is led there anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_FRAME_OPTIONS};
use tokio::task::JoinSet;
use url::Url;

use crate::app::App;
use crate::destinations::Checks;
use crate::domain::destination::Destination;
use crate::domain::framing;
use crate::domain::link::{Edit, Found};
use crate::domain::page_title;
use crate::fetch::{Course, FetchError, Fetched, Overflow, Wanted};
use crate::metrics;
use crate::store::links::{self, Change, Link, WriteError};
use crate::store::looks::{self, Claimed, Look, Next};

/// Looks at the same time: some hundred kilobytes each, and a part of the turns that the way out has.
const AT_ONCE: usize = 8;

/// Links taken by one claim: a transaction for so many looks.
const CLAIMED: i64 = 32;

/// Time between questions to the database when nobody has said that there is something to do.
const IDLE: Duration = Duration::from_secs(30);

/// Time after which a link that was claimed comes again, in milliseconds: more than those of a claim take when all of
/// their destinations let us wait ([`PAGE`]).
const LOST_AFTER_MS: i64 = 2 * 60_000;

/// Time after which framing is asked again, in milliseconds.
const ASK_AGAIN_MS: i64 = 24 * 3_600_000;

/// Pauses after looks that did not reach the destination, in milliseconds. Then it is given up.
const PAUSES_MS: [i64; 3] = [60_000, 10 * 60_000, 100 * 60_000];

/// A page's beginning: titles stand in the first kilobytes, behind scripts in the first hundred.
const PAGE: Wanted = Wanted {
    accept: "text/html,application/xhtml+xml;q=0.9",
    max_bytes: 256 << 10,
    overflow: Overflow::Cut,
    deadline: Duration::from_secs(10),
};

/// As [`PAGE`], of a caller who waits for it.
const PAGE_NOW: Wanted = Wanted {
    max_bytes: 64 << 10,
    deadline: Duration::from_secs(3),
    ..PAGE
};

/// Looks at what waits until the process ends.
pub(crate) async fn keep_looking(app: Arc<App>) {
    // Tasks, and not futures of this loop: one may hold the one writer of SQLite that the loop waits for.
    let mut under_way = JoinSet::new();
    let mut claimed = VecDeque::new();
    let mut done: Vec<(Claimed, Next)> = Vec::new();
    loop {
        if claimed.is_empty() && under_way.len() < AT_ONCE {
            let now_ms = app.clock.now_ms();
            let wanted = looks::Wanted {
                now_ms,
                until: now_ms + LOST_AFTER_MS,
                limit: CLAIMED,
            };
            match looks::turn(&app.store, &done, wanted).await {
                Ok(turn) => {
                    done.clear();
                    metrics::looks_late(turn.late_ms as f64 / 1000.0);
                    claimed.extend(turn.claimed);
                }
                Err(error) => tracing::error!(%error, "cannot read which links wait for a look"),
            }
        }
        while under_way.len() < AT_ONCE
            && let Some(next) = claimed.pop_front()
        {
            under_way.spawn(look(Arc::clone(&app), next));
        }
        let has_room = under_way.len() < AT_ONCE;
        // A look that ends, a word or the time: whichever, the database says what is due.
        tokio::select! {
            Some(ended) = under_way.join_next() => match ended {
                Ok(settled) => done.extend(settled),
                Err(error) => tracing::error!(%error, "a look broke off, it is made again later"),
            },
            () = app.store.looks_noted(), if has_room => {}
            () = tokio::time::sleep(IDLE), if has_room => {}
        }
    }
}

/// The title of a page, read now, for dialects that promise it in the answer. `None`: it has none that can be read.
pub(crate) async fn title_now(app: &App, url: &str) -> Option<String> {
    if !app.config.ask_destinations {
        return None;
    }
    let page = app.fetcher.get(url, &PAGE_NOW).await.ok();
    let title = page.as_ref().and_then(title);
    metrics::looked("title", if title.is_some() { "found" } else { "nothing" });
    title
}

/// What came of a look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Found,
    LeadsBack,
    Nothing,
    Unreachable,
}

/// What becomes of the link; `None` when that could not be found out, and it comes again by itself.
async fn look(app: Arc<App>, claimed: Claimed) -> Option<(Claimed, Next)> {
    let link = match links::of_any_workspace(&app.store, claimed.link).await {
        Ok(Some(link)) => link,
        Ok(None) => return Some((claimed, Next::Never)),
        Err(error) => {
            tracing::error!(%error, "cannot read a link that is to be looked at");
            return None;
        }
    };
    let frames = link.content.extras.wanted_page().frames();
    let wants_title = claimed.look == Look::Title && link.content.title.is_empty();
    let what = match (frames, wants_title) {
        (true, _) => "frame",
        (false, true) => "title",
        (false, false) => "way",
    };
    let outcome = match look_at(&app, &link, wants_title).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(error, "cannot keep what a destination says");
            metrics::looked(what, "failed");
            return None;
        }
    };
    let now_ms = app.clock.now_ms();
    let failures = claimed.failures;
    let pause = usize::try_from(failures)
        .ok()
        .and_then(|n| PAUSES_MS.get(n));
    let (outcome, next) = match (outcome, pause) {
        (Outcome::Unreachable, Some(pause)) => ("unreachable", Some((pause, failures + 1))),
        (Outcome::Unreachable, None) => ("given_up", frames.then_some((&ASK_AGAIN_MS, failures))),
        (Outcome::Found, _) => ("found", frames.then_some((&ASK_AGAIN_MS, 0))),
        (Outcome::LeadsBack, _) => ("leads_back", frames.then_some((&ASK_AGAIN_MS, 0))),
        (Outcome::Nothing, _) => ("nothing", frames.then_some((&ASK_AGAIN_MS, 0))),
    };
    metrics::looked(what, outcome);
    let next = next.map_or(Next::Never, |(pause, failures)| Next::At {
        due_at: now_ms + pause,
        failures,
    });
    Some((claimed, next))
}

/// A way that leads to none of ours.
struct Away<'a>(&'a App);

impl Course for Away<'_> {
    fn allows<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Ok(next) = Destination::parse("url", url.as_str()) else {
                // The guard decides.
                return true;
            };
            match Checks::of(self.0, next.host().into_iter().collect()).await {
                Ok(checks) => !checks.is_ours(self.0, &next),
                Err(error) => {
                    tracing::error!(%error, "cannot read which domains are ours");
                    true
                }
            }
        })
    }
}

async fn look_at(app: &App, link: &Link, wants_title: bool) -> anyhow::Result<Outcome> {
    let content = &link.content;
    let extras = &content.extras;
    let mut found = Found {
        destination: content.destination.clone(),
        title: None,
        refuses_frame: extras.refuses_frame,
        leads_back: false,
    };
    let away = Away(app);
    let page = app.fetcher.get_along(&content.destination, &PAGE, &away);
    match page.await {
        Ok(page) => {
            if wants_title {
                found.title = title(&page);
            }
            // The headers of an error are those of whoever made the error page.
            if page.status.is_success() {
                found.refuses_frame = refuses_frame(&page.headers);
            }
        }
        Err(FetchError::OffCourse) => found.leads_back = true,
        // It will be no other one the next time.
        Err(FetchError::Url | FetchError::Redirects | FetchError::TooLarge(_)) => {
            return Ok(Outcome::Nothing);
        }
        Err(_) => return Ok(Outcome::Unreachable),
    }
    let leads_back = found.leads_back;
    let is_new = found.title.is_some()
        || leads_back != extras.leads_back
        || (extras.wanted_page().frames() && found.refuses_frame != extras.refuses_frame);
    if !is_new {
        return Ok(Outcome::Nothing);
    }
    let edit = Edit {
        found: Some(found),
        ..Edit::default()
    };
    let change = Change {
        edit: &edit,
        domain: None,
        slug: None,
        groups: &Default::default(),
    };
    let place = (link.workspace_id, link.id);
    match links::update(&app.store, place, change, app.clock.now_ms()).await {
        Ok(_) if leads_back => Ok(Outcome::LeadsBack),
        Ok(_) => Ok(Outcome::Found),
        // Deleted meanwhile, or full of other settings: nobody waits for this.
        Err(WriteError::NotFound | WriteError::Refused(_)) => Ok(Outcome::Nothing),
        Err(error) => Err(error.into()),
    }
}

fn title(page: &Fetched) -> Option<String> {
    let kind = page.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let is_page = page.status.is_success() && page_title::is_page(kind);
    is_page.then(|| page_title::of(&page.body, kind)).flatten()
}

fn refuses_frame(headers: &HeaderMap) -> bool {
    let all = |name: &HeaderName| {
        let values = headers.get_all(name).into_iter();
        values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
    };
    !framing::allowed(all(&X_FRAME_OPTIONS), all(&CONTENT_SECURITY_POLICY))
}
