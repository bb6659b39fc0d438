//! The arithmetic of a cache: the number of calls, for users by Zipf's law.
//!
//! For a token with λ requests a second the cache makes a call, has the verdict for its ttl, and
//! makes the next call at the first request after that, 1/λ later on average: one call per ttl +
//! 1/λ. The rest is a sum over users. Requests are assumed to be independent; shared calls are not
//! counted separately.

/// Users with the same request rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Class {
    users: f64,
    /// Of all requests, of each of them.
    share: f64,
}

/// Ranks that are classes of their own; beyond them neighbours differ little.
const SINGLE: u64 = 1000;

/// How much the ranks of one class may differ.
const WIDTH: f64 = 1.01;

/// That many users by Zipf's law with exponent 1, in classes: there may be 10^8 of them.
pub(crate) fn zipf(users: u64) -> Vec<Class> {
    let mut classes = Vec::new();
    let mut first = 1;
    while first <= users {
        let last = if first <= SINGLE { first } else { (first as f64 * WIDTH) as u64 };
        let last = last.min(users);
        let of = last - first + 1;
        classes.push(Class { users: of as f64, share: weight(first, last) / of as f64 });
        first = last + 1;
    }
    let all: f64 = classes.iter().map(|class| class.users * class.share).sum();
    classes.iter_mut().for_each(|class| class.share /= all);
    classes
}

/// The sum of 1/rank from one rank to another.
fn weight(first: u64, last: u64) -> f64 {
    if first == last {
        return 1.0 / first as f64;
    }
    ((last as f64 + 0.5) / (first as f64 - 0.5)).ln()
}

/// Calls per second of one cache in the steady state, at this rate of requests per second.
pub(crate) fn steady(classes: &[Class], per_second: f64, ttl: f64) -> f64 {
    let calls = |class: &Class| {
        let own = class.share * per_second;
        class.users * own / (1.0 + own * ttl)
    };
    classes.iter().map(calls).sum()
}

/// Calls of one cache in its first `seconds`, which it began empty.
pub(crate) fn from_empty(classes: &[Class], per_second: f64, ttl: f64, seconds: f64) -> f64 {
    let calls = |class: &Class| {
        let own = class.share * per_second;
        // The n-th call has been made if n waits for a request have fitted in beside n-1 times ttl.
        let nth = |n: u32| {
            let waiting = seconds - f64::from(n - 1) * ttl;
            (waiting > 0.0).then(|| at_least(n, own * waiting))
        };
        class.users * (1..).map_while(nth).sum::<f64>()
    };
    classes.iter().map(calls).sum()
}

/// How likely at least `n` come where `mean` come on average (Poisson). Not for both in the many
/// hundreds: what is far below the mean counts as sure.
fn at_least(n: u32, mean: f64) -> f64 {
    let mut exactly = (-mean).exp();
    let mut fewer = 0.0;
    for k in 0..n {
        fewer += exactly;
        exactly *= mean / f64::from(k + 1);
    }
    1.0 - fewer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() <= expected.abs() * 1e-3, "{value}, not {expected}");
    }

    #[test]
    fn classes_cover_all_users_and_requests() {
        for users in [1, 10_000, 100_000_000] {
            let classes = zipf(users);
            close(classes.iter().map(|class| class.users).sum(), users as f64);
            close(classes.iter().map(|class| class.users * class.share).sum(), 1.0);
        }
        let (drawn, classes) = (crate::numbers::zipf(10_000), zipf(10_000));
        close(classes[0].share, drawn[0]);
        let last = classes.last().unwrap();
        close(last.users * last.share, drawn[9_999] - drawn[9_999 - last.users as usize]);
    }

    #[test]
    fn cache_makes_one_call_per_ttl_and_gap() {
        let one = zipf(1);
        close(steady(&one, 10.0, 9.9), 0.1);
        close(steady(&one, 10.0, 0.0), 10.0);
        // Sure to have come and known from then on; half a chance to come at all; after long it is
        // as it stays.
        close(from_empty(&one, 100.0, 60.0, 30.0), 1.0);
        close(from_empty(&one, std::f64::consts::LN_2, 60.0, 1.0), 0.5);
        close(from_empty(&one, 1.0, 9.0, 5000.0), 500.0);
    }
}
