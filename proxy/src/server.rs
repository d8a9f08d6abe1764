//! Accept loops, limits, drain.
