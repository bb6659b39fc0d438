//! Attacks that must not affect other callers. Each is what one caller can do with tokens alone.

use std::time::Duration;

use integration::{Listener, Reply};
use serde_json::json;

use crate::row::{Row, config, row};

/// Instances at one site: one that gives it hardly any time, and one without a breaker.
fn hasty_and_never(listener: Listener) -> Listener {
    listener.instance("hasty", "/hasty", config(json!({"timeout": "50ms"}))).instance(
        "never",
        "/never",
        config(json!({"breaker": {"failures": 0}})),
    )
}

/// Slow calls for invalid tokens that use all calls at a time, together with known users.
fn crowded(name: &'static str, most: u32, ttl: &str) -> Row {
    let keys = json!({"max_in_flight": most, "timeout": "2s", "cache": {"ttl": ttl}});
    row(name, |_| Reply::silence(), 503).config(keys).known()
}

pub(crate) fn rows() -> Vec<Row> {
    let busy = |_: &_| Reply::status(503).header("retry-after", "10");
    vec![
        row("limited", |_| Reply::status(429).header("retry-after", "3600"), 429)
            .tokens(|n| format!("one-user-{}", n % 2))
            .worth(1),
        row("busy_each_second", busy, 503).tokens(|_| "busy".into()).every(30).worth(1),
        row("busy", busy, 503).tokens(|_| "busy".into()).worth(1),
        row("reset", |_| Reply::reset(), 503).tokens(|n| format!("../../etc/passwd/{n}")),
        row("slow", |_| Reply::silence(), 503).config(json!({"timeout": "1s"})),
        row("slow_five_times", |_| Reply::silence(), 503)
            .config(json!({"timeout": "1s"}))
            .tokens(|_| "slow".into())
            .in_turns(5),
        row("hasty_instance", |_| Reply::json(200, &json!({"sub": "late"})), 503)
            .change(hasty_and_never)
            .under("/hasty", &["", "/never"])
            .takes(Duration::from_millis(150)),
        crowded("cap_2_fresh", 2, "1h"),
        crowded("cap_2_expired", 2, "500ms"),
        crowded("cap_8_fresh", 8, "1h"),
        crowded("cap_8_expired", 8, "500ms"),
        row("crash", |_| Reply::text(500, "out of order"), 500).tokens(|_| "crash".into()),
        row("garbage", |_| Reply::raw("garbage\r\n\r\n"), 503).tokens(|_| "garbage".into()),
    ]
}
