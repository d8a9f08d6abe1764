//! The hot path: from a request head to an answer.
