//! What librdkafka says of itself: log lines, and whether brokers answer.

use std::sync::{Mutex, PoisonError};

use rdkafka::Statistics;
use rdkafka::config::RDKafkaLogLevel;

/// Hands a line of librdkafka's log on. Its errors are warnings here: it goes on by itself, and what matters comes back
/// to us as an error of a call or a delivery.
pub fn forward_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(facility, "librdkafka: {message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::debug!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Debug => tracing::trace!(facility, "librdkafka: {message}"),
    }
}

/// What is known of the brokers. Statistics come also while all of them are down, so silence is told from health.
#[derive(Debug, Default)]
pub struct Brokers {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    heard: bool,
    up: usize,
    known: usize,
    last_error: String,
}

impl Brokers {
    /// Takes statistics in.
    pub fn note(&self, statistics: &Statistics) {
        // The names we were given are brokers too, without a number; they are the same machines.
        let (mut up, mut known, mut named) = (0, 0, 0);
        for broker in statistics.brokers.values() {
            let is_up = usize::from(broker.state == "UP");
            if broker.nodeid >= 0 {
                known += 1;
                up += is_up;
            } else {
                named += is_up;
            }
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.heard, state.up, state.known) = (true, up.max(named.min(1)), known);
    }

    /// Takes an error of the client in, to explain why nobody answers.
    pub fn error(&self, reason: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.last_error = reason.chars().take(200).collect();
    }

    /// Brokers that answer.
    pub fn up(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).up
    }

    /// Whether it is known that none answers, and not only not known yet that one does.
    pub fn are_down(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.heard && state.up == 0
    }

    /// Why no broker can be used; `None` while one answers.
    pub fn problem(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (state.heard, state.up) {
            (_, 1..) => None,
            (false, 0) => Some("kafka has not been reached yet".to_owned()),
            (true, 0) if state.last_error.is_empty() => Some("no kafka broker answers".to_owned()),
            (true, 0) => Some(format!("no kafka broker answers: {}", state.last_error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::Broker;

    use super::*;

    fn statistics(brokers: &[(i32, &str)]) -> Statistics {
        let broker = |(n, (nodeid, state)): (usize, &(i32, &str))| {
            let broker = Broker {
                nodeid: *nodeid,
                state: (*state).to_owned(),
                ..Broker::default()
            };
            (n.to_string(), broker)
        };
        Statistics {
            brokers: brokers.iter().enumerate().map(broker).collect(),
            ..Statistics::default()
        }
    }

    #[test]
    fn a_broker_that_is_up_is_enough_and_none_is_said_so() {
        let brokers = Brokers::default();
        assert!(brokers.problem().is_some() && !brokers.are_down());
        brokers.note(&statistics(&[(-1, "DOWN"), (1, "UP"), (2, "DOWN")]));
        assert_eq!((brokers.up(), brokers.problem()), (1, None));
        brokers.note(&statistics(&[(-1, "DOWN"), (1, "CONNECT"), (2, "DOWN")]));
        brokers.error("connection refused");
        let problem = brokers.problem().expect("down");
        assert!(problem.contains("connection refused"), "{problem}");
        brokers.note(&statistics(&[(-1, "UP")]));
        assert_eq!(brokers.problem(), None);
    }
}
