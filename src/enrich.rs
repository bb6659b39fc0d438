//! What the upstream gets: the client's request less everything that only this filter may say,
//! plus what the provider said.
//!
//! Stripping comes first and does not depend on why the request may pass: a claim that is missing
//! must leave its header absent, never with the client's own value in it.

use std::borrow::Cow;
use std::rc::Rc;

use crate::claims::{self, Claim};
use crate::config::{Authorization, ClaimRule, Endpoint, ForwardPolicy};
use crate::expiry;
use crate::gate::PAIR;
use crate::head::{Field, Head};
use crate::jsonpath::Budget;
use crate::sabotage::Guard;
use crate::time::Date;
use crate::verdict::Permit;

/// The header names that only this filter may set, compared as gateways behind it may fold them:
/// lower-cased, every character outside `a-z0-9` read as `_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StripList {
    /// By length, then by bytes.
    folded: Vec<Vec<u8>>,
    /// The lengths that occur, a bit each; the last stands for all from there on. Most names of a
    /// request have none of them, and nothing is compared.
    lengths: u64,
}

impl StripList {
    /// Builds the list from header names in any spelling.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> StripList {
        let mut folded: Vec<Vec<u8>> = names.into_iter().map(|n| fold(n.as_bytes())).collect();
        folded.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        folded.dedup();
        let lengths = folded.iter().fold(0, |bits, name| bits | bit(name.len()));
        StripList { folded, lengths }
    }

    /// Whether a header of this name may not pass.
    pub fn covers(&self, name: &[u8]) -> bool {
        // A pseudo-header is no field that a client could forge, whatever it folds to.
        self.lengths & bit(name.len()) != 0
            && Guard::Strip.stands()
            && !name.starts_with(b":")
            && self
                .of_length(name.len())
                .any(|f| f.iter().zip(name).all(|(f, b)| *f == fold_byte(*b)))
    }

    fn of_length(&self, length: usize) -> impl Iterator<Item = &Vec<u8>> {
        let from = self.folded.partition_point(|f| f.len() < length);
        self.folded.iter().skip(from).take_while(move |f| f.len() == length)
    }

    /// The names in `head` that may not pass, as they are written there, each once.
    pub fn found_in(&self, head: &Head<'_>) -> Vec<Name> {
        let found = head.names().filter(|name| self.covers(name));
        let mut found: Vec<Name> = found.map(|name| Name::Owned(name.to_vec())).collect();
        found.sort();
        found.dedup();
        found
    }
}

/// The bit of a name's length.
fn bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// The name of a header, as it is written in a request.
pub type Name = Cow<'static, [u8]>;

/// The form in which two header names are the same name.
pub fn fold(name: &[u8]) -> Vec<u8> {
    name.iter().map(|b| fold_byte(*b)).collect()
}

fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => byte,
        b'A'..=b'Z' => byte.to_ascii_lowercase(),
        _ => b'_',
    }
}

/// What has to go from a request before it may be forwarded, found while its headers are at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleansing {
    remove: Vec<Name>,
    connection: Option<String>,
}

impl Cleansing {
    /// Looks through a request's headers.
    pub fn of(head: &Head<'_>, policy: &ForwardPolicy) -> Cleansing {
        let mut remove = fields_to_remove(head, policy);
        let mut connection = None;
        match ConnectionOptions::of(head) {
            ConnectionOptions::Harmless => {}
            ConnectionOptions::Reduced(kept) if kept.is_empty() => {
                remove.push(Name::Borrowed(b"connection"));
            }
            ConnectionOptions::Reduced(kept) => connection = Some(kept.join(", ")),
        }
        Cleansing { remove, connection }
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let names = self.remove.iter().map(|name| match name {
            Name::Borrowed(_) => size_of::<Name>(),
            Name::Owned(name) => name.len().saturating_add(PAIR),
        });
        names.fold(self.connection.as_ref().map_or(0, String::len), usize::saturating_add)
    }
}

/// The fields that may not pass, in headers or in trailers, as they are written there.
pub fn fields_to_remove(fields: &Head<'_>, policy: &ForwardPolicy) -> Vec<Name> {
    let mut remove = policy.strip.found_in(fields);
    match policy.authorization {
        Authorization::Remove if fields.field("authorization") != Field::Absent => {
            remove.push(Name::Borrowed(b"authorization"));
        }
        Authorization::Remove | Authorization::Forward => {}
    }
    remove
}

/// What `Connection` may still say. Envoy forwards it as it is on an upgrade, and a next hop must
/// delete every header that it names (RFC 9110 §7.6.1), an identity header too.
enum ConnectionOptions {
    /// Nothing that could name a header.
    Harmless,
    /// Only these of what it says.
    Reduced(Vec<&'static str>),
}

impl ConnectionOptions {
    fn of(head: &Head<'_>) -> ConnectionOptions {
        if head.field("connection") == Field::Absent {
            return ConnectionOptions::Harmless;
        }
        let options = head.values("connection").flat_map(|value| value.split(|b| *b == b','));
        let known = options.map(|option| {
            ["upgrade", "keep-alive", "close"]
                .into_iter()
                .find(|known| option.trim_ascii().eq_ignore_ascii_case(known.as_bytes()))
        });
        let known: Vec<Option<&'static str>> = known.collect();
        if known.iter().all(Option::is_some) {
            ConnectionOptions::Harmless
        } else {
            ConnectionOptions::Reduced(known.into_iter().flatten().collect())
        }
    }
}

/// Edits of a request's headers: all removals first, then what is added and replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEdit {
    /// Names to remove, every copy.
    pub remove: Vec<Name>,
    /// What the provider said: shared with whoever else it was said of, and with the cache.
    vouched: Rc<Vouched>,
    region: Option<(Rc<str>, Rc<str>)>,
    connection: Option<String>,
}

impl HeaderEdit {
    /// Headers that then have exactly this one value.
    pub fn set(&self) -> impl Iterator<Item = (&str, &str)> {
        self.added().chain(self.replaced())
    }

    /// Those of them that are no longer there once all that is to be removed is gone: only this
    /// filter may set them, and each name is there once. Adding costs the host less than half of
    /// what replacing does.
    pub fn added(&self) -> impl Iterator<Item = (&str, &str)> {
        let claims = self.vouched.set.iter().map(|(name, value)| (&**name, value.as_str()));
        let region = self.region.iter().map(|(name, region)| (&**name, &**region));
        claims.chain(region)
    }

    /// Those of them that are there.
    pub fn replaced(&self) -> impl Iterator<Item = (&str, &str)> {
        self.connection.iter().map(|value| ("connection", value.as_str()))
    }

    /// What is left as filter state for Envoy's other filters: name and value.
    pub fn state(&self) -> impl Iterator<Item = (&str, &str)> {
        self.vouched.state.iter().map(|(name, value)| (&**name, value.as_str()))
    }
}

/// How many claims gave nothing although something was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClaimFaults {
    /// Values that no header, and no filter state, may carry.
    pub invalid: u32,
    /// Searches given up for their cost.
    pub over_budget: u32,
}

/// What a permit gives the upstream by the rules of one endpoint. Like the permit it is evidence:
/// it is made from one alone. It may be kept beside the answer that the permit was made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Vouched {
    set: Vec<(Rc<str>, String)>,
    state: Vec<(Rc<str>, String)>,
    faults: ClaimFaults,
    exp: Option<Date>,
}

impl Vouched {
    /// Reads the claims that the endpoint that was asked has rules for; a preflight asked none.
    pub fn of(permit: &Permit<'_>, endpoint: Option<&Endpoint>) -> Vouched {
        let (set, state, faults) = (Vec::new(), Vec::new(), ClaimFaults::default());
        let mut vouched = Vouched { set, state, faults, exp: None };
        let (Some(endpoint), Some(claims)) = (endpoint, permit.claims()) else {
            return vouched;
        };
        vouched.exp = expiry::of_claims(claims);
        let mut budget = Budget::for_answer();
        let mut left = claims::MAX_ALL;
        let mut read = |rules: &[ClaimRule], found: &mut Vec<(Rc<str>, String)>| {
            let faults = &mut vouched.faults;
            for rule in rules {
                match claims::read(claims, rule, &mut budget) {
                    Claim::Value(value) => {
                        match left.checked_sub(rule.name.len().saturating_add(value.len())) {
                            Some(rest) => {
                                left = rest;
                                found.push((Rc::clone(&rule.name), value));
                            }
                            None => faults.invalid = faults.invalid.saturating_add(1),
                        }
                    }
                    Claim::Absent => {}
                    Claim::Invalid => faults.invalid = faults.invalid.saturating_add(1),
                    Claim::OverBudget => faults.over_budget = faults.over_budget.saturating_add(1),
                }
            }
        };
        read(&endpoint.rules, &mut vouched.set);
        read(&endpoint.state, &mut vouched.state);
        vouched
    }

    /// When it ends by the answer's own `exp`.
    pub(crate) fn exp(&self) -> Option<Date> {
        self.exp
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let pair = |n: usize, v: usize| n.saturating_add(v).saturating_add(PAIR);
        let all = self.set.iter().chain(&self.state);
        all.map(|(name, value)| pair(name.len(), value.len())).sum()
    }
}

/// The edits that a request is forwarded with. `endpoint` is the one that was asked; a preflight
/// has none.
pub fn edit(
    vouched: &Rc<Vouched>,
    policy: &ForwardPolicy,
    endpoint: Option<&Endpoint>,
    cleansing: Cleansing,
) -> (HeaderEdit, ClaimFaults) {
    let Cleansing { remove, connection } = cleansing;
    let region = policy.region_header.as_ref().zip(endpoint);
    let region = region.map(|(name, asked)| (Rc::clone(name), Rc::clone(&asked.region)));
    let faults = vouched.faults;
    (HeaderEdit { remove, vouched: Rc::clone(vouched), region, connection }, faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(authorization: Authorization) -> ForwardPolicy {
        ForwardPolicy {
            authorization,
            region_header: None,
            strip: StripList::new(["X-User-Email", "X-Unit-Id"]),
        }
    }

    fn cleansed(pairs: Vec<(&[u8], &[u8])>, authorization: Authorization) -> Cleansing {
        Cleansing::of(&Head::new(pairs), &policy(authorization))
    }

    #[test]
    fn every_spelling_of_an_identity_header_goes() {
        let list = StripList::new(["X-User-Email"]);
        for name in ["x-user-email", "X-USER-EMAIL", "x_user_email", "x-user_email", "x.user!email"]
        {
            assert!(list.covers(name.as_bytes()), "{name}");
        }
        assert!(!StripList::new(["x-path"]).covers(b":path"));
        assert!(!StripList::new(["-path"]).covers(b":path"));
        for name in ["x-user-emai", "x-user-email2", "xuseremail", "x-user-e-mail", "y-user-email"]
        {
            assert!(!list.covers(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn names_are_removed_as_written_and_once() {
        let pairs: Vec<(&[u8], &[u8])> = vec![
            (b"x-user-email", b"a"),
            (b"x_user_email", b"b"),
            (b"x-user-email", b"c"),
            (b"accept", b"*/*"),
            (b"authorization", b"Bearer t"),
        ];
        let names = |list: &[&str]| {
            list.iter().map(|n| n.as_bytes().to_vec().into()).collect::<Vec<Name>>()
        };
        assert_eq!(
            cleansed(pairs.clone(), Authorization::Remove).remove,
            names(&["x-user-email", "x_user_email", "authorization"])
        );
        assert_eq!(
            cleansed(pairs, Authorization::Forward).remove,
            names(&["x-user-email", "x_user_email"])
        );
    }

    #[test]
    fn trailers_lose_what_headers_lose() {
        let trailers =
            Head::new(vec![(b"authorization", b"t"), (b"x_unit_id", b"u"), (b"x-sum", b"1")]);
        let removed = |authorization| fields_to_remove(&trailers, &policy(authorization));
        assert_eq!(removed(Authorization::Forward), [&b"x_unit_id"[..]]);
        let both = [&b"x_unit_id"[..], &b"authorization"[..]];
        assert_eq!(removed(Authorization::Remove), both);
    }

    #[test]
    fn connection_keeps_only_what_cannot_name_a_header() {
        let connection = |value: &'static [u8]| {
            let cleansing = cleansed(vec![(b"connection", value)], Authorization::Forward);
            (cleansing.connection, !cleansing.remove.is_empty())
        };
        assert_eq!(
            connection(b"Upgrade, X-User-Email,Authorization"),
            (Some("upgrade".to_owned()), false)
        );
        assert_eq!(connection(b"keep-alive, Upgrade"), (None, false));
        assert_eq!(connection(b"upgrade, , Close"), (Some("upgrade, close".to_owned()), false));
        assert_eq!(connection(b"X-User-Email"), (None, true));
        assert_eq!(cleansed(vec![], Authorization::Remove).connection, None);
    }

    #[test]
    fn nothing_is_removed_that_is_not_there() {
        assert!(cleansed(vec![(b"accept", b"*/*")], Authorization::Remove).remove.is_empty());
    }
}
