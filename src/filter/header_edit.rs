//! What the upstream gets: the client's request less everything that only this filter may say,
//! plus what the provider said.

use std::rc::Rc;

use crate::claims::jsonpath::Budget;
use crate::claims::required::{Documents, Unmet};
use crate::claims::{self, Claim, ClaimFaults};
use crate::policy::{Endpoint, ForwardPolicy};
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
    /// A header of the filter's own: the region, or that there are no credentials.
    own: Option<(Rc<str>, Rc<str>)>,
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
        let own = self.own.iter().map(|(name, value)| (&**name, &**value));
        claims.chain(own)
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

/// What a permit gives the upstream by the rules of one endpoint. Like the permit it is evidence:
/// it is made from one alone. It may be kept beside the answer that the permit was made of.
#[derive(Debug, PartialEq, Eq)]
pub struct MappedClaims {
    set: Vec<(Rc<str>, String)>,
    state: Vec<(Rc<str>, String)>,
}

impl MappedClaims {
    /// Of a request that nobody was asked about.
    pub fn none(_: &Permit<'_>) -> MappedClaims {
        MappedClaims { set: Vec::new(), state: Vec::new() }
    }

    /// Reads the claims that the endpoint that was asked has rules for, and counts those that gave
    /// nothing: also where the request is refused for one of them.
    ///
    /// # Errors
    ///
    /// If a rule that has to find something finds nothing.
    pub fn of(
        permit: &Permit<'_>,
        endpoint: &Endpoint,
        documents: Documents<'_, '_>,
        faults: &mut ClaimFaults,
    ) -> Result<MappedClaims, Unmet> {
        let mut vouched = MappedClaims::none(permit);
        let (mut budget, mut left) = (Budget::for_answer(), claims::MAX_ALL);
        for (rules, found) in
            [(&endpoint.rules, &mut vouched.set), (&endpoint.state, &mut vouched.state)]
        {
            for rule in rules.iter() {
                let claim = match documents.of(rule.value.of) {
                    Some(document) => claims::read(document, &rule.value, &mut budget),
                    None => Claim::Absent,
                };
                let value = match claim {
                    Claim::Value(value) => {
                        match left.checked_sub(rule.name.len().saturating_add(value.len())) {
                            Some(rest) => {
                                left = rest;
                                Some(value)
                            }
                            None => {
                                faults.one_invalid();
                                None
                            }
                        }
                    }
                    Claim::Absent => None,
                    Claim::Invalid => {
                        faults.one_invalid();
                        None
                    }
                    Claim::OverBudget => {
                        faults.one_over_budget();
                        None
                    }
                };
                match value {
                    Some(value) => found.push((Rc::clone(&rule.name), value)),
                    None if rule.value.required => return Err(Unmet::Header),
                    None => {}
                }
            }
        }
        Ok(vouched)
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        let pair = |n: usize, v: usize| n.saturating_add(v).saturating_add(PAIR);
        let all = self.set.iter().chain(&self.state);
        all.map(|(name, value)| pair(name.len(), value.len())).sum()
    }
}

/// Whose request is forwarded.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'e> {
    /// Of a user for whom this endpoint was asked.
    User(&'e Endpoint),
    /// Of nobody: it has no credentials.
    Nobody,
    /// A browser's own, before a request.
    Preflight,
}

/// The edits that a request is forwarded with.
pub fn edit(
    vouched: &Rc<MappedClaims>,
    policy: &ForwardPolicy,
    whose: Whose<'_>,
    strip_plan: StripPlan,
) -> HeaderEdit {
    let StripPlan { remove, connection } = strip_plan;
    let with = |name: &Option<Rc<str>>, value: Rc<str>| name.clone().map(|name| (name, value));
    let own = match whose {
        Whose::User(asked) => with(&policy.region_header, Rc::clone(&asked.region)),
        Whose::Nobody => with(&policy.anonymous_header, "true".into()),
        Whose::Preflight => None,
    };
    HeaderEdit { remove, vouched: Rc::clone(vouched), own, connection }
}
