//! Weighted variants, the same for a visitor each time, and links in turn.
//!
//! A variant is chosen by rendezvous hashing: each gets a number drawn from (link, visitor, its place), scaled by its
//! weight, and the largest wins. A variant whose weight rises takes visitors from the others and moves none between
//! them, so a change of weights moves no more visitors than it must.

use std::hash::Hasher as _;
use std::net::IpAddr;

use schemas::link::view::{Pick, Target, Variants};
use siphasher::sip::SipHasher24;

use super::Facts;

/// Key of the hash. Fixed, so that a visitor meets the same variant at every proxy and after every start. It hides
/// nothing: the hash is not kept, and who works out the variant of an address gains nothing by it.
const KEY: [u8; 16] = *b"signpost/variant";

/// Bytes of a user agent that count.
const MAX_USER_AGENT_BYTES: usize = 1024;

/// The place (from 1) and target of the visitor's variant; `None`: the plan's own target.
pub(super) fn choose<'a>(
    variants: &Variants<'a>,
    link: u64,
    facts: &Facts<'_>,
) -> Option<(u16, Target<'a>)> {
    let places = (1..).zip(variants.list);
    if facts.now_ms >= variants.ends_at_ms && variants.ends_at_ms != i64::MAX {
        return places
            .map(|(place, (_, target))| (place, target))
            .find(|(place, _)| *place == variants.winner);
    }
    let visitor = visitor(link, facts);
    let mut best: Option<(f64, u16, Target<'a>)> = None;
    for (place, (weight, target)) in places {
        if weight == 0 {
            continue;
        }
        let score = score(visitor, place, weight);
        if best.is_none_or(|(other, ..)| score > other) {
            best = Some((score, place, target));
        }
    }
    best.map(|(_, place, target)| (place, target))
}

fn visitor(link: u64, facts: &Facts<'_>) -> u64 {
    let mut hasher = SipHasher24::new_with_key(&KEY);
    hasher.write_u64(link);
    match facts.client_ip {
        IpAddr::V4(v4) => hasher.write(&v4.octets()),
        IpAddr::V6(v6) => hasher.write(v6.octets().get(..8).unwrap_or_default()),
    }
    let agent = facts.user_agent;
    hasher.write(agent.get(..MAX_USER_AGENT_BYTES).unwrap_or(agent));
    hasher.finish()
}

/// `weight / -ln(u)` with `u` drawn evenly from (0, 1): the largest of these falls to each with its share of the weight
/// (Thaler and Ravishankar's rendezvous hashing, with weights).
pub(super) fn score(visitor: u64, place: u16, weight: u32) -> f64 {
    let drawn = mixed(visitor ^ u64::from(place).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let even = ((drawn >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    f64::from(weight) / -even.ln()
}

/// The finalizer of SplitMix64.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The links of a rotator in the order in which they are to be tried: by weight in turn, then the others after it.
/// Turns go round by the golden ratio, so any few visits in a row fall nearly as the weights say.
pub(crate) fn turn<'a>(
    picks: schemas::link::view::List<'a, Pick<'a>>,
    turn: u64,
) -> impl Iterator<Item = Pick<'a>> {
    let total: u64 = picks.map(|p| u64::from(p.weight)).sum();
    let around = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The high half of the product: `around` as a fraction, times the total.
    let mut left = ((u128::from(around) * u128::from(total)) >> 64) as u64;
    let first = picks
        .into_iter()
        .take_while(|pick| {
            let passed = left >= u64::from(pick.weight);
            left = left.saturating_sub(u64::from(pick.weight));
            passed
        })
        .count();
    picks.skip(first).chain(picks.take(first))
}
