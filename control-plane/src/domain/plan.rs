//! Plans: what a workspace may have, and the one wording of a refusal.
//!
//! The check itself is [`crate::store::plans::check`], inside the transaction that makes the thing. What exists already is
//! never taken away: a workspace above the limit of a new plan keeps everything and makes no more.
//!
//! The plans a new installation begins with limit nothing but the rate of calls (30, 120 and 600 a minute): whoever runs it
//! decides what they sell.

use std::collections::BTreeSet;
use std::fmt;

use super::field::FieldError;

/// Id of the plan that a workspace falls back to when its own has ended.
pub const FREE: i64 = 1;

/// What a plan counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Plain links.
    Links,
    /// Clicks of all links in a calendar month (UTC), bots left out. Reached, links go on redirecting and clicks are
    /// stored, and statistics are closed until the next month or another plan.
    ClicksPerMonth,
    /// Domains of its own.
    Domains,
    /// People, the first one and open invitations included.
    Members,
    /// QR codes.
    QrCodes,
    /// Bytes of stored files together.
    FileBytes,
}

impl Limit {
    /// What is counted, as people read it after a number.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::ClicksPerMonth => "clicks a month",
            Self::Domains => "domains",
            Self::Members => "members",
            Self::QrCodes => "QR codes",
            Self::FileBytes => "bytes of files",
        }
    }
}

/// What a plan includes or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Links and files behind a password.
    Password,
    /// Destinations by country, device, language and other facts of the visit.
    Rules,
    /// Weighted variants.
    Variants,
    /// Links that end after a number of clicks.
    ClickLimit,
    /// Links into apps.
    DeepLink,
    /// Retargeting pixels.
    Pixels,
    /// Splash pages.
    Splash,
    /// Overlays.
    Overlay,
    /// QR codes.
    Qr,
    /// Campaigns with their rotators and lists.
    Campaigns,
    /// Channels.
    Channels,
    /// Bio pages.
    Bio,
    /// Files.
    Files,
    /// Slugs that owners choose.
    Alias,
    /// Links that end at a time.
    Expiry,
    /// QR codes in other colours than black on white.
    QrColors,
}

/// All features with their names.
const FEATURES: [(Feature, &str); 16] = [
    (Feature::Password, "password"),
    (Feature::Rules, "rules"),
    (Feature::Variants, "variants"),
    (Feature::ClickLimit, "clicklimit"),
    (Feature::DeepLink, "deeplink"),
    (Feature::Pixels, "pixels"),
    (Feature::Splash, "splash"),
    (Feature::Overlay, "overlay"),
    (Feature::Qr, "qr"),
    (Feature::Campaigns, "campaigns"),
    (Feature::Channels, "channels"),
    (Feature::Bio, "bio"),
    (Feature::Files, "files"),
    (Feature::Alias, "alias"),
    (Feature::Expiry, "expiry"),
    (Feature::QrColors, "qrcolors"),
];

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FEATURES
            .iter()
            .find(|(feature, _)| feature == self)
            .map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// The features of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Features {
    /// All there are, those of later versions too.
    All,
    /// These.
    Some(BTreeSet<Feature>),
}

impl Features {
    /// Whether `feature` is among them.
    pub fn include(&self, feature: Feature) -> bool {
        match self {
            Self::All => true,
            Self::Some(set) => set.contains(&feature),
        }
    }

    /// From a text with commas; `*` is all.
    ///
    /// # Errors
    /// An unknown name.
    pub fn parse(text: &str) -> Result<Self, FieldError> {
        let names = || {
            text.split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty())
        };
        if names().any(|name| name == "*") {
            return Ok(Self::All);
        }
        names()
            .map(|name| {
                FEATURES
                    .iter()
                    .find(|(_, known)| *known == name)
                    .map(|(feature, _)| *feature)
            })
            .collect::<Option<BTreeSet<Feature>>>()
            .map(Self::Some)
            .ok_or_else(|| {
                let known: Vec<&str> = FEATURES.iter().map(|(_, name)| *name).collect();
                FieldError::new(
                    "features",
                    format!("must be * or a list of {}", known.join(", ")),
                )
            })
    }

    /// As a database row holds it. What this version does not know gives no right.
    pub fn stored(text: &str) -> Self {
        let known = text.split(',').filter_map(|name| match Self::parse(name) {
            Ok(Self::Some(set)) => set.first().copied(),
            _ => None,
        });
        if text.trim() == "*" {
            Self::All
        } else {
            Self::Some(known.collect())
        }
    }

    /// As text with commas, `*` for all.
    pub fn to_text(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Some(set) => {
                let names: Vec<String> = set.iter().map(ToString::to_string).collect();
                names.join(",")
            }
        }
    }

    /// The names of those included.
    pub fn names(&self) -> Vec<&'static str> {
        FEATURES
            .iter()
            .filter(|(feature, _)| self.include(*feature))
            .map(|(_, name)| *name)
            .collect()
    }
}

/// What a plan allows. `None` is without limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// API calls a minute of a key that has no rate of its own; 0: without limit.
    pub rate_per_minute: i64,
    /// See [`Limit::Links`].
    pub links: Option<i64>,
    /// See [`Limit::ClicksPerMonth`].
    pub clicks: Option<i64>,
    /// See [`Limit::Domains`].
    pub domains: Option<i64>,
    /// See [`Limit::Members`].
    pub members: Option<i64>,
    /// See [`Limit::QrCodes`].
    pub qr_codes: Option<i64>,
    /// See [`Limit::FileBytes`].
    pub file_bytes: Option<i64>,
    /// Bytes of one file.
    pub file_size: Option<i64>,
    /// What is included.
    pub features: Features,
}

/// What a plan costs, in cents, for show: nothing here takes money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prices {
    /// A month.
    pub monthly: Option<i64>,
    /// A year.
    pub yearly: Option<i64>,
    /// Once.
    pub lifetime: Option<i64>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id.
    pub id: i64,
    /// Its name, unique.
    pub name: String,
    /// Whether it counts as free in lists of users.
    pub is_free: bool,
    /// What it costs.
    pub prices: Prices,
    /// What it allows.
    pub limits: Limits,
}

impl Plan {
    /// What the plan says of one limit.
    pub fn allowance(&self, limit: Limit) -> Allowance {
        Allowance {
            plan: self.name.clone(),
            limit,
            most: match limit {
                Limit::Links => self.limits.links,
                Limit::ClicksPerMonth => self.limits.clicks,
                Limit::Domains => self.limits.domains,
                Limit::Members => self.limits.members,
                Limit::QrCodes => self.limits.qr_codes,
                Limit::FileBytes => self.limits.file_bytes,
            },
        }
    }

    /// Whether a file may have this many bytes.
    ///
    /// # Errors
    /// The plan allows smaller ones only.
    pub fn take_file(&self, bytes: u64) -> Result<(), PlanRefusal> {
        match self.limits.file_size {
            Some(most) if bytes > u64::try_from(most).unwrap_or(0) => Err(PlanRefusal::FileSize {
                plan: self.name.clone(),
                most,
            }),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// The plan does not include `feature`.
    pub fn need(&self, feature: Feature) -> Result<(), PlanRefusal> {
        if self.limits.features.include(feature) {
            Ok(())
        } else {
            Err(PlanRefusal::Feature {
                plan: self.name.clone(),
                feature,
            })
        }
    }
}

/// One limit of the plan in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// Name of the plan.
    pub plan: String,
    /// What is counted.
    pub limit: Limit,
    /// How much of it; `None`: any amount.
    pub most: Option<i64>,
}

impl Allowance {
    /// Whether nothing need be counted.
    pub fn is_unlimited(&self) -> bool {
        self.most.is_none()
    }

    /// Takes `more` where `used` are there.
    ///
    /// # Errors
    /// That is more than the plan allows.
    pub fn take(&self, used: i64, more: i64) -> Result<(), PlanRefusal> {
        match self.most {
            Some(most) if used.saturating_add(more) > most => Err(PlanRefusal::Limit {
                plan: self.plan.clone(),
                limit: self.limit,
                most,
                used,
            }),
            _ => Ok(()),
        }
    }
}

/// The plan does not allow it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// A limit is reached.
    #[error(
        "the plan '{plan}' allows {most} {} and this workspace has {used}: {}",
        limit.unit(),
        remedy(*limit)
    )]
    Limit {
        /// Name of the plan.
        plan: String,
        /// Which limit.
        limit: Limit,
        /// Its value.
        most: i64,
        /// How much there is already.
        used: i64,
    },
    /// A file is larger than one may be.
    #[error("the plan '{plan}' allows {most} bytes a file: send a smaller file or change the plan")]
    FileSize {
        /// Name of the plan.
        plan: String,
        /// Most bytes of one.
        most: i64,
    },
    /// A feature is not included.
    #[error("the plan '{plan}' does not include '{feature}': change the plan")]
    Feature {
        /// Name of the plan.
        plan: String,
        /// What was wanted.
        feature: Feature,
    },
    /// A dialect that the free plan does not include.
    #[error("premium required: the free plan does not include this API, change the plan")]
    Free,
}

fn remedy(limit: Limit) -> &'static str {
    match limit {
        Limit::ClicksPerMonth => {
            "its links go on redirecting and its clicks are kept, statistics are shown again next month or with another plan"
        }
        _ => "remove some or change the plan",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(features: &str, links: Option<i64>) -> Plan {
        Plan {
            id: 7,
            name: "small".to_owned(),
            is_free: false,
            prices: Prices::default(),
            limits: Limits {
                rate_per_minute: 30,
                links,
                clicks: None,
                domains: None,
                members: None,
                qr_codes: None,
                file_bytes: None,
                file_size: None,
                features: Features::stored(features),
            },
        }
    }

    #[test]
    fn a_refusal_names_the_limit_its_value_and_the_plan() {
        let allowance = plan("*", Some(3)).allowance(Limit::Links);
        assert_eq!(allowance.take(2, 1), Ok(()));
        let refusal = allowance.take(2, 2).expect_err("four");
        assert_eq!(
            refusal.to_string(),
            "the plan 'small' allows 3 links and this workspace has 2: remove some or change the plan"
        );
        assert!(allowance.take(i64::MAX, i64::MAX).is_err());
        let endless = plan("*", None).allowance(Limit::Links);
        assert!(endless.is_unlimited());
        assert_eq!(endless.take(i64::MAX, 1), Ok(()));
    }

    #[test]
    fn a_file_may_be_as_large_as_the_plan_says() {
        let mut plan = plan("*", None);
        assert_eq!(plan.take_file(u64::MAX), Ok(()));
        plan.limits.file_size = Some(1000);
        assert_eq!(plan.take_file(1000), Ok(()));
        assert_eq!(
            plan.take_file(1001).expect_err("too large").to_string(),
            "the plan 'small' allows 1000 bytes a file: send a smaller file or change the plan"
        );
    }

    #[test]
    fn features_are_named_and_unknown_ones_give_no_right() {
        let some = Features::parse(" qr, pixels ").expect("legal");
        assert!(some.include(Feature::Qr) && !some.include(Feature::Bio));
        assert_eq!(some.names(), ["pixels", "qr"]);
        assert_eq!(Features::stored(&some.to_text()), some);
        assert_eq!(Features::parse("qr,*"), Ok(Features::All));
        assert_eq!(Features::All.names().len(), FEATURES.len());
        let error = Features::parse("qr,teleport").expect_err("unknown");
        assert!(error.problem.contains("password, rules"), "{error}");
        let newer = Features::stored("qr,teleport");
        assert_eq!(newer.names(), ["qr"]);
        assert_eq!(Features::parse(""), Ok(Features::Some(BTreeSet::new())));
        let refusal = plan("qr", None)
            .need(Feature::Bio)
            .expect_err("not included");
        assert_eq!(
            refusal.to_string(),
            "the plan 'small' does not include 'bio': change the plan"
        );
    }

    #[test]
    fn every_feature_has_its_name() {
        for (feature, name) in FEATURES {
            assert_eq!(feature.to_string(), name);
        }
    }
}
