//! A token waits alone if its provider sent `Retry-After`: its requests get that answer again with
//! the remaining time and without a call, and all other tokens pass.

use std::time::{Duration, Instant};

use integration::{Reply, Response};
use serde_json::{Value, json};

use crate::World;

fn retry_after(response: &Response) -> u64 {
    let header = response.header("retry-after").expect("a header");
    header.parse().expect("whole seconds")
}

/// Whole seconds, and not less than there is.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// An answer to a token with too many calls.
fn limited(status: u16, seconds: &str) -> Reply {
    Reply::json(status, &json!({"error": "slow_down"})).header("retry-after", seconds)
}

#[tokio::test]
async fn limited_token_waits_alone() {
    for status in [429, 503] {
        let wait = Duration::from_secs(3);
        let world = World::of(1, json!({})).await;
        let site = &world.sites[0];
        site.answer_token("greedy", limited(status, "3"));
        let began = Instant::now();
        let (first, line) = world.ask("greedy").await;
        let told = Instant::now();
        assert_eq!((first.status, retry_after(&first)), (status, 3), "{line}");
        assert_eq!(line["outcome"], "provider_error;asked;default");

        let (mut refused, mut others) = (0, 0);
        let last = loop {
            let asked = Instant::now();
            let (response, line) = world.ask("greedy").await;
            if site.calls_with("greedy").len() > 1 {
                assert_eq!(line["outcome"], "provider_error;asked;default");
                break response;
            }
            assert_eq!(line["outcome"], "provider_error;none;default");
            refused += 1;
            // The same answer with the remaining time of the three seconds.
            assert_eq!((response.status, response.text()), (status, first.text()));
            let least = seconds(wait.saturating_sub(began.elapsed())).max(1);
            let most = seconds(wait.saturating_sub(asked.duration_since(told))).max(1);
            let left = retry_after(&response);
            assert!((least..=most).contains(&left), "{left} s, expected {least} to {most}");
            // No other token waits.
            world.passes(&format!("token{others}")).await;
            others += 1;
        };
        assert!(began.elapsed() >= wait, "asked again after {:?}", began.elapsed());
        assert_eq!((last.status, retry_after(&last)), (status, 3));
        assert!(refused > 10, "{refused} requests in three seconds");
        assert_eq!((site.calls_with("greedy").len(), site.count()), (2, 2 + others));
        world.counted("calls.refused_by_wait", refused).await;
        assert_eq!(world.counter("calls.refused_by_breaker").await, 0);
        assert_eq!(world.counter("breaker.opened").await, 0);
        world.nothing_is_left().await;
    }
}

/// Without a time the token does not wait, and a 500 has none.
#[tokio::test]
async fn without_valid_retry_after_no_token_waits() {
    let world = World::of(1, json!({})).await;
    for (token, answer) in [
        ("429", Reply::status(429)),
        ("503", Reply::status(503)),
        ("now", limited(429, "0")),
        ("soon", limited(429, "soon")),
        ("500", limited(500, "60")),
        ("401", limited(401, "60")),
    ] {
        world.sites[0].answer_token(token, answer);
        for calls in 1..=3 {
            world.ask(token).await;
            assert_eq!(world.sites[0].calls_with(token).len(), calls, "{token}");
        }
    }
    assert_eq!(world.counter("calls.refused_by_wait").await, 0);
}

/// Each called site must have sent a time; a site that did not may be called again at once.
#[tokio::test]
async fn token_waits_only_if_every_site_limits_it() {
    let failed = || Reply::status(500);
    for (first, second, status, left, asked_again) in [
        (limited(429, "60"), limited(503, "9"), 503, Some(9), false),
        (limited(503, "9"), limited(429, "60"), 429, Some(9), false),
        (limited(429, "60"), failed(), 500, None, true),
        (failed(), limited(429, "60"), 429, Some(60), true),
        (limited(429, "60"), Reply::silence(), 429, Some(60), true),
        (limited(429, "60"), Reply::json(200, &json!({"sub": "b"})), 200, None, true),
    ] {
        let what = format!("{first:?} {second:?}");
        let world = World::of(2, json!({})).await;
        world.sites[0].answer_token("t", first);
        world.sites[1].answer_token("t", second);
        assert_eq!(world.ask("t").await.0.status, status, "{what}");
        let (response, _) = world.ask("t").await;
        assert_eq!(response.status, status, "{what}");
        let calls = if asked_again { [2, 2] } else { [1, 1] };
        assert_eq!(world.calls(), calls, "{what}");
        match left {
            None => assert_eq!(response.header("retry-after"), None, "{what}"),
            // The shortest of them.
            Some(left) => {
                assert!((1..=left).contains(&retry_after(&response)), "{response:?} {what}");
            }
        }
        assert_eq!(world.passes("other").await, "a");
    }
}

/// The provider's time counts, also where the configuration tells another and gives the answer.
#[tokio::test]
async fn requests_of_a_waiting_token_get_retry_after() {
    let unavailable = json!({"status": 503, "retry_after": "300s"});
    for (provider_errors, status) in [("relay", 429), ("map", 503)] {
        let config = json!({
            "provider_errors": provider_errors,
            "userinfo_unavailable": unavailable,
        });
        let world = World::of(1, config).await;
        world.sites[0].answer(limited(429, "3600"));
        let mut told = Vec::<(u16, Value)>::new();
        for n in 0..2 {
            let (response, line) = world.ask("t").await;
            assert!((3590..=3600).contains(&retry_after(&response)), "{n}: {response:?}");
            told.push((response.status, line["details"].clone()));
        }
        let details = json!("oidc_token_connector{provider_error:provider_4xx}");
        assert_eq!(told, [(status, details.clone()), (status, details)], "{provider_errors}");
        assert_eq!(world.calls(), [1]);
    }
}
