//! What one question to a provider is: a digest over everything that decides its answer.
//!
//! The same key serves the verdict cache and the sharing of calls, so that neither can give one
//! tenant's answer to another. No token is ever kept: its digest replaces it, and is compared in
//! full. It must never reach a log, a metric or a reply: a short token could be found from it.

use std::fmt;
use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::provider::settings::{CallPolicy, Site};
use crate::request::bearer::BearerToken;

/// What a worker's keys are made with: without it nobody can make two questions that have one key.
#[derive(Clone, Copy)]
pub struct Seed([u8; 16]);

impl Seed {
    /// A seed of random bytes, which nobody outside may know.
    pub const fn new(random: [u8; 16]) -> Seed {
        Seed(random)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What one worker knows a question by: SipHash-2-4 with 128 bits, keyed with the worker's [`Seed`],
/// over endpoint, region and token. A keyed function of a token of 800 bytes costs a tenth of its
/// SHA-256, and every request pays for one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenKey([u64; 2]);

/// Half of it is hash enough: nobody can choose it.
impl Hash for TokenKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.number());
    }
}

impl TokenKey {
    /// A key with these halves, for tests that need similar keys.
    #[cfg(test)]
    pub(crate) fn of_halves(halves: [u64; 2]) -> TokenKey {
        TokenKey(halves)
    }

    /// A number that differs from key to key.
    pub(crate) fn number(&self) -> u64 {
        let [first, _] = self.0;
        first
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What all workers know a question by: SHA-256 over endpoint, region and token, each with its
/// length before it. They have no seed in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SharedKey([u8; 32]);

impl SharedKey {
    /// The digest.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A number that differs from key to key.
    pub(crate) fn number(&self) -> u64 {
        self.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Everything of a key but the token: one per endpoint and region, computed with the
/// configuration.
#[derive(Clone)]
pub struct KeyPrefix {
    /// The beginning of every [`SharedKey`].
    begun: Sha256,
    /// What every [`TokenKey`] begins with.
    digest: [u8; 32],
}

impl KeyPrefix {
    /// What the call to an endpoint consists of, and what in its response vouches: `method` says so. The fixed headers
    /// are part of it: one of them may be what the provider knows its client by.
    pub(crate) fn of(
        method: &[&str],
        call: &CallPolicy,
        (region, issuer): (&str, Option<&str>),
        sites: &[Site],
    ) -> KeyPrefix {
        let mut begun = Sha256::new();
        let mut feed = |part: &str| feed(&mut begun, part);
        // How many there are, so that nothing can move between them and what follows.
        feed(&method.len().to_string());
        method.iter().copied().for_each(&mut feed);
        feed(region);
        // The issuer that the response must name.
        feed(issuer.unwrap_or_default());
        for Site { cluster, authority, path, scheme } in sites {
            [scheme, cluster.as_str(), authority, path].into_iter().for_each(&mut feed);
        }
        // What follows is neither another site nor the token.
        feed("");
        for (name, value) in &call.headers {
            feed(name);
            feed(value);
        }
        let digest = begun.clone().finalize().into();
        KeyPrefix { begun, digest }
    }

    /// The key of the question about this token, on the worker with this seed.
    pub(crate) fn key(&self, token: &BearerToken<'_>, seed: Seed) -> TokenKey {
        let mut hasher = SipHasher24::new_with_key(&seed.0);
        // Always of one length, so that nothing can move between it and the token.
        hasher.write(&self.digest);
        hasher.write(token.expose().as_bytes());
        let hash = hasher.finish128();
        TokenKey([hash.h1, hash.h2])
    }

    /// The key of the question about this token, on any worker.
    pub(crate) fn shared_key(&self, token: &BearerToken<'_>) -> SharedKey {
        let mut whole = self.begun.clone();
        feed(&mut whole, token.expose());
        SharedKey(whole.finalize().into())
    }
}

/// The length precedes each part: `a` and `bc` are not `ab` and `c`.
fn feed(digest: &mut Sha256, part: &str) {
    digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
    digest.update(part);
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
    use crate::claims::jsonpath::JsonPath;
    use crate::provider::method::ValidationMethod as _;
    use crate::provider::subject::{SubjectPath, Success};
    use crate::provider::userinfo::{SignedUserInfo, UserInfo};
    use crate::request::bearer;
    use crate::request::headers::HeaderView;
    use crate::sim::call_policy;

    /// How a provider is asked.
    type Asking = (UserInfo, CallPolicy);

    fn call(method: &'static str, headers: &[(&str, &str)]) -> Asking {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        (
            UserInfo { method, jwt: SignedUserInfo::Refuse, success: Success::Object },
            CallPolicy { headers, ..call_policy() },
        )
    }

    /// Scheme, cluster, authority and path of one site, and a region.
    fn prefix((method, call): &Asking, endpoint: [&'static str; 5]) -> KeyPrefix {
        let [scheme, cluster, authority, path, region] = endpoint;
        KeyPrefix::of(
            &method.key_parts(),
            call,
            (region, None),
            &[site(scheme, cluster, authority, path)],
        )
    }

    fn site(scheme: &'static str, cluster: &str, authority: &str, path: &str) -> Site {
        let [cluster, authority, path] = [cluster, authority, path].map(str::to_owned);
        Site { cluster, authority, path, scheme }
    }

    const SEED: Seed = Seed([7; 16]);

    /// Both keys.
    type Keys = (TokenKey, SharedKey);

    fn key(call: &Asking, endpoint: [&'static str; 5], token: &str) -> Keys {
        keys(&prefix(call, endpoint), token)
    }

    fn keys(prefix: &KeyPrefix, token: &str) -> Keys {
        let value = format!("Bearer {token}");
        let head = HeaderView::new(vec![(b"authorization", value.as_bytes())]);
        let token = bearer::parse(&head, 100).unwrap();
        (prefix.key(&token, SEED), prefix.shared_key(&token))
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
        for sites in [&two[..], &[two[1].clone(), two[0].clone()], &two[..1]] {
            let prefix = KeyPrefix::of(&get.0.key_parts(), &get.1, ("FR", None), sites);
            keys.push(super::tests::keys(&prefix, "token"));
        }
        // What has to be in the answer: what vouched by one rule says nothing by another.
        let at = |text: &str| {
            let path = JsonPath::compile(text).unwrap();
            Success::ObjectWithSubjectAt(SubjectPath { text: text.into(), path })
        };
        let sites = [site("https", "idp", "idp.example", "/userinfo")];
        for success in
            [Success::ObjectWithSubject, at("$.sub"), at("$.data.sub"), at("FR"), Success::Any]
        {
            let method = UserInfo { method: "GET", jwt: SignedUserInfo::Refuse, success };
            let prefix = KeyPrefix::of(&method.key_parts(), &get.1, ("FR", None), &sites);
            keys.push(super::tests::keys(&prefix, "token"));
        }
        // The issuer that the response must name.
        for issuer in ["https://a.example", "https://b.example"] {
            let named = ("FR", Some(issuer));
            let prefix = KeyPrefix::of(&get.0.key_parts(), &get.1, named, &sites);
            keys.push(super::tests::keys(&prefix, "token"));
        }
        let different: HashSet<TokenKey> = keys.iter().map(|(key, _)| *key).collect();
        assert_eq!(different.len(), keys.len());
        let different: HashSet<SharedKey> = keys.iter().map(|(_, key)| *key).collect();
        assert_eq!(different.len(), keys.len());
        assert_eq!(key(&get, usual, "token"), keys[0]);
    }

    #[test]
    fn the_timeout_is_no_part_of_the_question() {
        let endpoint = ["https", "idp", "idp.example", "/userinfo", "FR"];
        let (method, call_policy) = call("GET", &[]);
        let patient = (method, CallPolicy { timeout: Duration::from_secs(9), ..call_policy });
        assert_eq!(key(&patient, endpoint, "t"), key(&call("GET", &[]), endpoint, "t"));
    }

    #[test]
    fn another_worker_has_other_keys_and_the_same_shared_ones() {
        let head = HeaderView::new(vec![(b"authorization", b"Bearer token")]);
        let token = bearer::parse(&head, 100).unwrap();
        let (method, call) = call("GET", &[]);
        let prefix = KeyPrefix::of(&method.key_parts(), &call, ("FR", None), &[]);
        let key = prefix.key(&token, SEED);
        assert_ne!(prefix.key(&token, Seed([8; 16])), key);
        // Both halves are compared: one alone would make keys of half the length.
        let TokenKey([first, second]) = key;
        assert_ne!(TokenKey([first, second ^ 1]), key);
        assert_ne!(TokenKey([first ^ 1, second]), key);
    }

    #[test]
    fn debug_shows_no_digest() {
        let endpoint = ["https", "idp", "idp.example", "/userinfo", "FR"];
        let (key, shared) = key(&call("GET", &[]), endpoint, "t");
        let prefix = prefix(&call("GET", &[]), endpoint);
        assert_eq!(format!("{key:?} {shared:?} {prefix:?} {SEED:?}"), "*** *** *** ***");
    }
}
