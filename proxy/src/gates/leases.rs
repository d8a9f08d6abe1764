//! Visits of click-limited links that this proxy may let through.

/// What became of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// It is let through.
    Yes,
    /// There are none left.
    None,
    /// The control plane is to be asked.
    Ask,
    /// It could not be asked: the limit comes before the visit.
    Closed,
}

/// What this proxy holds.
#[derive(Debug, Default)]
pub struct Leases;

impl Leases {
    /// Spends a visit of a link.
    pub fn spend(&self, _link: u64, _now_ms: i64) -> Spent {
        Spent::Closed
    }

    /// What [`Self::spend`] would say.
    pub fn look(&self, _link: u64, _now_ms: i64) -> Spent {
        Spent::Ask
    }

    /// Takes back a visit that was spent and not let through.
    pub fn give_back(&self, _link: u64) {}
}
