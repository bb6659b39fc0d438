//! Verdicts in Envoy's shared data, for the other workers of the process.
//!
//! Nothing can be deleted there, so there is a fixed number of places, chosen by the key, and a
//! newer verdict takes an older one's. Other modules with the VM's `vm_id` can read and write these
//! places: a value never holds a token, and one that is inconsistent, or of another key, counts as
//! none.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::entry::{CacheEntry, Kind, StoredResponse};
use crate::provider::key::SharedKey;
use crate::time::{MonotonicTime, UnixTime};

/// How many places there are: for good verdicts, and for refusals, which a flood of bad tokens
/// must not let drive out good ones.
pub const SLOTS: [u16; 2] = [16_384, 2_048];

/// Largest value. With [`SLOTS`] it bounds the shared memory: 72 MiB.
const MOST_BYTES: usize = 4096;

/// The first bytes of a value; the digit is the format's version.
pub(super) const MAGIC: &[u8; 8] = b"oidc-tc1";

/// How many bytes of a value's digest it contains.
const SUM: usize = 16;

/// A place in the shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    what: What,
    number: u128,
}

/// The content of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Verdict(Kind),
    Served,
}

impl Slot {
    pub(super) fn of(key: &SharedKey, kind: Kind) -> Slot {
        let [good, bad] = SLOTS;
        let places = match kind {
            Kind::Accepted => good,
            Kind::Rejected => bad,
        };
        let number = (key.number() >> 32).checked_rem(u64::from(places)).unwrap_or(0);
        Slot { what: What::Verdict(kind), number: u128::from(number) }
    }

    /// The place of a site with this digest: one for each, since only configurations name sites.
    pub(super) fn of_site(digest: u128) -> Slot {
        Slot { what: What::Served, number: digest }
    }

    /// The name that Envoy knows it by.
    pub fn name(self) -> String {
        let what = match self.what {
            What::Verdict(Kind::Accepted) => "good",
            What::Verdict(Kind::Rejected) => "bad",
            What::Served => "served",
        };
        format!("oidc_token_connector.{what}.{}", self.number)
    }
}

/// The cache entry as a value, and where it belongs; `None` if it is too large.
pub(super) fn write(entry: &CacheEntry, key: &SharedKey) -> Option<(Slot, Vec<u8>)> {
    let mut value = MAGIC.to_vec();
    value.extend_from_slice(key.bytes());
    value.push(match entry.kind {
        Kind::Accepted => b'+',
        Kind::Rejected => b'-',
    });
    value.push(u8::from(entry.no_store));
    let max_age = entry.max_age.map_or(u64::MAX, |age| age.as_secs());
    let exp = entry.exp.map_or(u64::MAX, |UnixTime(seconds)| seconds);
    for number in [entry.asked.nanos(), max_age, exp] {
        value.extend(number.to_le_bytes());
    }
    let StoredResponse { fields, body } = &entry.words;
    let fields = fields.iter().flat_map(|(name, value)| [name, value]);
    for text in fields.chain([body.as_ref()?]) {
        value.extend(u32::try_from(text.len()).ok()?.to_le_bytes());
        value.extend_from_slice(text);
    }
    let value = seal(value);
    (value.len() <= MOST_BYTES).then(|| (Slot::of(key, entry.kind), value))
}

/// The cache entry that a value holds for this key, if it does.
pub(super) fn read(value: &[u8], key: &SharedKey) -> Option<CacheEntry> {
    if value.len() > MOST_BYTES {
        return None;
    }
    let mut rest = unseal(value)?.strip_prefix(MAGIC)?.strip_prefix(key.bytes())?;
    let [kind, no_store] = *take(&mut rest)?;
    let kind = match kind {
        b'+' => Kind::Accepted,
        b'-' => Kind::Rejected,
        _ => return None,
    };
    let mut number = || take(&mut rest).map(|bytes| u64::from_le_bytes(*bytes));
    let (asked, max_age, exp) = (number()?, number()?, number()?);
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let length = usize::try_from(u32::from_le_bytes(*take(&mut rest)?)).ok()?;
        let (text, further) = rest.split_at_checked(length)?;
        texts.push(text);
        rest = further;
    }
    let body = Box::from(texts.pop()?);
    let (pairs, []) = texts.as_chunks::<2>() else {
        return None;
    };
    Some(CacheEntry {
        kind,
        asked: MonotonicTime::from_nanos(asked),
        max_age: (max_age < u64::MAX).then(|| Duration::from_secs(max_age)),
        no_store: no_store != 0,
        exp: (exp < u64::MAX).then_some(UnixTime(exp)),
        words: StoredResponse {
            fields: pairs
                .iter()
                .map(|[name, value]| (Box::from(*name), Box::from(*value)))
                .collect(),
            body: Some(body),
        },
    })
}

/// The content with its digest.
pub(super) fn seal(mut content: Vec<u8>) -> Vec<u8> {
    let sum = Sha256::digest(&content);
    content.extend(sum.into_iter().take(SUM));
    content
}

/// The content of a value that adds up.
pub(super) fn unseal(value: &[u8]) -> Option<&[u8]> {
    let (content, sum) = value.split_at_checked(value.len().checked_sub(SUM)?)?;
    (Sha256::digest(content).get(..SUM)? == sum).then_some(content)
}

fn take<'b, const N: usize>(rest: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (taken, further) = rest.split_first_chunk()?;
    *rest = further;
    Some(taken)
}
