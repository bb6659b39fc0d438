//! How the sites of providers are doing: which may be asked now, and which are left alone.
//!
//! A site that fails to answer several times in a row is left alone for a while, then tried by one
//! call at a time. What a caller can provoke with odd tokens must not shut a site: any answer of
//! the provider's own shows that it is there. Only `Retry-After` slows a site down that answers.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::{Breaker, CallPolicy, Site};
use crate::time::Moment;
use crate::token_key::TokenDigest;
use crate::verdict::Hearing;

/// The longest that a site's `Retry-After` is heeded.
const LONGEST_SLOW: Duration = Duration::from_secs(10);

/// How often a site that asked for a pause is tried meanwhile.
const SLOW: Duration = Duration::from_secs(1);

/// The sites that a worker has asked.
#[derive(Debug, Default)]
pub(super) struct Sites {
    health: HashMap<Site, Health>,
    /// How often a site has been shut.
    pub(super) opened: u64,
    notices: Vec<Notice>,
}

/// Something about a site that an operator wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// It does not answer and is left alone.
    Opened {
        /// The site's cluster.
        cluster: String,
    },
    /// It answers again.
    Closed {
        /// The site's cluster.
        cluster: String,
    },
}

#[derive(Debug, Default)]
struct Health {
    /// Calls under way.
    calls: usize,
    /// Calls without an answer, in a row.
    failures: u32,
    shut: Option<Shut>,
    slowed: Option<Slowed>,
    /// The token of the last answer, if that was a 429.
    limited: Option<TokenDigest>,
}

#[derive(Debug, Clone, Copy)]
struct Shut {
    until: Moment,
    /// One call tries whether it is back.
    probing: bool,
}

#[derive(Debug, Clone, Copy)]
struct Slowed {
    /// Until when it is heeded.
    until: Moment,
    /// Until when the provider wants it to be.
    asked: Moment,
    /// When the next call may be made.
    next: Moment,
}

/// Leave to make one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave {
    /// It tries a site that had been shut until then: no two shuttings of a site end together.
    probe: Option<Moment>,
    /// It is made in spite of a pause that the site asked for, as it then stood.
    pause: Option<Moment>,
}

/// Why a site cannot be asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// As many calls are under way as may be.
    Full,
    /// It has not answered lately.
    Shut,
    /// It wants to be asked less, for so long.
    Slowed(Duration),
}

impl Sites {
    /// Asks for leave to call a site.
    pub(super) fn enter(
        &mut self,
        site: &Site,
        policy: &CallPolicy,
        now: Moment,
    ) -> Result<Leave, Closed> {
        if !self.health.contains_key(site) {
            self.health.insert(site.clone(), Health::default());
        }
        match self.health.get_mut(site) {
            Some(health) => health.enter(policy, now),
            None => Err(Closed::Full),
        }
    }

    /// A call to a site has ended, or has been given up.
    pub(super) fn leave(
        &mut self,
        site: &Site,
        leave: Leave,
        hearing: &Hearing,
        token: impl Fn() -> TokenDigest,
        policy: &CallPolicy,
        now: Moment,
    ) {
        let Some(health) = self.health.get_mut(site) else {
            return;
        };
        let before = health.shut.is_some();
        health.calls = health.calls.saturating_sub(1);
        match *hearing {
            Hearing::Answered => {
                // What was asked before the pause began says nothing of it.
                let slowed = health.slowed.filter(|slowed| leave.pause != Some(slowed.until));
                *health = Health { calls: health.calls, slowed, ..Health::default() };
            }
            Hearing::Declined { status, retry_after } => {
                (health.failures, health.shut) = (0, None);
                match policy.breaker {
                    Breaker::After { .. } => health.declined(status, retry_after, token, now),
                    Breaker::Off => {}
                }
            }
            Hearing::Silent { counts } => health.failed(leave, counts, policy.breaker, now),
        }
        let cluster = || site.cluster.clone();
        match (before, health.shut.is_some()) {
            (false, true) => {
                self.opened = self.opened.saturating_add(1);
                self.notices.push(Notice::Opened { cluster: cluster() });
            }
            (true, false) => self.notices.push(Notice::Closed { cluster: cluster() }),
            (true, true) | (false, false) => {}
        }
    }

    /// Forgets the sites that are in nobody's configuration any more.
    pub(super) fn retain(&mut self, configured: impl Fn(&Site) -> bool) {
        self.health.retain(|site, health| health.calls > 0 || configured(site));
    }

    /// How many sites are shut.
    pub(super) fn shut(&self) -> usize {
        self.health.values().filter(|health| health.shut.is_some()).count()
    }

    /// What has happened since the last time.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }
}

impl Health {
    fn enter(&mut self, policy: &CallPolicy, now: Moment) -> Result<Leave, Closed> {
        if self.calls >= policy.max_in_flight {
            return Err(Closed::Full);
        }
        if let Some(Shut { until, probing }) = self.shut
            && (now < until || probing)
        {
            return Err(Closed::Shut);
        }
        if let Some(slowed) = &mut self.slowed {
            if let Some(left) = slowed.until.since(now).filter(|left| *left > Duration::ZERO) {
                if now < slowed.next {
                    let left = slowed.asked.since(now).unwrap_or(left);
                    return Err(Closed::Slowed(left));
                }
                slowed.next = now.after(SLOW);
            } else {
                self.slowed = None;
            }
        }
        let probe = self.shut.map(|shut| shut.until);
        if let Some(shut) = &mut self.shut {
            shut.probing = true;
        }
        self.calls = self.calls.saturating_add(1);
        Ok(Leave { probe, pause: self.slowed.map(|slowed| slowed.until) })
    }

    fn failed(&mut self, leave: Leave, counts: bool, breaker: Breaker, now: Moment) {
        match (&mut self.shut, breaker) {
            // Calls that were under way when it was shut say nothing new.
            (Some(shut), _) if leave.probe != Some(shut.until) => {}
            (Some(shut), Breaker::After { open_for, .. }) => {
                *shut = Shut { until: now.after(open_for), probing: false };
            }
            // An instance without a breaker makes the others wait no longer, and no shorter.
            (Some(shut), Breaker::Off) => shut.probing = false,
            (None, Breaker::After { failures, open_for }) if counts => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= failures {
                    self.shut = Some(Shut { until: now.after(open_for), probing: false });
                }
            }
            (None, Breaker::After { .. } | Breaker::Off) => {}
        }
    }

    /// A provider limits one user, or everybody: a 429 slows the site only where the answer before
    /// it was a 429 about another token, so that one user alone cannot hold up the others.
    fn declined(
        &mut self,
        status: u16,
        retry_after: Option<Duration>,
        token: impl Fn() -> TokenDigest,
        now: Moment,
    ) {
        let limited = (status == 429).then(token);
        let another = self.limited.is_some_and(|other| limited.is_some_and(|this| this != other));
        self.limited = limited;
        let everybody = status == 503 || another;
        let Some(wait) = retry_after.filter(|_| matches!(status, 429 | 503)) else {
            return;
        };
        if everybody || self.slowed.is_some() {
            let (until, asked) = (now.after(wait.min(LONGEST_SLOW)), now.after(wait));
            self.slowed = Some(Slowed { until, asked, next: now.after(SLOW) });
        }
    }
}
