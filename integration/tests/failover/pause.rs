//! A provider that asks for a pause with `Retry-After` gets one.

use std::time::{Duration, Instant};

use integration::{Provider, Reply, Response};
use serde_json::json;

use crate::World;

fn retry_after(response: &Response) -> u64 {
    let header = response.header("retry-after").expect("a header");
    header.parse().expect("whole seconds")
}

/// That it is asked once a second at most shows by the time that its calls took in all.
#[tokio::test]
async fn a_pause_that_a_provider_asks_for_is_kept() {
    let world = World::of(1, json!({})).await;
    let busy = |seconds: &str| Reply::status(503).header("retry-after", seconds);
    world.sites[0].answer(busy("5"));
    let before = Instant::now();
    let (response, _) = world.ask("first").await;
    assert_eq!((response.status, retry_after(&response)), (503, 5));
    let (response, _) = world.unavailable("second", "slowed_down").await;
    // What is left of the five seconds, in whole ones.
    let left = 5_u64.saturating_sub(before.elapsed().as_secs());
    assert!((left.max(2)..=5).contains(&retry_after(&response)), "{response:?}");
    let mut refused = 1;
    while world.sites[0].count() < 4 {
        let (response, line) = world.ask(&format!("token{refused}")).await;
        let taken = before.elapsed();
        assert_eq!(response.status, 503);
        // The rest of the pause or `userinfo_unavailable`, whichever is larger.
        assert!((2..=5).contains(&retry_after(&response)), "{response:?}");
        refused += u64::from(line["details"] == "oidc_token_connector{unavailable:slowed_down}");
        let calls = u32::try_from(world.sites[0].count()).expect("few");
        assert!(taken >= Duration::from_secs(1) * (calls - 1), "{calls} calls within {taken:?}");
    }
    println!("a provider that asks for a pause: 4 calls for {} requests", refused + 4);
    assert!(refused > 10, "{refused}");
    world.counted("calls.refused_by_breaker", refused).await;
    assert_eq!(world.counter("breaker.opened").await, 0);
    // A good answer ends the pause at once.
    world.sites[0].answer(Reply::json(200, &json!({"sub": "a"})));
    let mut status = 0;
    while status != 200 {
        status = world.ask("again").await.0.status;
    }
    for n in 0..10 {
        world.passes(&format!("well{n}")).await;
    }
    assert_eq!(world.calls(), [15]);
}

/// The provider's pause, or the configured one, whichever is longer: also where the provider's is
/// longer than it is heeded.
#[tokio::test]
async fn whoever_is_refused_is_told_the_longer_pause() {
    for (asked, told) in [("5", 30..=30), ("3600", 3590..=3600)] {
        let config = json!({"userinfo_unavailable": {"status": 503, "retry_after": "30s"}});
        let world = World::of(1, config).await;
        world.sites[0].answer(Reply::status(503).header("retry-after", asked));
        world.ask("first").await;
        let (response, _) = world.unavailable("second", "slowed_down").await;
        assert!(told.contains(&retry_after(&response)), "{response:?}");
    }
}

/// A 429 to one token is that user's affair; to two in a row it is everybody's.
#[tokio::test]
async fn one_users_limit_slows_nobody_else() {
    let world = World::of(2, json!({})).await;
    let limited = || Reply::status(429).header("retry-after", "5");
    for site in &world.sites {
        site.answer_token("greedy", limited());
    }
    for n in 0..10 {
        assert_eq!(world.ask("greedy").await.0.status, 429);
        assert_eq!(world.passes(&format!("token{n}")).await, "a");
    }
    assert_eq!(world.calls(), [20, 10]);
    // Now the first site limits everybody: two calls are enough, and the second is asked.
    world.sites[0].answer(limited());
    let before = world.sites[0].count();
    for n in 0..30 {
        assert_eq!(world.passes(&format!("other{n}")).await, "b");
    }
    let asked = world.sites[0].count() - before;
    assert!((2..30).contains(&asked), "{asked} calls");
    assert_eq!(world.sites.iter().map(Provider::count).sum::<usize>(), 20 + asked + 40);
}
