//! Answers, ready made.
