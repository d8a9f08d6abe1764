//! A look at what links lead to, after the call that made them has been answered (one dialect waits for titles, a short
//! time): whether it redirects back to a short domain of ours, the page's title, where its owner gave
//! none, and whether it lets itself be framed, where a link shows it in a frame. The one way out is [`crate::fetch`].
//!
//! That a link leads to ours by itself is refused in the call ([`crate::destinations`]); that it does so by way of another
//! redirector shows only here. Its visitors are led nowhere then, until it leads elsewhere. The look ends before it asks one
//! of ours, so it counts nowhere as a visit.
//!
//! Links wait in a bounded queue in memory: what does not fit, or waits when the process ends, stays without a title
//! and is taken to lead where it says (counted). Framing waits in the database, for visitors depend on it: it is asked soon after a link begins to frame its
//! destination or leads elsewhere, and again each day. Until an answer is there, and when none comes, the link frames, as
//! its owner asked; only a clear no makes it a redirect.
//!
//! Only a link's own destination is asked: those of its rules and variants are taken to be like it. A destination that
//! redirects to ours later is found when its link frames it or is led there anew.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::HeaderMap;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, X_FRAME_OPTIONS};
use tokio::sync::{Notify, mpsc};
use url::Url;

use crate::app::App;
use crate::destinations::Checks;
use crate::domain::destination::Destination;
use crate::domain::framing;
use crate::domain::link::{Edit, Found};
use crate::domain::page_title;
use crate::fetch::{Course, FetchError, Fetched, Overflow, Wanted};
use crate::metrics;
use crate::store::framed;
use crate::store::links::{self, Change, WriteError};

/// Links that may wait for a look: some minutes of looks, a few kilobytes.
const WAITING: usize = 1000;

/// Looks at the same time of each kind: some hundred kilobytes each, and a part of the turns that the way out has.
const AT_ONCE: usize = 4;

/// Links asked about framing between two questions to the database.
const CLAIMED: i64 = 32;

/// Time between questions to the database when nobody has said that there is something to do.
const IDLE: Duration = Duration::from_secs(30);

/// Time after which framing is asked again, in milliseconds.
const ASK_AGAIN_MS: i64 = 24 * 3_600_000;

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

/// What a link's destination is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Look {
    /// Where it leads.
    #[default]
    Way,
    /// The title of its page, too, for a link that has none.
    Title,
}

impl Look {
    /// For the metric.
    fn name(self) -> &'static str {
        match self {
            Self::Way => "way",
            Self::Title => "title",
        }
    }
}

/// What is to be looked at.
#[derive(Debug)]
pub(crate) struct Looks {
    waiting: mpsc::Sender<(i64, Look)>,
    framed: Notify,
}

impl Looks {
    /// The queue, and its end for [`look_at_new`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<(i64, Look)>) {
        let (waiting, end) = mpsc::channel(WAITING);
        let framed = Notify::new();
        (Self { waiting, framed }, end)
    }

    /// Asks for a look at where a link leads that is new there. Never waits.
    pub(crate) fn want(&self, app: &App, link: &links::Link, look: Look) {
        let look = match look {
            Look::Title if link.content.title.is_empty() => Look::Title,
            // Whoever asks about framing asks this, too.
            _ if link.content.extras.wanted_page().frames() => return,
            _ => Look::Way,
        };
        if app.config.ask_destinations && self.waiting.try_send((link.id, look)).is_err() {
            metrics::looked(look.name(), "dropped");
        }
    }

    /// Says that a link may frame what was not asked yet.
    pub(crate) fn want_framing(&self, link: &links::Link) {
        if link.content.extras.wanted_page().frames() {
            self.framed.notify_one();
        }
    }
}

/// Looks at what new links lead to until the process ends.
pub(crate) async fn look_at_new(app: Arc<App>, mut waiting: mpsc::Receiver<(i64, Look)>) {
    stream::poll_fn(|context| waiting.poll_recv(context))
        .for_each_concurrent(AT_ONCE, |(link, what)| {
            look(&app, (link, what), what.name())
        })
        .await;
}

/// Asks about framing until the process ends.
pub(crate) async fn look_at_frames(app: Arc<App>) {
    loop {
        let now_ms = app.clock.now_ms();
        let due = if app.config.ask_destinations {
            framed::claim(&app.store, now_ms, now_ms + ASK_AGAIN_MS, CLAIMED).await
        } else {
            Ok(Vec::new())
        };
        let due = due.unwrap_or_else(|error| {
            tracing::error!(%error, "cannot read which links frame their destination");
            Vec::new()
        });
        if due.is_empty() {
            // A word or the time: either way the database says what is due.
            let _ = tokio::time::timeout(IDLE, app.looks.framed.notified()).await;
            continue;
        }
        stream::iter(due)
            .for_each_concurrent(AT_ONCE, |link| look(&app, (link, Look::Title), "frame"))
            .await;
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

async fn look(app: &App, link: (i64, Look), what: &'static str) {
    let outcome = match look_at(app, link).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(
                error = format!("{error:#}"),
                "cannot keep what a destination says"
            );
            "failed"
        }
    };
    metrics::looked(what, outcome);
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

/// What was learned, for the metric.
async fn look_at(app: &App, (id, look): (i64, Look)) -> anyhow::Result<&'static str> {
    let Some(link) = links::of_any_workspace(&app.store, id).await? else {
        return Ok("nothing");
    };
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
            if look == Look::Title && content.title.is_empty() {
                found.title = title(&page);
            }
            // The headers of an error are those of whoever made the error page.
            if page.status.is_success() {
                found.refuses_frame = refuses_frame(&page.headers);
            }
        }
        Err(FetchError::OffCourse) => found.leads_back = true,
        Err(_) => return Ok("nothing"),
    }
    let leads_back = found.leads_back;
    let is_new = found.title.is_some()
        || leads_back != extras.leads_back
        || (extras.wanted_page().frames() && found.refuses_frame != extras.refuses_frame);
    if !is_new {
        return Ok("nothing");
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
    let place = (link.workspace_id, id);
    match links::update(&app.store, place, change, app.clock.now_ms()).await {
        Ok(_) if leads_back => Ok("leads_back"),
        Ok(_) => Ok("found"),
        // Deleted meanwhile, or full of other settings: nobody waits for this.
        Err(WriteError::NotFound | WriteError::Refused(_)) => Ok("nothing"),
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
