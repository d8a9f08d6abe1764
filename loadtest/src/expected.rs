//! What the numbers of each link must be, worked out from the log and the table of user agents alone.
//!
//! A visit of an ambiguous user agent may be counted under any label and on either side of the bot line. So a number is a
//! [`Span`]: what is sure, and how many ambiguous visits may come on top. Where a link had none, the span is one number.
//!
//! Unique visitors are counted and not hashed: (IPv4 address or IPv6 /64, user agent) within the link. The user agent is part
//! of it, so people, bots and ambiguous ones never share a visitor, and spans add up.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};

use anyhow::Context;

use crate::agents::{Agent, Agents};
use crate::labels;
use crate::log_line::Line;
use crate::traffic::Traffic;

/// Which visits a count takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bots {
    /// All.
    Include,
    /// People only: the default of every count.
    Exclude,
    /// Bots only.
    Only,
}

impl Bots {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Include, Self::Exclude, Self::Only];

    /// As the API's parameter `bots` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Include => "include",
            Self::Exclude => "exclude",
            Self::Only => "only",
        }
    }
}

/// A number between `sure` and `sure + loose`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// At least this.
    pub sure: u64,
    /// At most so many more.
    pub loose: u64,
}

impl Span {
    /// Whether a number lies in it.
    pub fn holds(self, number: u64) -> bool {
        (self.sure..=self.sure + self.loose).contains(&number)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.loose == 0 {
            write!(f, "{}", self.sure)
        } else {
            write!(f, "{} to {}", self.sure, self.sure + self.loose)
        }
    }
}

/// Counts by label; `loose` visits may stand under any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// What each label has for sure.
    pub sure: BTreeMap<String, u64>,
    /// How many visits may come on top, under any labels.
    pub loose: u64,
}

impl Tally {
    fn add(&mut self, label: Option<&str>) {
        match label {
            Some(label) => *self.sure.entry(label.to_owned()).or_default() += 1,
            None => self.loose += 1,
        }
    }
}

/// The numbers of one link in one view.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// Visits.
    pub clicks: Span,
    /// Distinct visitors.
    pub uniques: Span,
    /// By host of the referrer; empty: none.
    pub referrers: Tally,
    /// By browser; of people only.
    pub browsers: Tally,
    /// By operating system; of people only.
    pub systems: Tally,
    /// By device class.
    pub devices: Tally,
    /// By UTC day `YYYY-MM-DD`.
    pub days: Tally,
    /// By UTC hour `YYYY-MM-DD HH`.
    pub hours: Tally,
}

/// What the product says of one link in one view. Labels are folded as [`labels`] says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Visits.
    pub clicks: u64,
    /// Distinct visitors; `None` where nothing is said.
    pub uniques: Option<u64>,
    /// By host of the referrer.
    pub referrers: BTreeMap<String, u64>,
    /// By browser.
    pub browsers: BTreeMap<String, u64>,
    /// By operating system.
    pub systems: BTreeMap<String, u64>,
    /// By device class.
    pub devices: BTreeMap<String, u64>,
    /// By UTC day; `None` where nothing is said.
    pub days: Option<BTreeMap<String, u64>>,
    /// By UTC hour; `None` where nothing is said.
    pub hours: Option<BTreeMap<String, u64>>,
}

impl Found {
    /// Counts what a breakdown leaves out under its label for nothing known: an empty label and a missing one are the same.
    pub fn count_unnamed(&mut self) {
        for (map, nothing) in [
            (&mut self.referrers, ""),
            (&mut self.browsers, labels::OTHER),
            (&mut self.systems, labels::OTHER),
            (&mut self.devices, "other"),
        ] {
            let named: u64 = map.values().sum();
            if named < self.clicks {
                *map.entry(nothing.to_owned()).or_default() += self.clicks - named;
            }
        }
    }
}

/// Works out the numbers of every target in one view.
///
/// `visits` are lines, each as often as it was answered as a visit.
///
/// # Errors
/// A line's user agent is not in the table.
pub fn numbers(
    traffic: &Traffic,
    agents: &Agents,
    visits: &[usize],
    bots: Bots,
) -> anyhow::Result<Vec<Numbers>> {
    let mut out = vec![Numbers::default(); traffic.targets().len()];
    let mut seen: HashSet<(usize, IpAddr, Option<&[u8]>)> = HashSet::new();
    for &at in visits {
        let (Some(line), Some(target)) = (traffic.lines.get(at), traffic.target_of(at)) else {
            continue;
        };
        let Some(numbers) = out.get_mut(target) else {
            continue;
        };
        let agent = agents
            .get(line.agent.as_deref())
            .with_context(|| format!("line {}: its user agent is not in the table", at + 1))?;
        let loose = match (bots, agent) {
            (Bots::Include, _)
            | (Bots::Exclude, Agent::Browser { .. })
            | (Bots::Only, Agent::Bot) => false,
            (_, Agent::Ambiguous) => true,
            (Bots::Exclude, Agent::Bot) | (Bots::Only, Agent::Browser { .. }) => continue,
        };
        add(&mut numbers.clicks, loose);
        if seen.insert((target, visitor_address(line.address), line.agent.as_deref())) {
            add(&mut numbers.uniques, loose);
        }
        let referrer = labels::referrer_host(line.referrer.as_deref());
        numbers
            .referrers
            .add(referrer.as_deref().filter(|_| !loose));
        if let (
            false,
            Agent::Browser {
                browser,
                os,
                device,
            },
        ) = (loose, agent)
        {
            numbers.browsers.add(Some(browser));
            numbers.systems.add(Some(os));
            numbers.devices.add(Some(device));
        } else {
            // A bot's browser and system are whatever it pretends to be; nobody compares them.
            numbers.browsers.add(None);
            numbers.systems.add(None);
            numbers.devices.add(if *agent == Agent::Bot {
                Some("bot")
            } else {
                None
            });
        }
        let hour = hour_of(line)?;
        numbers.days.add(hour.get(..10).filter(|_| !loose));
        numbers.hours.add(Some(hour.as_str()).filter(|_| !loose));
    }
    Ok(out)
}

fn add(span: &mut Span, loose: bool) {
    if loose {
        span.loose += 1;
    } else {
        span.sure += 1;
    }
}

/// What of an address tells visitors apart: all of IPv4, the /64 of IPv6.
fn visitor_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

fn hour_of(line: &Line) -> anyhow::Result<String> {
    let time = jiff::Timestamp::from_second(line.time)
        .with_context(|| format!("time {} is out of range", line.time))?;
    Ok(time.strftime("%Y-%m-%d %H").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_log(bots: Bots) -> Vec<Numbers> {
        let traffic = Traffic::embedded().expect("the checked-in log is legal");
        let agents = Agents::embedded().expect("the checked-in table is legal");
        let visits: Vec<usize> = (0..traffic.lines.len())
            .filter(|at| traffic.lines[*at].method == "GET")
            .collect();
        numbers(&traffic, &agents, &visits, bots).expect("every agent is in the table")
    }

    fn total(numbers: &[Numbers], of: fn(&Numbers) -> Span) -> (u64, u64) {
        numbers
            .iter()
            .map(of)
            .fold((0, 0), |sum, span| (sum.0 + span.sure, sum.1 + span.loose))
    }

    #[test]
    fn every_get_is_a_visit_and_views_add_up() {
        let [all, people, bots] = Bots::ALL.map(of_log);
        assert_eq!(total(&all, |n| n.clicks), (9_952, 0));
        let (people_sure, loose) = total(&people, |n| n.clicks);
        let (bots_sure, loose_too) = total(&bots, |n| n.clicks);
        assert_eq!((people_sure + bots_sure + loose, loose), (9_952, loose_too));
        assert_eq!(
            people
                .iter()
                .map(|n| n.browsers.sure.values().sum::<u64>())
                .sum::<u64>(),
            people_sure
        );
        let (unique, _) = total(&all, |n| n.uniques);
        let (unique_people, unique_loose) = total(&people, |n| n.uniques);
        assert_eq!(
            unique,
            unique_people + unique_loose + total(&bots, |n| n.uniques).0
        );
    }

    #[test]
    fn days_and_referrers_are_those_of_the_log() {
        let all = of_log(Bots::Include);
        let mut days: BTreeMap<String, u64> = BTreeMap::new();
        for (day, clicks) in all.iter().flat_map(|n| &n.days.sure) {
            *days.entry(day.clone()).or_default() += clicks;
        }
        assert_eq!(
            days.keys().map(String::as_str).collect::<Vec<_>>(),
            ["2015-05-17", "2015-05-18", "2015-05-19", "2015-05-20"]
        );
        assert_eq!(days.values().sum::<u64>(), 9_952);
        // Three referrers are no text, and what to call them is nobody's to say.
        assert_eq!(all.iter().map(|n| n.referrers.loose).sum::<u64>(), 3);
        assert!(
            all.iter()
                .any(|n| n.referrers.sure.contains_key("www.google.com"))
        );
    }

    #[test]
    fn a_visitor_is_address_and_agent_within_a_link() {
        let line = |address: &str, target: &str, agent: &str| {
            format!(
                "{address} - - [17/May/2015:10:05:03 +0000] \"GET {target} HTTP/1.1\" 200 1 \"-\" \"{agent}\"\n"
            )
        };
        let log = [
            line("1.1.1.1", "/a", "curl"),
            line("1.1.1.1", "/a", "curl"),
            line("1.1.1.1", "/a", "Wget"),
            line("1.1.1.2", "/a", "curl"),
            line("::ffff:1.1.1.2", "/a", "curl"),
            line("2001:db8::1", "/a", "curl"),
            line("2001:db8::2:0:0:1", "/a", "curl"),
            line("2001:db8:0:1::1", "/a", "curl"),
            line("1.1.1.1", "/b", "curl"),
        ]
        .concat();
        let traffic = Traffic::read(log.as_bytes()).expect("legal");
        let agents = Agents::parse("user_agent\tlines\tkind\tbrowser\tos\tdevice\ncurl\t1\tbot\t-\t-\tbot\nWget\t1\tambiguous\t-\t-\t-\n").expect("legal");
        let visits: Vec<usize> = (0..traffic.lines.len()).collect();
        let of = |bots| numbers(&traffic, &agents, &visits, bots).expect("in the table");
        assert_eq!(
            of(Bots::Include)
                .iter()
                .map(|n| n.uniques.sure)
                .collect::<Vec<_>>(),
            [5, 1]
        );
        assert_eq!(of(Bots::Only)[0].uniques, Span { sure: 4, loose: 1 });
        assert_eq!(of(Bots::Exclude)[0].clicks, Span { sure: 0, loose: 1 });
        assert!(
            numbers(
                &traffic,
                &Agents::parse("user_agent\tlines\tkind\tbrowser\tos\tdevice\n").expect("empty"),
                &visits,
                Bots::Include
            )
            .is_err()
        );
    }

    #[test]
    fn what_a_breakdown_leaves_out_counts_as_unknown() {
        let mut found = Found {
            clicks: 5,
            browsers: [("Chrome".to_owned(), 3)].into(),
            ..Found::default()
        };
        found.count_unnamed();
        assert_eq!(found.browsers.get(labels::OTHER), Some(&2));
        assert_eq!(found.referrers.get(""), Some(&5));
    }
}
