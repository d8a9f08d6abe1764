//! Answers about links that have not been visited since.
//!
//! Dashboards ask the same again and again. Before an answer is given from here the server is asked how many clicks the
//! link has ([`Version`]); clicks are only ever added, so the same number means the same answer.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::link::Version;
use super::span::Span;
use super::{Dimensions, LinkStats, Of, Step};

/// Values and buckets kept in all: some 30 MB.
const MAX_ENTRIES: usize = 300_000;

type Question = (Of, Span, Step);

/// Answers by question, the oldest dropped first.
#[derive(Debug, Default)]
pub(super) struct Known {
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    by_question: HashMap<Question, (Version, Arc<LinkStats>)>,
    order: VecDeque<Question>,
    entries: usize,
}

impl Known {
    /// The answer, if it is still right.
    pub(super) fn get(
        &self,
        of: Of,
        span: &Span,
        step: Step,
        version: Version,
    ) -> Option<Arc<LinkStats>> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, stats) = answers.by_question.get(&(of, span.clone(), step))?;
        (*known == version).then(|| Arc::clone(stats))
    }

    /// Keeps an answer. `version` was read before it was made: if it is newer than that, it is made again next time.
    pub(super) fn put(&self, of: Of, span: Span, step: Step, version: Version, stats: &LinkStats) {
        let question = (of, span, step);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entries += size(stats);
        let answer = (version, Arc::new(stats.clone()));
        match answers.by_question.insert(question.clone(), answer) {
            Some((_, old)) => answers.entries = answers.entries.saturating_sub(size(&old)),
            None => answers.order.push_back(question),
        }
        while answers.entries > MAX_ENTRIES {
            let Some(oldest) = answers.order.pop_front() else {
                break;
            };
            if let Some((_, old)) = answers.by_question.remove(&oldest) {
                answers.entries = answers.entries.saturating_sub(size(&old));
            }
        }
    }
}

/// Entries of an answer; one for itself.
fn size(stats: &LinkStats) -> usize {
    let Dimensions {
        country,
        region,
        city,
        device,
        os,
        browser,
        language,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
    } = &stats.by;
    let values = [
        country,
        region,
        city,
        device,
        os,
        browser,
        language,
        referrer,
        utm_source,
        utm_medium,
        utm_campaign,
        utm_term,
        utm_content,
    ];
    1 + stats.series.len() + values.iter().map(|by| by.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::{Bots, Bucket, Range, Totals};
    use super::*;

    fn span() -> Span {
        Span::new(&Range {
            from_ms: None,
            to_ms: None,
            tz: TimeZone::UTC,
        })
        .expect("open")
    }

    fn of(link: u64) -> Of {
        Of {
            workspace: 1,
            link,
            bots: Bots::Exclude,
        }
    }

    fn version(raw: u64) -> Version {
        Version { rolled_up: 0, raw }
    }

    #[test]
    fn an_answer_is_known_until_the_link_is_visited() {
        let known = Known::default();
        known.put(of(1), span(), Step::Day, version(5), &LinkStats::default());
        assert!(known.get(of(1), &span(), Step::Day, version(5)).is_some());
        assert!(known.get(of(1), &span(), Step::Day, version(6)).is_none());
        assert!(known.get(of(1), &span(), Step::Hour, version(5)).is_none());
        assert!(known.get(of(2), &span(), Step::Day, version(5)).is_none());
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let known = Known::default();
        let bucket = Bucket {
            start: String::new(),
            totals: Totals::default(),
        };
        let large = LinkStats {
            series: vec![bucket; MAX_ENTRIES / 3],
            ..LinkStats::default()
        };
        for link in 0..9 {
            known.put(of(link), span(), Step::Day, version(1), &large);
            known.put(of(link), span(), Step::Day, version(2), &large);
        }
        assert!(known.get(of(0), &span(), Step::Day, version(2)).is_none());
        assert!(known.get(of(8), &span(), Step::Day, version(2)).is_some());
        let answers = known.answers.lock().expect("not poisoned");
        assert!(answers.entries <= MAX_ENTRIES);
        assert_eq!(answers.order.len(), answers.by_question.len());
    }
}
