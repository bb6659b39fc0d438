//! When a site last served anybody, as the workers of the process tell each other.
//!
//! A site that serves somebody on another worker has no outage here either, so no outdated verdict
//! may serve. Each worker writes that at most four times a second and site, and reads it only where
//! it is in doubt itself. Other modules with the VM's `vm_id` can write these places: a value that
//! is inconsistent, or in the future, counts as none.

use sha2::{Digest as _, Sha256};

use super::shared::{self, Slot};
use crate::policy::{Caching, Policy, Site};
use crate::time::MonotonicTime;

/// Whether a configuration lets outdated verdicts serve.
pub(super) fn bridges(policy: &Policy) -> bool {
    matches!(policy.cache, Caching::On(cache) if !cache.stale_if_error.is_zero())
}

/// The slot that holds when this site last answered, and the site's name in it.
fn place(site: &Site) -> (Slot, [u8; 16]) {
    let Site { cluster, authority, path, scheme } = site;
    let mut digest = Sha256::new();
    for text in [cluster, authority, path, *scheme] {
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    let mut name = [0; 16];
    name.iter_mut().zip(digest.finalize()).for_each(|(byte, digest)| *byte = digest);
    (Slot::of_site(u128::from_le_bytes(name)), name)
}

/// The slot that says when this site last served anybody.
pub(super) fn slot(site: &Site) -> Slot {
    place(site).0
}

/// What tells other workers that this site served somebody at that moment.
pub(super) fn write(site: &Site, served: MonotonicTime) -> (Slot, Vec<u8>) {
    let (slot, name) = place(site);
    let content = [shared::MAGIC.as_slice(), &name, &served.nanos().to_le_bytes()].concat();
    (slot, shared::seal(content))
}

/// The moment that a value states for this site, if it does.
pub(super) fn read(value: &[u8], site: &Site) -> Option<MonotonicTime> {
    let (_, name) = place(site);
    let rest = shared::unseal(value)?.strip_prefix(shared::MAGIC)?.strip_prefix(&name)?;
    Some(MonotonicTime::from_nanos(u64::from_le_bytes(rest.try_into().ok()?)))
}
