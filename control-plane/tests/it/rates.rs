//! How each dialect counts calls, to the call and to the second: several keys at once, with the clock stopped.

use futures_util::{StreamExt as _, stream};
use http::Method;
use serde_json::Value;

use crate::harness::{Answer, TestApp};

/// Calls of each key beyond its limit.
const MORE: i64 = 5;

/// Calls under way at the same time.
const AT_ONCE: usize = 32;

/// Rates of the keys, in calls a minute.
const RATES: [u32; 3] = [1, 2, 4];

/// What a dialect promises.
struct Form {
    path: &'static str,
    /// Length of a window, in seconds.
    window: i64,
    /// Calls a window, for each a minute.
    calls: i64,
    /// Whether each call leaves when its own time is over, and not all of a window at once.
    rolls: bool,
    /// Whether an answer refuses in the dialect's form.
    refuses: fn(&Answer, &Value) -> bool,
}

const OPENMYLINK: Form = Form {
    path: "/api/account",
    window: 60,
    calls: 1,
    rolls: false,
    refuses: |answer, json| {
        answer.header("content-type") == "application/json" && json["error"] == 429
    },
};

const MINILNK: Form = Form {
    path: "/api/v1/links",
    window: 60,
    calls: 1,
    rolls: true,
    refuses: |answer, json| {
        answer.header("content-type") == "application/json" && json["message"].is_string()
    },
};

const URLR: Form = Form {
    path: "/api/v2/workspaces",
    window: 60,
    calls: 1,
    rolls: false,
    refuses: |answer, json| {
        answer.header("content-type") == "application/problem+json" && json["status"] == 429
    },
};

const SMARTLINKS: Form = Form {
    path: "/v1/links",
    window: 3600,
    calls: 60,
    rolls: false,
    refuses: |answer, json| {
        answer.header("content-type") == "application/json"
            && json["error"]["code"] == "rate_limited"
    },
};

/// A key with the calls it has a window.
struct Key {
    key: String,
    limit: i64,
}

struct Counted<'a> {
    app: &'a TestApp,
    form: &'a Form,
    keys: Vec<Key>,
}

impl Counted<'_> {
    fn now(&self) -> i64 {
        self.app.config.clock.now_ms().div_euclid(1000)
    }

    fn wait(&self, seconds: i64) {
        self.app.config.clock.advance_ms(seconds * 1000);
    }

    async fn call(&self, key: &Key) -> Answer {
        let bearer = format!("Bearer {}", key.key);
        let headers = match self.form.path.starts_with("/api/v2") {
            true => ("x-api-key", key.key.as_str()),
            false => ("authorization", bearer.as_str()),
        };
        self.app
            .call(Method::GET, self.form.path, &[headers], "")
            .await
    }

    /// A call that must be one of the window's.
    async fn counts(&self, key: &Key, remaining: i64, reset: i64) {
        let answer = self.call(key).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.number("x-ratelimit-limit"), key.limit);
        assert_eq!(answer.number("x-ratelimit-remaining"), remaining);
        assert_eq!(answer.number("x-ratelimit-reset"), reset);
        assert!(!answer.headers.contains_key("retry-after"));
    }

    /// A call that must be one too many.
    async fn is_too_many(&self, key: &Key, wait: i64) {
        self.refused(&self.call(key).await, key, wait);
    }

    #[track_caller]
    fn refused(&self, answer: &Answer, key: &Key, wait: i64) {
        let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(answer.status, 429, "{json}");
        assert!((self.form.refuses)(answer, &json), "{json}");
        assert_eq!(answer.number("x-ratelimit-limit"), key.limit);
        assert_eq!(answer.number("x-ratelimit-remaining"), 0);
        assert_eq!(answer.number("x-ratelimit-reset"), self.now() + wait);
        assert_eq!(answer.number("retry-after"), wait);
    }

    /// All keys at once, each with more calls than it has: just as many succeed as it has, whoever else calls.
    async fn fill(&self) {
        let most = self.keys.iter().map(|key| key.limit).max().expect("keys");
        let rounds = (0..most + MORE).flat_map(|round| {
            let keys = self.keys.iter().enumerate();
            keys.filter(move |(_, key)| round < key.limit + MORE)
        });
        let calls = rounds.map(async |(place, key)| (place, self.call(key).await));
        let answers: Vec<(usize, Answer)> = stream::iter(calls)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        for (place, key) in self.keys.iter().enumerate() {
            let mut left = Vec::new();
            for (_, answer) in answers.iter().filter(|(of, _)| *of == place) {
                if answer.status == 200 {
                    left.push(answer.number("x-ratelimit-remaining"));
                    let reset = answer.number("x-ratelimit-reset");
                    assert_eq!(reset, self.now() + self.form.window);
                } else {
                    self.refused(answer, key, self.form.window);
                }
            }
            left.sort_unstable();
            let each: Vec<i64> = (0..key.limit).collect();
            assert_eq!(left, each, "each number once");
        }
    }
}

async fn counts(form: Form) {
    let app = TestApp::on_sqlite().await;
    // One dialect is not for the free plan.
    let paid = control_plane::store::plans::assign(&app.running.store, 1, 3, None).await;
    assert!(paid.expect("set"));
    let mut keys = Vec::new();
    for rate in RATES {
        keys.push(Key {
            key: app.key(&format!("{rate} a minute"), Some(rate)).await,
            limit: i64::from(rate) * form.calls,
        });
    }
    app.config.clock.stop();
    let all = Counted {
        app: &app,
        form: &form,
        keys,
    };
    all.fill().await;
    // Refused calls neither lengthen the window nor count against the next.
    all.wait(form.window - 1);
    for key in &all.keys {
        all.is_too_many(key, 1).await;
    }
    all.wait(1);
    all.fill().await;

    // One call, and half a window later the others.
    let key = &all.keys[1];
    let half = form.window / 2;
    all.wait(form.window);
    let began = all.now();
    all.counts(key, key.limit - 1, began + form.window).await;
    all.wait(half);
    for left in (0..key.limit - 1).rev() {
        all.counts(key, left, began + form.window).await;
    }
    all.is_too_many(key, half).await;
    all.wait(half);
    let now = all.now();
    if form.rolls {
        // The one is over; the others are when their own time is.
        all.counts(key, 0, now + half).await;
        all.is_too_many(key, half).await;
        all.wait(half);
        for left in (0..key.limit - 1).rev() {
            all.counts(key, left, now + form.window).await;
        }
        all.is_too_many(key, half).await;
    } else {
        for left in (0..key.limit).rev() {
            all.counts(key, left, now + form.window).await;
        }
        all.is_too_many(key, form.window).await;
    }
    // Who did nothing meanwhile has all of its own.
    all.counts(&all.keys[0], all.keys[0].limit - 1, all.now() + form.window)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openmylink_counts_by_the_minute() {
    counts(OPENMYLINK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minilnk_counts_over_the_last_minute() {
    counts(MINILNK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn urlr_counts_by_the_minute() {
    counts(URLR).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn smartlinks_counts_by_the_hour() {
    counts(SMARTLINKS).await;
}
