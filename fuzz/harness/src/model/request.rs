//! The requests of the model: the lookup of each, and its result if no call is made.

use oidc_token_connector::outcome::Outcome;
use oidc_token_connector::provider::call::Call;

use super::setup::Setup;

/// The credentials of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// One of few tokens, so that many requests have the same; the third has its own `exp`.
    Token(u8),
    /// One of the tokens of a possibly hostile caller: no other caller uses them.
    Hostile(u8),
    /// A CORS preflight with the first token.
    Preflight,
    /// Nothing.
    Nobody,
    /// `Bearer` and what is no token.
    Malformed,
}

/// The region header of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// It has none.
    Absent,
    /// A configured code.
    Fr,
    /// Another, with the same endpoint.
    De,
    /// A code that is not configured.
    Unknown,
}

/// When the third token ends, in seconds since 1970: `{"exp":1790000004}`.
const TOKEN_EXP: u64 = super::START + 4;

const TOKENS: [&str; 7] = ["t0", "t1", "e30.eyJleHAiOjE3OTAwMDAwMDR9.c2ln", "h0", "h1", "h2", "h3"];

/// The number of tokens that are not the hostile caller's.
const USUAL: usize = 3;

/// The headers that some instance sets.
pub(super) const SPOOFED: [&str; 4] = ["x-call", "x-user", "x-subject", "x-mail"];

/// The key of a request: requests with the same key may share an answer, no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    token: usize,
    pub(super) region: &'static str,
    has_key: bool,
    /// The settings that decide whether an answer validates are part of the key.
    pub(super) needs_subject: bool,
}

/// A request that arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) who: Who,
    pub(super) region: Region,
    /// Identifiers that join the provider's log with the gateway's.
    pub(super) number: u64,
}

impl Request {
    /// Its headers.
    pub(super) fn pairs(self) -> Vec<(&'static str, Vec<u8>)> {
        let mut pairs: Vec<_> = SPOOFED.map(|name| (name, b"spoof".to_vec())).into();
        let mut push = |name, value: &str| pairs.push((name, value.as_bytes().to_vec()));
        push("x-request-id", &id(self.number));
        match self.who {
            Who::Token(_) | Who::Hostile(_) => push("authorization", &bearer(self.token())),
            Who::Preflight => {
                push("authorization", &bearer(0));
                push(":method", "OPTIONS");
                push("origin", "https://shop.example");
                push("access-control-request-method", "GET");
            }
            Who::Nobody => {}
            Who::Malformed => push("authorization", "Bearer a b"),
        }
        match self.region {
            Region::Absent => {}
            Region::Fr => push("x-region", "FR"),
            Region::De => push("x-region", "DE"),
            Region::Unknown => push("x-region", "XX"),
        }
        pairs
    }

    fn token(self) -> usize {
        match self.who {
            Who::Token(token) => usize::from(token) % USUAL,
            Who::Hostile(token) => USUAL + usize::from(token) % (TOKENS.len() - USUAL),
            Who::Preflight | Who::Nobody | Who::Malformed => 0,
        }
    }

    /// Its key at this instance, or its end there without a call.
    pub(super) fn key(self, setup: &Setup) -> Result<Key, Outcome> {
        match self.who {
            Who::Preflight if setup.lets_preflights_pass => return Err(Outcome::Preflight),
            Who::Nobody => return Err(Outcome::NoCredentials),
            Who::Malformed => return Err(Outcome::Malformed),
            Who::Preflight | Who::Token(_) | Who::Hostile(_) => {}
        }
        let region = match self.region {
            Region::Absent => "default",
            Region::Fr => "FR",
            Region::De => "DE",
            Region::Unknown => return Err(Outcome::UnknownRegion),
        };
        let Setup { has_key, needs_subject, .. } = *setup;
        Ok(Key { token: self.token(), region, has_key, needs_subject })
    }
}

impl Key {
    /// Whether only the hostile caller has this key.
    pub(super) fn is_hostile(self) -> bool {
        self.token >= USUAL
    }

    /// The end that the token itself states.
    pub(super) fn token_exp(self) -> Option<u64> {
        (self.token == 2).then_some(TOKEN_EXP)
    }

    /// The sites that can be called, in their order.
    pub(super) fn sites(self) -> &'static [&'static str] {
        if self.region == "default" { &["idp.example"] } else { &["eu.example", "us.example"] }
    }

    /// The call goes to that site, for the request with that number, and has nothing else.
    #[track_caller]
    pub(super) fn is_asked_by(self, call: &Call, site: usize, number: u64) {
        assert_eq!(call.cluster, self.sites()[site]);
        assert_eq!(sent(call, "authorization"), [bearer(self.token)]);
        assert_eq!(sent(call, "x-request-id"), [id(number)]);
        is_plain(call, self.has_key);
    }
}

/// The common parts of a call to any of the sites.
#[track_caller]
pub(super) fn is_plain(call: &Call, has_key: bool) {
    assert_eq!((sent(call, ":method"), sent(call, ":path")), (vec!["GET"], vec!["/u"]));
    assert_eq!(sent(call, "x-api-key"), if has_key { vec!["k"] } else { vec![] });
}

/// The number of the request that a call was made for; `None` if it is about no token.
pub(super) fn asks_for(call: &Call) -> Option<u64> {
    let id = sent(call, "x-request-id").first().map(|id| id.trim_start_matches('q').to_owned());
    let number = id.map(|id| id.parse().expect("a request's number"));
    assert_eq!(number.is_some(), !sent(call, "authorization").is_empty());
    number
}

/// The values of a header of a call.
pub(super) fn sent<'c>(call: &'c Call, wanted: &str) -> Vec<&'c str> {
    let sent = call.headers.iter().filter(|(name, _)| *name == wanted);
    sent.map(|(_, value)| value).collect()
}

fn id(number: u64) -> String {
    format!("q{number}")
}

fn bearer(token: usize) -> String {
    format!("Bearer {}", TOKENS[token])
}
