//! The filter instances of the model: what each is told, as numbers that the model can reckon with.

use std::rc::Rc;

use oidc_token_connector::config::{self, Policy};

/// What an instance is told. Times are in milliseconds.
#[derive(Debug)]
pub(super) struct Setup {
    /// Its place among [`SETUPS`].
    pub(super) at: usize,
    pub(super) timeout: u64,
    /// The header that it sets, and the claim that it sets it to.
    pub(super) header: &'static str,
    pub(super) claim: &'static str,
    pub(super) cache: Option<Cache>,
    pub(super) needs_subject: bool,
    pub(super) lets_preflights_pass: bool,
    /// Whether its calls carry a fixed header, by which the provider knows another client.
    pub(super) has_key: bool,
    /// The longest answer that it reads.
    pub(super) limit: usize,
}

/// What an instance may remember.
#[derive(Debug)]
pub(super) struct Cache {
    pub(super) ttl: u64,
    pub(super) negative_ttl: u64,
    pub(super) is_shared: bool,
    pub(super) honors_no_store: bool,
}

/// How many instances there are.
pub const MOST_SETUPS: usize = 6;

const USUAL: Setup = Setup {
    at: 0,
    timeout: 2_000,
    header: "x-user",
    claim: "sub",
    cache: None,
    needs_subject: false,
    lets_preflights_pass: false,
    has_key: false,
    limit: 65_536,
};

const fn cache(ttl: u64, negative_ttl: u64, is_shared: bool, honors_no_store: bool) -> Setup {
    let cache = Some(Cache { ttl, negative_ttl, is_shared, honors_no_store });
    Setup { cache, ..USUAL }
}

/// All but the one with a fixed header ask the same of the provider.
pub(super) static SETUPS: [Setup; MOST_SETUPS] = [
    USUAL,
    Setup { at: 1, timeout: 500, header: "x-subject", ..cache(3_000, 1_000, false, false) },
    Setup {
        at: 2,
        header: "x-mail",
        claim: "email",
        needs_subject: true,
        limit: 100,
        ..cache(10_000, 2_000, true, false)
    },
    Setup { at: 3, timeout: 1_000, lets_preflights_pass: true, ..cache(1_000, 0, true, true) },
    Setup { at: 4, timeout: 1_000, has_key: true, ..cache(3_000, 1_000, true, false) },
    Setup { at: 5, ..cache(10_000, 2_000, true, false) },
];

impl Setup {
    /// Read anew each time: every instance has a configuration of its own.
    pub(super) fn policy(&self) -> Rc<Policy> {
        let Setup { timeout, header, claim, limit, .. } = self;
        let mut members = vec![
            format!(r#""inject_headers": {{"X-Call": "$.call", "{header}": "$.{claim}"}}"#),
            format!(r#""timeout": "{timeout}ms", "max_userinfo_bytes": {limit}"#),
            format!(r#""require_subject": {}"#, self.needs_subject),
            r#""breaker": {"failures": 0}"#.to_owned(),
        ];
        if let Some(Cache { ttl, negative_ttl, is_shared, honors_no_store }) = &self.cache {
            members.push(format!(
                r#""cache": {{"ttl": "{ttl}ms", "negative_ttl": "{negative_ttl}ms",
                              "shared": {is_shared}, "honor_no_store": {honors_no_store}}}"#
            ));
        }
        if self.lets_preflights_pass {
            members.push(r#""preflight": "pass""#.to_owned());
        }
        if self.has_key {
            members.push(r#""userinfo_headers": {"X-Api-Key": "k"}"#.to_owned());
        }
        // Two regions with one endpoint: the region alone tells their questions apart.
        let text = format!(
            r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region",
                    "regionCodeValue": {{"FR": "https://eu.example/u", "DE": "https://eu.example/u"}},
                    "defaultURI": "https://idp.example/u"}},
                "unknown_region": "reject",
                "error_metadata_location": "ResponseHeaders", "error_header_name": "X-Why",
                {}}}"#,
            members.join(", ")
        );
        Rc::new(config::read(text.as_bytes()).expect("a good configuration").policy)
    }

    pub(super) fn shares(&self) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.is_shared)
    }
}
