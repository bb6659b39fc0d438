//! What has to go from a request before it may be forwarded: every header that only this filter may
//! set, in any spelling that a gateway behind it may take for the same, and the token.
//!
//! It does not depend on why the request may pass, and comes first: a claim that is missing must
//! leave its header absent, never with the client's own value in it.

pub(crate) mod settings;

use std::borrow::Cow;
use std::rc::Rc;

use crate::config::names::{fold, fold_byte};
use crate::request::headers::{Field, HeaderView, PAIR};

/// What the upstream gets to see.
#[derive(Debug)]
pub struct ForwardPolicy {
    /// What becomes of `Authorization`.
    pub authorization: Authorization,
    /// `region_header`, lower-cased: carries the region that was used.
    pub region_header: Option<Rc<str>>,
    /// `anonymous_header`, lower-cased: says that a request has no credentials.
    pub anonymous_header: Option<Rc<str>>,
    /// Every header name that only this filter may set, of all regions.
    pub strip: StripList,
}

/// `block_authorization_header`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// Removed before the upstream.
    Remove,
    /// Forwarded byte for byte.
    Forward,
}

/// The header names that only this filter may set, compared as gateways behind it may fold them:
/// lower-cased, every character outside `a-z0-9` read as `_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StripList {
    /// By length, then by bytes.
    folded: Vec<Vec<u8>>,
    /// The lengths that occur, a bit each; the last bit means this length or more. Of the names of
    /// these lengths, the marks that occur. Most names of a request have none, and are not compared.
    lengths: u64,
    marks: [u64; 4],
}

impl StripList {
    /// Builds the list from header names in any spelling.
    pub fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> StripList {
        // Inserted in their order: a sort is 6 kB of code for each type.
        let mut folded: Vec<Vec<u8>> = Vec::new();
        for name in names.into_iter().map(|name| fold(name.as_bytes())) {
            let order =
                |known: &Vec<u8>| known.len().cmp(&name.len()).then_with(|| known.cmp(&name));
            if let Err(at) = folded.binary_search_by(order) {
                folded.insert(at, name);
            }
        }
        let mut marks = [0; 4];
        for (part, bit) in folded.iter().map(|name| mark(name)) {
            if let Some(part) = marks.get_mut(part) {
                *part |= bit;
            }
        }
        let lengths = folded.iter().fold(0, |bits, name| bits | length_bit(name.len()));
        StripList { folded, lengths, marks }
    }

    /// Whether a header of this name may not pass.
    pub fn covers(&self, name: &[u8]) -> bool {
        // A pseudo-header is no field that a client could forge, whatever it folds to.
        let is_marked = |(part, bit)| self.marks.get(part).is_none_or(|marks| marks & bit != 0);
        self.lengths & length_bit(name.len()) != 0
            && is_marked(mark(name))
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
    pub fn found_in(&self, head: &HeaderView<'_>) -> Vec<Name> {
        let mut found: Vec<Name> = Vec::new();
        for name in head.names().filter(|name| self.covers(name)) {
            if let Err(at) = found.binary_search_by(|known| known.as_ref().cmp(name)) {
                found.insert(at, Name::Owned(name.to_vec()));
            }
        }
        found
    }
}

fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// A number from 0 to 255 that follows from a name's length, first and last byte as they are folded, as
/// one of four words and a bit in it.
fn mark(name: &[u8]) -> (usize, u64) {
    let byte = |byte: Option<&u8>| byte.map_or(0, |byte| fold_byte(*byte));
    let (first, last) = (byte(name.first()), byte(name.last()));
    let length = name.len().to_le_bytes();
    let [length, ..] = length;
    let mark = first.wrapping_mul(31).wrapping_add(last.wrapping_mul(7)) ^ length;
    (usize::from(mark >> 6), 1 << (mark & 63))
}

/// The name of a header, as it is written in a request.
pub type Name = Cow<'static, [u8]>;

/// What has to go from a request before it may be forwarded, found while its headers are at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StripPlan {
    /// Names to remove, every copy.
    pub(crate) remove: Vec<Name>,
    /// What `Connection` is replaced with.
    pub(crate) connection: Option<String>,
}

impl StripPlan {
    /// Looks through the headers of a request about which a provider is asked.
    pub fn of(head: &HeaderView<'_>, policy: &ForwardPolicy) -> StripPlan {
        StripPlan::with(head, policy, policy.authorization)
    }

    /// The same for a request that passes without that. Its credentials go too, whatever becomes of those
    /// that a provider vouches for: nobody has looked at them.
    pub fn of_unasked(head: &HeaderView<'_>, policy: &ForwardPolicy) -> StripPlan {
        StripPlan::with(head, policy, Authorization::Remove)
    }

    fn with(
        head: &HeaderView<'_>,
        policy: &ForwardPolicy,
        authorization: Authorization,
    ) -> StripPlan {
        let mut remove = fields_to_remove(head, &policy.strip, authorization);
        let mut connection = None;
        match ConnectionOptions::of(head) {
            ConnectionOptions::Harmless => {}
            ConnectionOptions::Reduced(kept) if kept.is_empty() => {
                remove.push(Name::Borrowed(b"connection"));
            }
            ConnectionOptions::Reduced(kept) => connection = Some(kept.join(", ")),
        }
        StripPlan { remove, connection }
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

/// The trailers that may not pass, as they are written there. Credentials among them, whatever becomes of
/// those in the headers: nobody has looked at them (RFC 9110 §6.5.1).
pub fn trailers_to_remove(trailers: &HeaderView<'_>, policy: &ForwardPolicy) -> Vec<Name> {
    fields_to_remove(trailers, &policy.strip, Authorization::Remove)
}

/// The fields that may not pass, as they are written there.
fn fields_to_remove(
    fields: &HeaderView<'_>,
    strip: &StripList,
    authorization: Authorization,
) -> Vec<Name> {
    let mut remove = strip.found_in(fields);
    match authorization {
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
    /// Only these of its options.
    Reduced(Vec<&'static str>),
}

impl ConnectionOptions {
    fn of(head: &HeaderView<'_>) -> ConnectionOptions {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(authorization: Authorization) -> ForwardPolicy {
        ForwardPolicy {
            authorization,
            region_header: None,
            anonymous_header: None,
            strip: StripList::new(["X-User-Email", "X-Unit-Id"]),
        }
    }

    fn cleansed(pairs: Vec<(&[u8], &[u8])>, authorization: Authorization) -> StripPlan {
        StripPlan::of(&HeaderView::new(pairs), &policy(authorization))
    }

    #[test]
    fn every_spelling_of_an_identity_header_is_stripped() {
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
    fn names_are_removed_once_as_written() {
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
    fn trailers_are_stripped_like_headers() {
        let trailers =
            HeaderView::new(vec![(b"authorization", b"t"), (b"x_unit_id", b"u"), (b"x-sum", b"1")]);
        let removed = |authorization| trailers_to_remove(&trailers, &policy(authorization));
        // Credentials in a trailer are nobody's: the filter has seen none of them.
        let both = [&b"x_unit_id"[..], &b"authorization"[..]];
        assert_eq!(removed(Authorization::Forward), both);
        assert_eq!(removed(Authorization::Remove), both);
    }

    #[test]
    fn connection_keeps_only_what_cannot_name_a_header() {
        let connection = |value: &'static [u8]| {
            let strip_plan = cleansed(vec![(b"connection", value)], Authorization::Forward);
            (strip_plan.connection, !strip_plan.remove.is_empty())
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
    fn only_present_headers_are_removed() {
        assert!(cleansed(vec![(b"accept", b"*/*")], Authorization::Remove).remove.is_empty());
    }
}
