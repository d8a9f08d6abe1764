//! Settings: `SIGNPOST_KAFKA_BROKERS` and, by the names of librdkafka, everything else.

use std::fmt;

use rdkafka::ClientConfig;
use schemas::names::topics;
use schemas::settings::{Secret, Settings};

const PREFIX: &str = "SIGNPOST_KAFKA_";
const BROKERS: &str = "SIGNPOST_KAFKA_BROKERS";
const PARTITIONS: &str = "SIGNPOST_KAFKA_PARTITIONS";
const TOPIC: &str = "SIGNPOST_KAFKA_TOPIC";
const DEAD_TOPIC: &str = "SIGNPOST_KAFKA_DEAD_TOPIC";

/// Settings of ours under the prefix; all others are librdkafka's.
const OURS: [&str; 4] = [BROKERS, PARTITIONS, TOPIC, DEAD_TOPIC];

/// Partitions of a topic that is made: as many workers may share it, and a stream has one for its life, so more than
/// there are workers today.
const DEFAULT_PARTITIONS: u64 = 12;

/// Longest name of a topic, in bytes (Kafka's own limit).
const MAX_TOPIC_BYTES: usize = 249;

/// What counting every click once rests on; nobody else may set it.
const FIXED: [&str; 19] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "check.crcs",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.protocol",
    "isolation.level",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "transactional.id",
];

/// How Kafka is reached and what its topics are called.
#[derive(Clone)]
pub struct Kafka {
    /// `host:port,…`
    pub brokers: String,
    /// The topic of clicks and books.
    pub topic: String,
    /// The topic of records that could not be stored.
    pub dead_topic: String,
    /// Partitions of a topic that is made.
    pub partitions: u32,
    /// librdkafka's properties.
    properties: Vec<(String, Secret)>,
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kafka({} at {})", self.topic, self.brokers)
    }
}

impl Kafka {
    /// From the environment's settings; mistakes are noted there. `None`: there is no Kafka.
    pub fn from_settings(settings: &mut Settings) -> Option<Self> {
        settings.text(BROKERS)?;
        let brokers =
            settings.parsed_with(BROKERS, "a list of host:port separated by commas", |text| {
                text.split(',')
                    .all(|b| is_broker(b.trim()))
                    .then(|| text.to_owned())
            });
        let mut topic = |name, default: &str| {
            settings
                .parsed_with(
                    name,
                    "a topic's name: letters, digits, '.', '_' and '-'",
                    |text| is_topic(text).then(|| text.to_owned()),
                )
                .unwrap_or_else(|| default.to_owned())
        };
        let topic_name = topic(TOPIC, topics::CLICKS);
        let dead_topic = topic(DEAD_TOPIC, topics::DEAD);
        let partitions = settings.number(PARTITIONS, DEFAULT_PARTITIONS, 1..=10_000);
        let given: Vec<(String, String)> = settings
            .with_prefix(PREFIX)
            .filter(|(setting, _)| !OURS.contains(setting))
            .map(|(setting, value)| (setting.to_owned(), value.to_owned()))
            .collect();
        let mut properties = Vec::new();
        for (setting, value) in given {
            let name = property(&setting);
            match wrong(&name, &value) {
                // Some are secrets, and which ones is librdkafka's to know.
                Some(why) => settings.reject(&setting, "…", &why),
                None => properties.push((name, Secret(value))),
            }
        }
        Some(Self {
            brokers: brokers?,
            topic: topic_name,
            dead_topic,
            partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
            properties,
        })
    }

    /// A client's properties: first `defaults`, then what was given, then what is `fixed`.
    pub fn client(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "signpost");
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, &value.0);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            // Our topics are made with as many partitions as was asked for, not with the broker's default.
            .set("allow.auto.create.topics", "false");
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config
    }

    /// The value given for a property of librdkafka, in milliseconds.
    pub fn milliseconds(&self, name: &str) -> Option<u64> {
        let (_, value) = self.properties.iter().find(|(n, _)| n == name)?;
        value.0.parse().ok()
    }
}

/// librdkafka's name of a setting: `SIGNPOST_KAFKA_SASL_USERNAME` is `sasl.username`.
fn property(setting: &str) -> String {
    setting
        .strip_prefix(PREFIX)
        .unwrap_or(setting)
        .to_ascii_lowercase()
        .replace('_', ".")
}

/// What is wrong with a property, if anything.
fn wrong(name: &str, value: &str) -> Option<String> {
    if FIXED.contains(&name) {
        return Some(format!(
            "left alone: counting every click once rests on our own {name}"
        ));
    }
    let mut config = ClientConfig::new();
    config.set(name, value);
    config
        .create_native_config()
        .err()
        .map(|_| format!("a value that librdkafka takes for its property {name}, if it has that"))
}

fn is_broker(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(['/', ' ', '@'])
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn is_topic(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    text.len() <= MAX_TOPIC_BYTES && !matches!(text, "." | "..") && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_brokers_there_is_no_kafka() {
        let mut settings = Settings::new([("SIGNPOST_KAFKA_SASL_USERNAME", "u")]);
        assert!(Kafka::from_settings(&mut settings).is_none());
        settings.check().expect("no mistake");
    }

    #[test]
    fn properties_of_librdkafka_pass_and_are_not_shown() {
        let mut settings = Settings::new([
            ("SIGNPOST_KAFKA_BROKERS", "a.test:9092,[::1]:9093"),
            ("SIGNPOST_KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
            ("SIGNPOST_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            ("SIGNPOST_KAFKA_SASL_PASSWORD", "hunter2"),
            ("SIGNPOST_KAFKA_SESSION_TIMEOUT_MS", "1500"),
        ]);
        let kafka = Kafka::from_settings(&mut settings).expect("brokers");
        settings.check().expect("no mistake");
        assert_eq!(kafka.partitions, 12);
        assert_eq!(kafka.topic, "signpost.clicks.v1");
        assert_eq!(kafka.milliseconds("session.timeout.ms"), Some(1500));
        let config = kafka.client(&[("linger.ms", "7")], &[("acks", "all")]);
        for (name, value) in [
            ("sasl.password", "hunter2"),
            ("security.protocol", "sasl_ssl"),
            ("linger.ms", "7"),
            ("acks", "all"),
        ] {
            assert_eq!(config.get(name), Some(value));
        }
        config
            .create_native_config()
            .expect("built with TLS and SASL");
        assert!(!format!("{kafka:?}").contains("hunter2"));
    }

    #[test]
    fn every_bad_setting_is_noted_and_no_secret_shown() {
        let mut settings = Settings::new([
            ("SIGNPOST_KAFKA_BROKERS", "a.test"),
            ("SIGNPOST_KAFKA_TOPIC", "a topic"),
            ("SIGNPOST_KAFKA_DEAD_TOPIC", ".."),
            ("SIGNPOST_KAFKA_PARTITIONS", "0"),
            ("SIGNPOST_KAFKA_ACKS", "1"),
            ("SIGNPOST_KAFKA_SASL_PASWORD", "hunter2"),
            ("SIGNPOST_KAFKA_LINGER_MS", "soon"),
        ]);
        assert!(Kafka::from_settings(&mut settings).is_none());
        let errors = settings.check().expect_err("all wrong");
        assert_eq!(errors.0.len(), 7, "{errors}");
        assert!(!errors.to_string().contains("hunter2"));
    }
}
