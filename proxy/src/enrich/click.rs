//! One visit to its final record.
//!
//! Everything that looks into what a visitor sent is here and in the modules beside; nothing here can fail. The clock
//! and the salts are passed in.

use metrics::counter;
use schemas::click::{Click, MAX_TEXT_BYTES, Stream};
use schemas::feed::Salt;
use schemas::slug::MAX_SLUG_BYTES;

use super::agent::Agents;
use super::geo::{Databases, Geo};
use super::language;
use super::query::Utm;
use super::referrer::Referrer;
use super::text::bounded;
use super::visitor;
use crate::config::{IpPolicy, UniquePeriod};
use crate::metrics::clicks as names;
use crate::visit::Visit;

/// How far before now an event may be, in milliseconds. A ring that waited longer for its proxy is older than any salt.
const MAX_PAST_MS: i64 = 31 * 86_400_000;

/// How far after now an event may be, in milliseconds: a clock that was set back between the visit and now.
const MAX_FUTURE_MS: i64 = 60_000;

/// What is kept of an event's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Times a sane distance from this instant, in milliseconds since 1970.
    Near(i64),
    /// Any time: records of the past.
    Any,
}

impl Clock {
    fn clamped(self, time_ms: i64) -> i64 {
        match self {
            Self::Near(now) => time_ms.clamp(
                now.saturating_sub(MAX_PAST_MS),
                now.saturating_add(MAX_FUTURE_MS),
            ),
            Self::Any => time_ms,
        }
    }
}

/// What happened on the way, for the metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Records made.
    pub(crate) clicks: u64,
    /// Of these, by bots.
    pub(crate) bots: u64,
    /// Event times that were moved.
    pub(crate) clamped: u64,
    /// Visitors that could not be told for want of a salt.
    pub(crate) no_salt: u64,
}

impl Tally {
    /// Adds it to the metrics.
    pub(crate) fn count(self) {
        if self == Self::default() {
            return;
        }
        counter!(names::CLICKS).increment(self.clicks);
        counter!(names::BOTS).increment(self.bots);
        counter!(names::CLAMPED).increment(self.clamped);
        counter!(names::NO_SALT).increment(self.no_salt);
    }
}

/// What is known about visitors, to be shared with serving threads.
#[derive(Debug)]
pub struct Known {
    /// Where addresses are.
    pub geo: Databases,
    /// What user agents say.
    pub agents: Agents,
}

/// Makes records of visits.
#[derive(Debug)]
pub(crate) struct Clicks {
    pub(crate) geo: Geo,
    agents: Agents,
    ip_policy: IpPolicy,
    unique_period: UniquePeriod,
    pub(crate) tally: Tally,
}

impl Clicks {
    /// # Errors
    /// The built-in crawler list is broken.
    pub(crate) fn new(
        geo: Geo,
        ip_policy: IpPolicy,
        unique_period: UniquePeriod,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            geo,
            agents: Agents::new()?,
            ip_policy,
            unique_period,
            tally: Tally::default(),
        })
    }

    /// What serving threads ask about visitors too.
    pub(crate) fn known(&self) -> Known {
        Known {
            geo: self.geo.databases(),
            agents: self.agents.another(),
        }
    }

    /// The record of the visit at `position`. Without a salt for its time, it has no visitor.
    pub(crate) fn click(
        &mut self,
        stream: Stream,
        position: u64,
        visit: &Visit<'_>,
        clock: Clock,
        salts: &[Salt],
    ) -> Click {
        let time_ms = clock.clamped(visit.time_ms);
        let place = self.geo.place(visit.client_ip);
        let agent = self.agents.of(visit.user_agent);
        let referrer = Referrer::of(visit.referrer);
        let utm = Utm::of(visit.destination_query, visit.target_query);
        let hash = visitor::salt_for(salts, time_ms).map(|salt| {
            visitor::hash(
                salt,
                self.unique_period,
                time_ms,
                visit.workspace,
                visit.client_ip,
                visit.user_agent,
            )
        });
        let (bot_reason, bot_name) = match &agent.bot {
            Some(bot) => (bot.reason, bot.name.clone()),
            None if is_prefetch(visit.purpose) => ("prefetch", String::new()),
            // Answered as one by an earlier version, whose verdict counts.
            None if visit.bot => ("answered-as-bot", String::new()),
            None => ("", String::new()),
        };
        self.tally.clicks += 1;
        self.tally.bots += u64::from(!bot_reason.is_empty());
        self.tally.clamped += u64::from(time_ms != visit.time_ms);
        self.tally.no_salt += u64::from(hash.is_none());
        Click {
            epoch: stream.epoch,
            worker: u32::from(stream.worker),
            position,
            time_ms,
            workspace: visit.workspace,
            link: visit.link,
            domain: visit.domain,
            host: bounded(visit.host, MAX_SLUG_BYTES),
            slug: bounded(visit.slug, MAX_SLUG_BYTES),
            outcome: visit.outcome.into(),
            status: u32::from(visit.status),
            rule: u32::from(visit.rule),
            variant: u32::from(visit.variant),
            bot: !bot_reason.is_empty(),
            bot_reason: bot_reason.to_owned(),
            bot_name,
            scan: visit.scan,
            visitor: hash,
            country: place.country,
            region: place.region,
            city: place.city,
            device: agent.device.label().to_owned(),
            os: agent.os.clone(),
            os_version: agent.os_version.clone(),
            browser: agent.browser.clone(),
            browser_version: agent.browser_version.clone(),
            language: language::preferred(visit.accept_language),
            referrer_host: referrer.host,
            referrer: referrer.url,
            utm_source: utm.source,
            utm_medium: utm.medium,
            utm_campaign: utm.campaign,
            utm_term: utm.term,
            utm_content: utm.content,
            query: bounded(visit.target_query, MAX_TEXT_BYTES),
            ip: visitor::kept_address(self.ip_policy, visit.client_ip),
        }
    }
}

/// Whether a browser says that nobody is looking yet: `prefetch`, `prerender`, `preview` in any of the three headers.
pub(crate) fn is_prefetch(purpose: &[u8]) -> bool {
    let purpose = purpose.to_ascii_lowercase();
    [&b"prefetch"[..], b"prerender", b"preview"]
        .iter()
        .any(|word| purpose.windows(word.len()).any(|w| w == *word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message as _;
    use schemas::click::Outcome;
    use schemas::click_log::MAX_PAYLOAD_BYTES;

    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const CHROME: &[u8] = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

    fn visit() -> Visit<'static> {
        Visit {
            time_ms: NOW,
            link: 5,
            workspace: 6,
            domain: 7,
            status: 302,
            outcome: Outcome::Redirect,
            rule: 1,
            variant: 2,
            scan: true,
            bot: false,
            client_ip: [192, 0, 2, 7].into(),
            host: b"example.com",
            slug: b"a/b",
            target_query: b"utm_source=n&x=1",
            destination_query: b"utm_medium=own",
            user_agent: CHROME,
            referrer: b"https://from.test/x#y",
            accept_language: b"de-CH,en;q=0.5",
            purpose: b"",
        }
    }

    fn clicks() -> Clicks {
        Clicks::new(Geo::new(&[]), IpPolicy::Truncate, UniquePeriod::Month).expect("matchers")
    }

    fn salts() -> Vec<Salt> {
        vec![Salt {
            starts_at_ms: 0,
            ends_at_ms: i64::MAX,
            key: vec![7; 32].into(),
        }]
    }

    fn made(clicks: &mut Clicks, visit: &Visit<'_>) -> Click {
        let stream = Stream {
            epoch: 1,
            worker: 2,
        };
        clicks.click(stream, 3, visit, Clock::Near(NOW), &salts())
    }

    #[test]
    fn every_field_is_filled() {
        let click = made(&mut clicks(), &visit());
        assert!(click.visitor.is_some());
        let expected = Click {
            epoch: 1,
            worker: 2,
            position: 3,
            time_ms: NOW,
            workspace: 6,
            link: 5,
            domain: 7,
            host: "example.com".into(),
            slug: "a/b".into(),
            outcome: Outcome::Redirect.into(),
            status: 302,
            rule: 1,
            variant: 2,
            scan: true,
            visitor: click.visitor,
            device: "desktop".into(),
            os: "Windows".into(),
            os_version: "10".into(),
            browser: "Chrome".into(),
            browser_version: "126.0.0.0".into(),
            language: "de".into(),
            referrer_host: "from.test".into(),
            referrer: "https://from.test/x".into(),
            utm_source: "n".into(),
            utm_medium: "own".into(),
            query: "utm_source=n&x=1".into(),
            ip: "192.0.2.0".into(),
            ..Click::default()
        };
        assert_eq!(click, expected);
    }

    #[test]
    fn a_prefetch_is_a_bots_on_a_persons_device() {
        for purpose in [&b"prefetch"[..], b"Prefetch;prerender", b"PREVIEW"] {
            let click = made(&mut clicks(), &Visit { purpose, ..visit() });
            assert!(click.bot && click.bot_reason == "prefetch" && click.device == "desktop");
        }
        let click = made(
            &mut clicks(),
            &Visit {
                purpose: b"navigate",
                ..visit()
            },
        );
        assert!(!click.bot && click.bot_reason.is_empty());
    }

    #[test]
    fn insane_times_are_moved_and_counted() {
        let mut clicks = clicks();
        for (time_ms, expected) in [
            (NOW, NOW),
            (NOW - MAX_PAST_MS, NOW - MAX_PAST_MS),
            (0, NOW - MAX_PAST_MS),
            (i64::MIN, NOW - MAX_PAST_MS),
            (i64::MAX, NOW + MAX_FUTURE_MS),
        ] {
            assert_eq!(
                made(&mut clicks, &Visit { time_ms, ..visit() }).time_ms,
                expected
            );
        }
        assert_eq!(clicks.tally.clamped, 3);
        let stream = Stream {
            epoch: 1,
            worker: 2,
        };
        let old = clicks.click(
            stream,
            0,
            &Visit {
                time_ms: 5,
                ..visit()
            },
            Clock::Any,
            &[],
        );
        assert_eq!((old.time_ms, old.visitor), (5, None));
        assert_eq!(clicks.tally.no_salt, 1);
    }

    thread_local!(static CLICKS: std::cell::RefCell<Clicks> = std::cell::RefCell::new(clicks()));

    proptest! {
        #[test]
        fn any_visit_makes_a_record_that_fits(texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4000), 7), filler in any::<u8>(), time_ms: i64) {
            let long = vec![filler; 8192];
            let v = Visit {
                time_ms,
                host: &texts[0],
                slug: &texts[1],
                target_query: &texts[2],
                destination_query: &long,
                user_agent: &texts[3],
                referrer: &texts[4],
                accept_language: &texts[5],
                purpose: &texts[6],
                ..visit()
            };
            CLICKS.with_borrow_mut(|clicks| {
                let click = made(clicks, &v);
                assert!(click.encoded_len() <= MAX_PAYLOAD_BYTES);
                assert_eq!(Click::decode(&*click.encode_to_vec()).expect("own bytes"), click);
            });
        }
    }
}
