//! The requests of the model: what each asks, and what must come of it where nobody is asked.

use oidc_token_connector::outcome::Outcome;
use oidc_token_connector::userinfo::Call;

use super::setup::Setup;

/// What a request presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// One of few tokens, so that many ask the same; the third states its own end.
    Token(u8),
    /// A CORS preflight with the first token.
    Preflight,
    /// Nothing.
    Nobody,
    /// `Bearer` and what is no token.
    Malformed,
}

/// What a request's region header says.
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

const TOKENS: [&str; 3] = ["t0", "t1", "e30.eyJleHAiOjE3OTAwMDAwMDR9.c2ln"];

/// The headers that some instance sets.
pub(super) const SPOOFED: [&str; 4] = ["x-call", "x-user", "x-subject", "x-mail"];

/// What a request asks of the provider: whoever asks the same may share an answer, nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    token: usize,
    pub(super) region: &'static str,
    has_key: bool,
}

/// A request that arrives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) who: Who,
    pub(super) region: Region,
}

impl Request {
    /// Its headers.
    pub(super) fn pairs(self) -> Vec<(&'static str, Vec<u8>)> {
        let mut pairs: Vec<_> = SPOOFED.map(|name| (name, b"spoof".to_vec())).into();
        let mut push = |name, value: &str| pairs.push((name, value.as_bytes().to_vec()));
        match self.who {
            Who::Token(token) => push("authorization", &bearer(usize::from(token))),
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

    /// What it asks at this instance, or how it ends there unasked.
    pub(super) fn key(self, setup: &Setup) -> Result<Key, Outcome> {
        let token = match self.who {
            Who::Preflight if setup.lets_preflights_pass => return Err(Outcome::Preflight),
            Who::Preflight => 0,
            Who::Token(token) => usize::from(token),
            Who::Nobody => return Err(Outcome::NoCredentials),
            Who::Malformed => return Err(Outcome::Malformed),
        };
        let region = match self.region {
            Region::Absent => "default",
            Region::Fr => "FR",
            Region::De => "DE",
            Region::Unknown => return Err(Outcome::UnknownRegion),
        };
        Ok(Key { token: token % TOKENS.len(), region, has_key: setup.has_key })
    }
}

impl Key {
    /// The end that the token itself states.
    pub(super) fn token_exp(self) -> Option<u64> {
        (self.token == 2).then_some(TOKEN_EXP)
    }

    /// The sites that can be asked, in their order.
    pub(super) fn sites(self) -> &'static [&'static str] {
        if self.region == "default" { &["idp.example"] } else { &["eu.example", "us.example"] }
    }

    /// The call asks this of that site and nothing else.
    #[track_caller]
    pub(super) fn is_asked_by(self, call: &Call, site: usize) {
        assert_eq!(call.cluster, self.sites()[site]);
        let sent = |wanted: &str| -> Vec<&str> {
            let sent = call.headers.iter().filter(|(name, _)| *name == wanted);
            sent.map(|(_, value)| value).collect()
        };
        assert_eq!(sent("authorization"), [bearer(self.token)]);
        assert_eq!(sent("x-api-key"), if self.has_key { vec!["k"] } else { vec![] });
    }
}

fn bearer(token: usize) -> String {
    format!("Bearer {}", TOKENS[token % TOKENS.len()])
}
