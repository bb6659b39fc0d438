//! The filter instances of the model: their configuration, as numbers for the model.

use std::cell::RefCell;
use std::rc::Rc;

use oidc_token_connector::policy::{self, Policy};

use super::Key;

/// The configuration of an instance. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Setup {
    /// Its place among [`SETUPS`].
    pub(super) at: usize,
    pub(super) timeout: u64,
    /// For all calls about one request, where there is more than one site.
    pub(super) deadline: u64,
    /// The number of calls without an answer before the filter sends a probe, and the longest pause
    /// between two probes.
    pub(super) breaker: Option<(u32, u64)>,
    /// How many calls a site gets at once.
    pub(super) max_in_flight: usize,
    /// The header that it sets, and the claim that it sets it to.
    pub(super) header: &'static str,
    pub(super) claim: &'static str,
    pub(super) cache: Option<Cache>,
    pub(super) needs_subject: bool,
    /// Whether a request without a value for its header is refused: a rule of its own, which says nothing
    /// of the token.
    pub(super) requires_header: bool,
    pub(super) lets_preflights_pass: bool,
    /// Whether its calls carry a fixed header, so that the provider sees another client.
    pub(super) has_key: bool,
    /// The longest answer that it reads.
    pub(super) limit: usize,
}

/// The limits of an instance's cache.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cache {
    pub(super) ttl: u64,
    pub(super) negative_ttl: u64,
    pub(super) is_shared: bool,
    pub(super) honors_no_store: bool,
    /// How long after its time a valid verdict may serve while no site answers.
    pub(super) stale: u64,
}

thread_local! {
    /// Unused configurations, of each instance.
    static SPARE: RefCell<[Vec<Policy>; MOST_SETUPS]> =
        const { RefCell::new([const { Vec::new() }; MOST_SETUPS]) };
}

/// The settings that separate a site's breakers: `timeout`, `failures`, `open_for`.
pub(super) type Settings = (u64, u32, u64);

/// How many instances there are.
pub const MOST_SETUPS: usize = 9;

const USUAL: Setup = Setup {
    at: 0,
    timeout: 2_000,
    deadline: 4_000,
    breaker: None,
    max_in_flight: 1024,
    header: "x-user",
    claim: "sub",
    cache: None,
    needs_subject: false,
    requires_header: false,
    lets_preflights_pass: false,
    has_key: false,
    limit: 65_536,
};

const fn cache(ttl: u64, negative_ttl: u64, is_shared: bool, honors_no_store: bool) -> Setup {
    let cache = Some(Cache { ttl, negative_ttl, is_shared, honors_no_store, stale: 0 });
    Setup { cache, ..USUAL }
}

/// The same, and valid verdicts serve this much longer while no site answers.
const fn stale(stale: u64, setup: Setup) -> Setup {
    match setup.cache {
        Some(cache) => Setup { cache: Some(Cache { stale, ..cache }), ..setup },
        None => setup,
    }
}

/// All except the one with a fixed header and the one that requires a subject make the same calls.
/// The last two share a breaker; the last one has no cache.
pub(super) static SETUPS: [Setup; MOST_SETUPS] = [
    USUAL,
    Setup { at: 1, timeout: 500, header: "x-subject", ..cache(3_000, 1_000, false, false) },
    Setup {
        at: 2,
        header: "x-mail",
        claim: "email",
        needs_subject: true,
        limit: 100,
        ..stale(5_000, cache(10_000, 2_000, true, false))
    },
    Setup {
        at: 3,
        timeout: 1_000,
        deadline: 1_000,
        max_in_flight: 1,
        lets_preflights_pass: true,
        ..stale(1_000, cache(1_000, 0, true, true))
    },
    Setup {
        at: 4,
        timeout: 1_000,
        breaker: Some((2, 200)),
        has_key: true,
        ..cache(3_000, 1_000, true, false)
    },
    Setup { at: 5, requires_header: true, ..cache(10_000, 2_000, true, false) },
    Setup {
        at: 6,
        timeout: 1_000,
        deadline: 1_500,
        breaker: Some((1, 1_000)),
        ..stale(3_000, cache(1_000, 0, false, false))
    },
    Setup {
        at: 7,
        breaker: Some((2, 500)),
        max_in_flight: 4,
        ..stale(1_000, cache(3_000, 1_000, true, false))
    },
    Setup { at: 8, breaker: Some((2, 500)), max_in_flight: 3, ..USUAL },
];

impl Setup {
    /// A configuration of its own: every instance has one. Reading one costs more than a complete
    /// trace, so returned ones are used again.
    pub(super) fn policy(&self) -> Rc<Policy> {
        let spare = SPARE.with_borrow_mut(|spare| spare[self.at].pop());
        Rc::new(spare.unwrap_or_else(|| self.read()))
    }

    /// The instance gives this configuration up; requests that wait by its rules may still hold it.
    pub(super) fn give_back(&self, policy: Rc<Policy>) {
        if let Ok(policy) = Rc::try_unwrap(policy) {
            SPARE.with_borrow_mut(|spare| spare[self.at].push(policy));
        }
    }

    fn read(&self) -> Policy {
        let Setup { timeout, deadline, max_in_flight, header, claim, limit, .. } = self;
        let (failures, open_for) = self.breaker.unwrap_or((0, 5_000));
        let mut members = vec![
            match self.requires_header {
                true => format!(
                    r#""inject_headers": {{"default": {{"X-Call": "$.call",
                           "{header}": {{"path": "$.{claim}", "required": true}}}}}}"#
                ),
                false => {
                    format!(r#""inject_headers": {{"X-Call": "$.call", "{header}": "$.{claim}"}}"#)
                }
            },
            format!(r#""timeout": "{timeout}ms", "max_userinfo_bytes": {limit}"#),
            format!(r#""require_subject": {}"#, self.needs_subject),
            format!(r#""deadline": "{deadline}ms", "max_in_flight": {max_in_flight}"#),
            format!(r#""breaker": {{"failures": {failures}, "open_for": "{open_for}ms"}}"#),
        ];
        if let Some(Cache { ttl, negative_ttl, is_shared, honors_no_store, stale }) = &self.cache {
            members.push(format!(
                r#""cache": {{"ttl": "{ttl}ms", "negative_ttl": "{negative_ttl}ms",
                              "shared": {is_shared}, "honor_no_store": {honors_no_store},
                              "stale_if_error": "{stale}ms"}}"#
            ));
        }
        if self.lets_preflights_pass {
            members.push(r#""preflight": "pass""#.to_owned());
        }
        if self.has_key {
            members.push(r#""userinfo_headers": {"X-Api-Key": "k"}"#.to_owned());
        }
        // Two regions with one endpoint: only the region separates their keys.
        let two = r#"["https://eu.example/u", "https://us.example/u"]"#;
        let text = format!(
            r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region",
                    "regionCodeValue": {{"FR": {two}, "DE": {two}}},
                    "defaultURI": "https://idp.example/u"}},
                "unknown_region": "reject",
                "error_metadata_location": "ResponseHeaders", "error_header_name": "X-Why",
                {}}}"#,
            members.join(", ")
        );
        policy::read(text.as_bytes()).expect("a good configuration").policy
    }

    /// Whether it lets outdated verdicts serve.
    pub(super) fn bridges(&self) -> bool {
        self.cache.is_some_and(|cache| cache.stale > 0)
    }

    /// How long a request may be held, without the grace for a lost report.
    pub(super) fn patience(&self, key: Key) -> u64 {
        if key.sites().len() > 1 { self.deadline } else { self.timeout }
    }

    pub(super) fn shares(&self) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.is_shared)
    }

    /// Which of a site's breakers is its own, if it has one.
    pub(super) fn settings(&self) -> Option<Settings> {
        self.breaker.map(|(failures, open_for)| (self.timeout, failures, open_for))
    }

    /// How long what any instance keeps of a good answer may serve.
    pub(super) fn keeps_for(&self) -> u64 {
        self.cache.map_or(0, |cache| cache.ttl + cache.stale)
    }
}
