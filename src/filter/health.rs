//! How the sites of providers are doing: which may be asked now, and which may not.
//!
//! A circuit breaker saves waiting, so only calls that were waited for count, and only the filter's
//! own question, which carries no token, opens it: nobody can open it with tokens, and nobody's
//! token is spent on a try. Half of the calls at a time are kept for tokens that were vouched for
//! before, so that slow junk cannot take them all.

use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::breaker::{BreakerState, Phase, Settings};
use super::ids::{CallId, GRACE};
use crate::policy::{Caching, Policy, Site};
use crate::time::MonotonicTime;

/// How soon the filter asks again whose question was cut off: not with the connection that ends.
const AGAIN: Duration = Duration::from_millis(100);

/// How often other workers are told that a site serves.
const TELLING: Duration = Duration::from_millis(250);

/// The longest time that a call takes without being waited for.
const NO_WAIT: Duration = Duration::from_millis(250);

/// The sites that a worker has asked.
#[derive(Debug, Default)]
pub(super) struct Sites {
    sites: BTreeMap<Site, SiteState>,
    /// How often a breaker has been opened.
    pub(super) opened: u64,
    /// How often the filter itself has asked.
    pub(super) probed: u64,
    events: Vec<SiteEvent>,
}

/// Something about a site that an operator wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteEvent {
    /// It does not answer: the breaker is open.
    Opened {
        /// The site.
        site: Site,
    },
    /// Its introspection endpoint refuses the gateway's own client.
    ClientRefused {
        /// The site's cluster.
        cluster: String,
        /// The endpoint's region or issuer: one cluster may serve several, each with a client of its own.
        region: Rc<str>,
    },
    /// It answers again.
    Closed {
        /// The site.
        site: Site,
    },
    /// It answers calls with a token and none without: the breaker is of no use there, and off.
    Deaf {
        /// The site.
        site: Site,
    },
}

/// One site, for all instances: the cap protects the provider, and an answer to anybody shows that
/// it serves.
#[derive(Debug, Default)]
struct SiteState {
    /// Calls under way.
    calls: usize,
    /// Those of them about tokens that were not vouched for before.
    strangers: usize,
    /// The last answer that shows that it serves.
    served: Option<MonotonicTime>,
    /// When other workers were last told of one.
    told: Option<MonotonicTime>,
    /// When operators were last told that it refuses the gateway's own client.
    client_refused: Option<MonotonicTime>,
    breakers: Vec<BreakerState>,
}

/// Permission for one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallPermit {
    /// It is about a token that was not vouched for before.
    stranger: bool,
    /// It tries a site whose breaker is open.
    trial: bool,
}

/// Why a site cannot be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAllowed {
    /// As many calls are under way as may be.
    Full,
    /// It does not answer.
    Open,
}

/// How a call ended, as far as its site goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    /// The provider answered, whatever.
    pub(super) answered: bool,
    /// The answer shows that the site serves.
    pub(super) serving: bool,
    /// It was waited for: it took a while.
    pub(super) waited: bool,
}

/// A question of the filter's own that is to be asked.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) call: CallId,
    pub(super) site: Site,
    pub(super) policy: Rc<Policy>,
}

/// Whether a call that was given `timeout` and took so long was waited for.
pub(super) fn was_waited_for(taken: Duration, timeout: Duration) -> bool {
    taken >= NO_WAIT.min(timeout.checked_div(2).unwrap_or_default())
}

impl Sites {
    /// Asks for leave to call a site about a token that is `known` to have been good.
    pub(super) fn enter(
        &mut self,
        site: &Site,
        policy: &Policy,
        known: bool,
        now: MonotonicTime,
    ) -> Result<CallPermit, NotAllowed> {
        let state = match self.sites.get_mut(site) {
            Some(state) => state,
            None => self.sites.entry(site.clone()).or_default(),
        };
        let full = state.is_full(policy, known);
        let mut trial = false;
        if let Some(settings) = Settings::of(policy)
            && let Some(breaker) = state.breakers.iter_mut().find(|b| b.settings == settings)
            && breaker.is_open()
        {
            let trusted = known || matches!(policy.cache, Caching::Off);
            if full || !trusted || !breaker.wants_a_trial(now) {
                return Err(NotAllowed::Open);
            }
            (breaker.trial, trial) = (true, true);
        }
        if full {
            return Err(NotAllowed::Full);
        }
        state.calls = state.calls.saturating_add(1);
        state.strangers = state.strangers.saturating_add(usize::from(!known));
        Ok(CallPermit { stranger: !known, trial })
    }

    /// A call to a site has ended, or has been given up.
    pub(super) fn leave(
        &mut self,
        site: &Site,
        leave: CallPermit,
        ended: Ended,
        policy: &Policy,
        now: MonotonicTime,
    ) {
        let Some(state) = self.sites.get_mut(site) else {
            return;
        };
        state.calls = state.calls.saturating_sub(1);
        state.strangers = state.strangers.saturating_sub(usize::from(leave.stranger));
        if ended.serving {
            state.served = Some(now);
        }
        let Some(settings) = Settings::of(policy) else {
            return;
        };
        let known = state.breakers.iter().position(|breaker| breaker.settings == settings);
        if let Some(breaker) = known.and_then(|at| state.breakers.get_mut(at))
            && leave.trial
        {
            (breaker.trial, breaker.opened) = (false, now);
        }
        if ended.answered {
            if let Some(breaker) = known.and_then(|at| state.breakers.get_mut(at))
                && breaker.answered()
            {
                self.events.push(SiteEvent::Closed { site: site.clone() });
                if leave.trial {
                    // Answered with a token, silent without one? Then its silence means nothing.
                    breaker.phase = Phase::Due { at: now, pause: None };
                    breaker.verifying = true;
                }
            }
        } else if ended.waited {
            match known.and_then(|at| state.breakers.get_mut(at)) {
                Some(breaker) => breaker.timed_out(now),
                None => {
                    let mut breaker = BreakerState::new(settings, now);
                    breaker.timed_out(now);
                    state.breakers.push(breaker);
                }
            }
        }
    }

    /// The questions of the filter's own that are due, each with a number of its own, as one of the
    /// configurations at work asks them.
    pub(super) fn due(
        &mut self,
        policies: &[Weak<Policy>],
        now: MonotonicTime,
        mut number: impl FnMut() -> CallId,
    ) -> Vec<Probe> {
        let mut probes = Vec::new();
        for (site, state) in &mut self.sites {
            for breaker in &mut state.breakers {
                let Phase::Due { at, pause } = breaker.phase else {
                    continue;
                };
                if at > now {
                    continue;
                }
                if let Some(policy) = asker(policies, site, breaker.settings) {
                    let call = number();
                    breaker.phase = Phase::Probing { call, started: now, pause };
                    probes.push(Probe { call, site: site.clone(), policy });
                }
            }
        }
        self.probed = self.probed.saturating_add(u64::try_from(probes.len()).unwrap_or(u64::MAX));
        probes
    }

    /// When the next question of the filter's own is due.
    pub(super) fn next_due(&self, policies: &[Weak<Policy>]) -> Option<MonotonicTime> {
        let breakers = self
            .sites
            .iter()
            .flat_map(|(site, state)| state.breakers.iter().map(move |breaker| (site, breaker)));
        breakers
            .filter_map(|(site, breaker)| match breaker.phase {
                Phase::Due { at, .. } => {
                    asker(policies, site, breaker.settings).is_some().then_some(at)
                }
                Phase::Closed | Phase::Probing { .. } => None,
            })
            .min()
    }

    /// A question of the filter's own has ended; whether it was one.
    pub(super) fn probe_ended(&mut self, call: CallId, answered: bool, now: MonotonicTime) -> bool {
        for (site, state) in &mut self.sites {
            for breaker in &mut state.breakers {
                let Phase::Probing { call: probing, started, pause } = breaker.phase else {
                    continue;
                };
                if probing != call {
                    continue;
                }
                let site = || site.clone();
                let verifying = std::mem::take(&mut breaker.verifying);
                if verifying && !answered {
                    (breaker.failures, breaker.phase) = (0, Phase::Closed);
                    breaker.deaf = true;
                    self.events.push(SiteEvent::Deaf { site: site() });
                } else if answered {
                    if breaker.answered() {
                        self.events.push(SiteEvent::Closed { site: site() });
                    }
                } else {
                    let taken = now.since(started).unwrap_or_default();
                    let waited = was_waited_for(taken, breaker.settings.timeout);
                    // A connection that somebody's call ends must not speak for the site.
                    let early =
                        taken.saturating_mul(10) < breaker.settings.timeout.saturating_mul(9);
                    let again = pause.is_none() && waited && early && !breaker.again;
                    breaker.again = again;
                    breaker.phase = match pause {
                        None if again => Phase::Due { at: now.after(AGAIN), pause: None },
                        Some(pause) => {
                            let pause = pause.saturating_mul(2).min(breaker.settings.open_for);
                            Phase::Due { at: now.after(pause), pause: Some(pause) }
                        }
                        None if waited => {
                            self.opened = self.opened.saturating_add(1);
                            breaker.opened = now;
                            self.events.push(SiteEvent::Opened { site: site() });
                            let pause = breaker.settings.first_pause();
                            Phase::Due { at: now.after(pause), pause: Some(pause) }
                        }
                        // Refused at once: there is nothing to save.
                        None => {
                            breaker.failures = 0;
                            Phase::Closed
                        }
                    };
                }
                return true;
            }
        }
        false
    }

    /// The questions of the filter's own whose end was never reported.
    pub(super) fn lost_probes(&self, now: MonotonicTime) -> Vec<CallId> {
        let breakers = self.sites.values().flat_map(|state| &state.breakers);
        let mut lost: Vec<CallId> = breakers
            .filter_map(|breaker| match breaker.phase {
                Phase::Probing { call, started, .. }
                    if started.after(breaker.settings.timeout).after(GRACE) <= now =>
                {
                    Some(call)
                }
                Phase::Probing { .. } | Phase::Due { .. } | Phase::Closed => None,
            })
            .collect();
        lost.sort_unstable();
        lost.dedup();
        lost
    }

    /// A site has served somebody at that moment, here or on another worker.
    pub(super) fn has_served(&mut self, site: &Site, served: MonotonicTime) {
        let state = self.sites.entry(site.clone()).or_default();
        state.served = state.served.max(Some(served));
    }

    /// Whether other workers are to be told now that a site serves.
    pub(super) fn is_to_be_told(&mut self, site: &Site, now: MonotonicTime) -> bool {
        let Some(state) = self.sites.get_mut(site) else {
            return false;
        };
        let due = state.told.is_none_or(|told| told.after(TELLING) <= now);
        if due {
            state.told = Some(now);
        }
        due
    }

    /// Whether a site has served anybody since then.
    pub(super) fn has_served_since(&self, site: &Site, since: MonotonicTime) -> bool {
        let served = self.sites.get(site).and_then(|state| state.served);
        served.is_some_and(|served| served >= since)
    }

    /// Forgets the sites and the breakers that are in nobody's configuration any more.
    pub(super) fn retain(&mut self, policies: &[Weak<Policy>]) {
        for (site, state) in &mut self.sites {
            state.breakers.retain(|b| asker(policies, site, b.settings).is_some());
        }
        let named =
            |site: &Site| policies.iter().any(|p| p.upgrade().is_some_and(|p| names(&p, site)));
        self.sites.retain(|site, state| state.calls > 0 || named(site));
    }

    /// The ends of calls will never be reported: nothing is known of any site.
    pub(super) fn abandon(&mut self) {
        self.sites.clear();
        self.events.clear();
    }

    /// A site refuses the gateway's own client: operators are told once a minute and site.
    pub(super) fn refuses_client(&mut self, site: &Site, region: &Rc<str>, now: MonotonicTime) {
        const PAUSE: Duration = Duration::from_secs(60);
        let state = self.sites.entry(site.clone()).or_default();
        let told = state.client_refused.and_then(|told| now.since(told));
        if told.is_none_or(|ago| ago >= PAUSE) {
            state.client_refused = Some(now);
            let (cluster, region) = (site.cluster.clone(), Rc::clone(region));
            self.events.push(SiteEvent::ClientRefused { cluster, region });
        }
    }

    /// How many breakers are open.
    pub(super) fn open(&self) -> usize {
        let breakers = self.sites.values().flat_map(|state| &state.breakers);
        breakers.filter(|breaker| breaker.is_open()).count()
    }

    /// What has happened since the last time.
    pub(super) fn take_site_events(&mut self) -> Vec<SiteEvent> {
        std::mem::take(&mut self.events)
    }
}

/// A configuration at work by which a site with these settings of its breaker is asked.
fn asker(policies: &[Weak<Policy>], site: &Site, settings: Settings) -> Option<Rc<Policy>> {
    let mut policies = policies.iter().filter_map(Weak::upgrade);
    policies.find(|policy| Settings::of(policy) == Some(settings) && names(policy, site))
}

/// Whether this configuration has an endpoint at that site.
fn names(policy: &Policy, site: &Site) -> bool {
    policy.endpoints.iter().any(|endpoint| endpoint.sites.contains(site))
}

impl SiteState {
    /// Whether as many calls are under way as this instance allows.
    fn is_full(&self, policy: &Policy, known: bool) -> bool {
        let cap = policy.call.max_in_flight;
        match policy.cache {
            // Nothing is known of anybody.
            Caching::Off => self.calls >= cap,
            Caching::On(_) => {
                let for_strangers = cap.saturating_sub(cap / 2);
                if known {
                    // Strangers who come in by other instances take nothing of the other half.
                    let known = self.calls.saturating_sub(self.strangers);
                    known.saturating_add(self.strangers.min(for_strangers)) >= cap
                } else {
                    self.calls >= cap || self.strangers >= for_strangers
                }
            }
        }
    }
}
