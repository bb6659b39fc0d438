//! When a site last served anybody, as the workers of the process tell each other.
//!
//! A site that serves somebody on another worker has no outage here either, so no outdated verdict
//! may serve. Each worker writes that at most four times a second and site, and reads it only where
//! it is in doubt itself. Whoever shares the VM's `vm_id` can write these places: one that does not
//! add up, or lies in the future, counts as none.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use super::shared::{self, Slot};
use super::{CallId, Gate};
use crate::config::{Caching, Policy, Site};
use crate::time::{MonotonicTime, Now};

/// A place of the shared memory that says when a site last served anybody.
#[derive(Debug)]
pub struct Watched {
    site: Site,
    /// The place.
    pub slot: Slot,
}

impl Gate {
    /// What is to be read before this call's failure is made known to the gate: see [`Gate::heard`].
    pub fn watched_for(&self, call: CallId) -> Vec<Watched> {
        let asked = self.lookups.asked_by(call).filter(|lookup| lookup.may_bridge());
        places(asked.into_iter().flat_map(|lookup| &lookup.lead.endpoint.sites))
    }

    /// What is to be read before the gate is told that time has passed, or that a request has come:
    /// only while somebody may be let pass by an outdated verdict.
    pub fn watched(&self, now: Now) -> Vec<Watched> {
        if !self.bridges() {
            return Vec::new();
        }
        let lookups = self.lookups.in_trouble(now.moment);
        let waits = self.waits.bridged(now.moment);
        let endpoints = lookups.map(|lookup| &lookup.lead.endpoint).chain(waits);
        places(endpoints.flat_map(|endpoint| &endpoint.sites).chain(self.sites.not_answering()))
    }

    /// What stood in such a place.
    pub fn heard(&mut self, Watched { site, .. }: Watched, value: Option<&[u8]>, now: Now) {
        if let Some(served) = value.and_then(|value| read(value, &site))
            && served <= now.moment
        {
            self.sites.has_served(&site, served);
        }
    }

    /// Whether a configuration at work lets outdated verdicts serve.
    pub(super) fn bridges(&self) -> bool {
        self.policies.iter().filter_map(|policy| policy.upgrade()).any(|policy| bridges(&policy))
    }
}

/// The places of these sites, each once.
fn places<'s>(sites: impl Iterator<Item = &'s Site>) -> Vec<Watched> {
    let sites: BTreeSet<&Site> = sites.collect();
    let watched = |site: &Site| Watched { site: site.clone(), slot: place(site).0 };
    sites.into_iter().map(watched).collect()
}

pub(super) fn bridges(policy: &Policy) -> bool {
    matches!(policy.cache, Caching::On(cache) if !cache.stale_if_error.is_zero())
}

/// Where it stands when this site last served anybody, and what names the site there.
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

/// What tells other workers that this site served somebody at that moment.
pub(super) fn write(site: &Site, served: MonotonicTime) -> (Slot, Vec<u8>) {
    let (slot, name) = place(site);
    let content = [shared::MAGIC.as_slice(), &name, &served.nanos().to_le_bytes()].concat();
    (slot, shared::seal(content))
}

/// The moment that a value states for this site, if it does.
fn read(value: &[u8], site: &Site) -> Option<MonotonicTime> {
    let (_, name) = place(site);
    let rest = shared::unseal(value)?.strip_prefix(shared::MAGIC)?.strip_prefix(&name)?;
    Some(MonotonicTime::from_nanos(u64::from_le_bytes(rest.try_into().ok()?)))
}
