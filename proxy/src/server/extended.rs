//! Answers to requests for links that do more than redirect.

use schemas::link::Entry;

use super::worker::Worker;
use crate::answer::Kind;
use crate::extended::{Asked, Decided, Granted, Reply, Response, decide};
use crate::metrics::Method;

/// The answer, its visits recorded.
#[cold]
pub(super) fn answer(worker: &Worker, asked: &Asked<'_>, entry: Entry<'_>) -> Response {
    let method = Method::of(asked.head.method);
    match decide(asked, entry, &mut Granted::default()) {
        Decided::Answer(answered) => {
            for visit in answered.visits.iter().flatten() {
                worker.record(visit);
            }
            worker.metrics.answered(answered.kind, method);
            answered.response
        }
        Decided::Wait(_) => {
            worker.metrics.answered(Kind::GateBusy, method);
            Reply::own(Kind::GateBusy).into_response(&asked.head)
        }
    }
}
