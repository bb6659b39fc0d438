//! Requests that no verdict of the provider decides: whether an outdated one lets them pass, or what they
//! get instead.
//!
//! An outdated verdict must never serve while a site responds to others: a caller whose token was revoked
//! could otherwise keep it good.

use super::decision::{Decision, Release, decided};
use super::effects::{Effect, Effects, ReadShared};
use super::entry::{Judge, StoredResponse, Verdict};
use super::lookup::{Lookup, RequestContext};
use super::lookups::Late;
use super::pending::{NoVerdict, Pending};
use super::questions::Questions;
use super::served;
use super::waits::Wait;
use crate::outcome::Source;
use crate::policy::{CachePolicy, Caching, Endpoint};
use crate::provider::key::TokenKey;
use crate::refusal::NoAnswer;
use crate::request::bearer::BearerToken;
use crate::time::{MonotonicTime, Now};
use std::rc::Rc;
use std::time::Duration;

/// How long before a question a site that served somebody counts as serving.
const SERVED_LATELY: Duration = Duration::from_secs(1);

impl Questions {
    /// No provider's verdict decides these requests. Where an outdated one may, other workers are asked
    /// first whether they see a site serve.
    pub(super) fn without_a_verdict(
        &mut self,
        requests: NoVerdict,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.depends_on_other_workers(&requests, now) {
            let slots = requests.sites().iter().map(served::slot).collect();
            let pending = Pending::NoVerdict(Rc::clone(requests.endpoint()), Box::new(requests));
            effects.push(Effect::ReadShared(ReadShared { slots, pending }));
        } else {
            self.bridge_or_refuse(requests, now, effects);
        }
    }

    /// Other workers have said when they last saw the sites of this endpoint serve.
    pub(super) fn heard(
        &mut self,
        endpoint: &Endpoint,
        values: &[Option<Vec<u8>>],
        requests: NoVerdict,
        now: Now,
        effects: &mut Effects,
    ) {
        for (site, value) in endpoint.sites.iter().zip(values) {
            if let Some(served) = value.as_deref().and_then(|value| served::read(value, site))
                && served <= now.moment
            {
                self.sites.has_served(site, served);
            }
        }
        self.bridge_or_refuse(requests, now, effects);
    }

    /// Whether somebody of these would be let pass by an outdated verdict, by what this worker knows.
    fn depends_on_other_workers(&mut self, requests: &NoVerdict, now: Now) -> bool {
        match requests {
            NoVerdict::Unanswered(lookup) => {
                let Lookup { key, lead, waiting, began, so_far, .. } = lookup;
                let wants_to_wait = so_far.wait().is_some_and(|wait| wait.stale) && self.bridges();
                wants_to_wait
                    || waiting.values().any(|waiting| {
                        so_far.stale_for(&waiting.policy, &lead.policy)
                            && self
                                .outdated(key, waiting.judge(&lead.token, now), *began, now)
                                .is_some()
                    })
            }
            NoVerdict::Late(Late { key, token, waiting, began, stale, .. }) => {
                *stale && self.outdated(key, waiting.judge(token, now), *began, now).is_some()
            }
            NoVerdict::BreakersOpen(_, key, token, waiting) => {
                self.outdated(key, waiting.judge(token, now), now.moment, now).is_some()
            }
            NoVerdict::Waits(_, key, token, waiting, wait, _) => {
                wait.stale
                    && self.outdated(key, waiting.judge(token, now), now.moment, now).is_some()
            }
        }
    }

    /// Lets these requests pass by an outdated verdict, or says that there is none.
    fn bridge_or_refuse(&mut self, requests: NoVerdict, now: Now, effects: &mut Effects) {
        match requests {
            NoVerdict::Unanswered(lookup) => self.unanswered(lookup, now, effects),
            NoVerdict::Late(late) => effects.push(Effect::Release(self.late(late, now))),
            NoVerdict::BreakersOpen(stream, key, token, waiting) => {
                let decision = self.breakers_open(&key, &token, waiting, now);
                effects.push(Effect::Release(Release { stream, decision }));
            }
            NoVerdict::Waits(stream, key, token, waiting, wait, words) => {
                let decision = self.waits((&key, &token), waiting, (wait, &words), now);
                effects.push(Effect::Release(Release { stream, decision }));
            }
        }
    }

    /// A request that was not answered in time.
    pub(super) fn late(&mut self, late: Late, now: Now) -> Release {
        let Late { stream, key, token, waiting, declined, began, stale } = late;
        let judge = waiting.judge(&token, now);
        let stale = if stale { self.stale(&key, judge, began, now) } else { None };
        let decision = match (stale, declined) {
            (Some(stale), _) => RequestContext { source: Source::Stale, ..waiting }.decide(&stale),
            (None, Some(words)) => {
                let verdict = judge.verdict(&words.answer());
                waiting.decide(&verdict)
            }
            (None, None) => waiting.decide(&Verdict::unavailable(NoAnswer::TimedOut)),
        };
        Release { stream, decision }
    }

    /// A request for which nobody is asked, because too many calls are under way or too many requests
    /// wait. Being refused here is no outage there.
    pub(super) fn crowded(&mut self, waiting: RequestContext) -> Decision {
        self.stats.refused_by_cap = self.stats.refused_by_cap.saturating_add(1);
        decided(waiting, Source::Filter, &Verdict::unavailable(NoAnswer::Crowded))
    }

    /// A request for which nobody is asked, because no site answers.
    fn breakers_open(
        &mut self,
        key: &TokenKey,
        token: &BearerToken<'_>,
        waiting: RequestContext,
        now: Now,
    ) -> Decision {
        if let Some(stale) = self.stale(key, waiting.judge(token, now), now.moment, now) {
            return decided(waiting, Source::Stale, &stale);
        }
        self.stats.refused_by_breaker = self.stats.refused_by_breaker.saturating_add(1);
        decided(waiting, Source::Filter, &Verdict::unavailable(NoAnswer::BreakerOpen))
    }

    /// What a request gets whose token waits: the provider's answer again, with the time left.
    fn waits(
        &mut self,
        (key, token): (&TokenKey, &BearerToken<'_>),
        waiting: RequestContext,
        (wait, words): (Wait, &StoredResponse),
        now: Now,
    ) -> Decision {
        let judge = waiting.judge(token, now);
        if wait.stale
            && let Some(stale) = self.stale(key, judge, now.moment, now)
        {
            return decided(waiting, Source::Stale, &stale);
        }
        self.stats.refused_by_wait = self.stats.refused_by_wait.saturating_add(1);
        let verdict = judge.verdict(&words.answer());
        let verdict = verdict.with_retry_after(wait.seconds_left(now.moment));
        decided(waiting, Source::Filter, &verdict)
    }

    /// What this request may still be let pass by, while nobody answers, counted.
    pub(super) fn stale(
        &mut self,
        key: &TokenKey,
        judge: Judge<'_>,
        began: MonotonicTime,
        now: Now,
    ) -> Option<Verdict> {
        let found = self.outdated(key, judge, began, now)?;
        self.stats.stale = self.stats.stale.saturating_add(1);
        Some(found)
    }

    /// The outdated verdict that may let this request pass: never while a site that was asked since
    /// `began`, or lately before, served anybody.
    fn outdated(
        &mut self,
        key: &TokenKey,
        judge: Judge<'_>,
        began: MonotonicTime,
        now: Now,
    ) -> Option<Verdict> {
        let Caching::On(cache @ CachePolicy { stale_if_error, .. }) = judge.policy.cache else {
            return None;
        };
        if stale_if_error.is_zero() || self.serves_others(judge.endpoint, began) {
            return None;
        }
        self.store.find_stale(key, judge, &cache, now)
    }

    /// Whether a site of this endpoint has served anybody since then, or lately before.
    pub(super) fn serves_others(&self, endpoint: &Endpoint, began: MonotonicTime) -> bool {
        let since = began.before(SERVED_LATELY);
        endpoint.sites.iter().any(|site| self.sites.has_served_since(site, since))
    }

    /// Whether a configuration at work lets outdated verdicts serve.
    pub(super) fn bridges(&self) -> bool {
        self.policies
            .iter()
            .filter_map(|policy| policy.upgrade())
            .any(|policy| served::bridges(&policy))
    }
}
