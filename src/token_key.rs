//! What one question to a provider is: a digest over everything that decides its answer.
//!
//! The same key serves the verdict cache and the sharing of calls, so that neither can give one
//! tenant's answer to another. No token is ever kept: the digest stands for it, and is compared
//! whole. It must never reach a log, a metric or a reply: a short token could be found from it.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::bearer::BearerToken;
use crate::config::{CallPolicy, Site};

/// SHA-256 over endpoint, region and token, each with its length before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey([u8; 32]);

impl TokenKey {
    /// A key with these bytes, for whoever needs keys that are alike.
    #[cfg(test)]
    pub(crate) fn of_bytes(bytes: [u8; 32]) -> TokenKey {
        TokenKey(bytes)
    }

    /// The digest.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A number that differs from key to key.
    pub(crate) fn number(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 over a token alone: it tells tokens apart wherever they are asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of this token.
    pub(crate) fn of(token: &BearerToken) -> TokenDigest {
        TokenDigest(Sha256::digest(token.expose()).into())
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything of a key but the token: one per endpoint and region, computed with the
/// configuration.
#[derive(Clone)]
pub struct KeyPrefix(Sha256);

impl KeyPrefix {
    /// What the call to an endpoint consists of. The fixed headers are part of it: one of them may
    /// be what the provider knows its client by.
    pub(crate) fn of(call: &CallPolicy, region: &str, sites: &[Site]) -> KeyPrefix {
        let mut prefix = KeyPrefix(Sha256::new());
        prefix.feed(call.method);
        prefix.feed(region);
        for Site { cluster, authority, path, scheme } in sites {
            [scheme, cluster.as_str(), authority, path].into_iter().for_each(|p| prefix.feed(p));
        }
        // What follows is neither another site nor the token.
        prefix.feed("");
        for (name, value) in &call.headers {
            prefix.feed(name);
            prefix.feed(value);
        }
        prefix
    }

    /// The key of the question about this token.
    pub(crate) fn key(&self, token: &BearerToken) -> TokenKey {
        let mut whole = self.clone();
        whole.feed(token.expose());
        TokenKey(whole.0.finalize().into())
    }

    /// The length stands before each part: `a` and `bc` are not `ab` and `c`.
    fn feed(&mut self, part: &str) {
        self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(part);
    }
}

impl fmt::Debug for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use super::*;
    use crate::bearer;
    use crate::head::Head;
    use crate::sim::call_policy;

    fn call(method: &'static str, headers: &[(&str, &str)]) -> CallPolicy {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        CallPolicy { method, headers, ..call_policy() }
    }

    /// Scheme, cluster, authority and path of one site, and a region.
    fn prefix(call: &CallPolicy, endpoint: [&'static str; 5]) -> KeyPrefix {
        let [scheme, cluster, authority, path, region] = endpoint;
        KeyPrefix::of(call, region, &[site(scheme, cluster, authority, path)])
    }

    fn site(scheme: &'static str, cluster: &str, authority: &str, path: &str) -> Site {
        let [cluster, authority, path] = [cluster, authority, path].map(str::to_owned);
        Site { cluster, authority, path, scheme }
    }

    fn key(call: &CallPolicy, endpoint: [&'static str; 5], token: &str) -> TokenKey {
        let value = format!("Bearer {token}");
        let head = Head::new(vec![(b"authorization", value.as_bytes())]);
        prefix(call, endpoint).key(&bearer::parse(&head, 100).unwrap())
    }

    /// The catalogue's rows 129, 132 and 135.
    #[test]
    fn whatever_differs_is_another_question() {
        let usual = ["https", "idp", "idp.example", "/userinfo", "FR"];
        let get = call("GET", &[]);
        let mut keys = vec![key(&get, usual, "token"), key(&call("POST", &[]), usual, "token")];
        for part in 0..usual.len() {
            let mut other = usual;
            other[part] = "other";
            keys.push(key(&get, other, "token"));
        }
        // What moves from one part to its neighbour.
        keys.push(key(&get, ["https", "idp", "idp.example", "/userinfoF", "R"], "token"));
        keys.push(key(&get, ["https", "idpi", "dp.example", "/userinfo", "FR"], "token"));
        keys.push(key(&get, ["https", "idp", "idp.example", "/userinfo", "F"], "Rtoken"));
        for token in ["toke", "tokenn", "Token", "oken", "token="] {
            keys.push(key(&get, usual, token));
        }
        for headers in [&[("a", "bc")][..], &[("ab", "c")], &[("a", "b"), ("c", "")]] {
            keys.push(key(&call("GET", headers), usual, "token"));
        }
        let two =
            [site("https", "idp", "a.example", "/u"), site("https", "idp", "b.example", "/u")];
        let head = Head::new(vec![(b"authorization", b"Bearer token")]);
        let token = bearer::parse(&head, 100).unwrap();
        for sites in [&two[..], &[two[1].clone(), two[0].clone()], &two[..1]] {
            keys.push(KeyPrefix::of(&get, "FR", sites).key(&token));
        }
        let different: HashSet<TokenKey> = keys.iter().copied().collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(key(&get, usual, "token"), keys[0]);
    }

    #[test]
    fn the_timeout_is_no_part_of_the_question() {
        let endpoint = ["https", "idp", "idp.example", "/userinfo", "FR"];
        let patient = CallPolicy { timeout: Duration::from_secs(9), ..call("GET", &[]) };
        assert_eq!(key(&patient, endpoint, "t"), key(&call("GET", &[]), endpoint, "t"));
    }

    #[test]
    fn debug_shows_no_digest() {
        let endpoint = ["https", "idp", "idp.example", "/userinfo", "FR"];
        let key = key(&call("GET", &[]), endpoint, "t");
        assert_eq!(format!("{key:?} {:?}", prefix(&call("GET", &[]), endpoint)), "*** ***");
    }
}
