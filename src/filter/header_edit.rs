//! What the upstream gets: the client's request less everything that only this filter may say,
//! plus what the provider said.

use std::rc::Rc;

use crate::claims::jsonpath::Budget;
use crate::claims::{self, Claim};
use crate::policy::{ClaimRule, Endpoint, ForwardPolicy};
use crate::request::headers::PAIR;
use crate::request::strip::{Name, StripPlan};
use crate::verdict::Permit;

/// Edits of a request's headers: all removals first, then what is added and replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEdit {
    /// Names to remove, every copy.
    pub remove: Vec<Name>,
    /// The provider's claims, shared with the other requests of the token and with the cache.
    vouched: Rc<MappedClaims>,
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
pub struct MappedClaims {
    set: Vec<(Rc<str>, String)>,
    state: Vec<(Rc<str>, String)>,
    faults: ClaimFaults,
}

impl MappedClaims {
    /// Reads the claims that the endpoint that was asked has rules for; a preflight asked none.
    pub fn of(permit: &Permit<'_>, endpoint: Option<&Endpoint>) -> MappedClaims {
        let (set, state, faults) = (Vec::new(), Vec::new(), ClaimFaults::default());
        let mut vouched = MappedClaims { set, state, faults };
        let (Some(endpoint), Some(claims)) = (endpoint, permit.claims()) else {
            return vouched;
        };
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
    vouched: &Rc<MappedClaims>,
    policy: &ForwardPolicy,
    endpoint: Option<&Endpoint>,
    strip_plan: StripPlan,
) -> (HeaderEdit, ClaimFaults) {
    let StripPlan { remove, connection } = strip_plan;
    let region = policy.region_header.as_ref().zip(endpoint);
    let region = region.map(|(name, asked)| (Rc::clone(name), Rc::clone(&asked.region)));
    let faults = vouched.faults;
    (HeaderEdit { remove, vouched: Rc::clone(vouched), region, connection }, faults)
}
