//! One lookup: what is asked about a token, for whom, and how far that is.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use super::entry::{Judge, StoredResponse};
use super::health::CallPermit;
use super::ids::{CallId, GRACE, StreamId};
use super::waits::Wait;
use crate::outcome::Source;
use crate::policy::{Endpoint, Policy, Site};
use crate::provider::call::Call;
use crate::provider::key::TokenKey;
use crate::refusal::NoAnswer;
use crate::reply::Dialect;
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::request::strip::StripPlan;
use crate::time::{MonotonicTime, Now, UnixTime};

/// What a lookup takes beside its texts.
const QUESTION: usize = 1024;

/// What a request that waits takes beside its texts.
const REQUEST: usize = 512;

/// A question under way. It goes on when nobody waits for it any more: its call cannot be called
/// back, and its answer may be kept.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) key: TokenKey,
    pub(super) lead: LookupContext,
    /// The call that is under way, or that is to be repeated.
    pub(super) attempt: Attempt,
    /// When the first call was made.
    pub(super) began: MonotonicTime,
    /// When no further call may be made.
    pub(super) ends: MonotonicTime,
    /// The last that a provider really said, where it was no verdict.
    pub(super) declined: Option<Rc<StoredResponse>>,
    /// Why the last call had no answer.
    pub(super) silent: NoAnswer,
    /// What the calls so far are evidence of, taken together.
    pub(super) so_far: SoFar,
    /// Who has its answer kept.
    pub(super) cache_owner: Option<CacheOwner>,
    pub(super) waiting: BTreeMap<StreamId, RequestContext>,
    pub(super) most_bytes: usize,
    /// What of it is counted, those who wait aside.
    pub(super) weight: usize,
}

/// What the sites that were asked are evidence of, taken together.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SoFar {
    /// One of them gave an answer beside which no outdated verdict may serve, or was passed over
    /// because too many calls are under way.
    no_stale: bool,
    /// One of them gave no verdict: before that, being late says nothing about the provider.
    some: bool,
    /// One of them was given up when its time was over.
    timed_out: bool,
    /// One of them asked for no pause.
    no_wait: bool,
    /// The shortest pause that one of them asked for.
    wait: Option<Wait>,
}

impl SoFar {
    /// A site has given no verdict; whether an outdated one may serve, and the pause it asks for.
    pub(super) fn site_ended(&mut self, stale: bool, wait: Option<Wait>) {
        self.no_stale |= !stale;
        self.some = true;
        match (wait, self.wait) {
            (None, _) => self.no_wait = true,
            (Some(wait), Some(other)) if other.until <= wait.until => {}
            (Some(wait), _) => self.wait = Some(wait),
        }
    }

    /// A site was passed over, because too many calls are under way or not. That we are crowded is
    /// no outage: it might have refused the token.
    pub(super) fn passed_over(&mut self, crowded: bool) {
        self.no_stale |= crowded;
    }

    /// A site was given up when its time was over.
    pub(super) fn timed_out(&mut self) {
        self.timed_out = true;
    }

    /// Whether an outdated verdict may serve.
    pub(super) fn stale(self) -> bool {
        self.some && !self.no_stale
    }

    /// Whether an outdated verdict may serve a request of this instance, where the calls were made by
    /// that one's rules: that somebody else is less patient says nothing of the provider.
    pub(super) fn stale_for(self, own: &Policy, lead: &Policy) -> bool {
        self.stale() && (!self.timed_out || own.call.timeout <= lead.call.timeout)
    }

    /// How long the token waits, if every site that was asked wants it to.
    pub(super) fn wait(self) -> Option<Wait> {
        self.wait.filter(|_| !self.no_wait).map(|wait| Wait { stale: self.stale(), ..wait })
    }
}

/// Which site may be asked.
pub(super) struct Found {
    /// The call to it.
    pub(super) made: Option<(Attempt, Call)>,
    /// One before it was passed over because too many calls are under way.
    pub(super) crowded: bool,
}

/// What the first who asked has brought: by this the calls are made.
#[derive(Debug)]
pub(super) struct LookupContext {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) token: BearerToken<'static>,
    pub(super) correlation: Correlation,
    /// Whether the token was vouched for before.
    pub(super) known: bool,
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) call: CallId,
    /// Which of the endpoint's sites is asked.
    pub(super) site: usize,
    /// How often it was asked before about this question.
    pub(super) repeated: u8,
    pub(super) leave: CallPermit,
    pub(super) started: MonotonicTime,
    pub(super) timeout: Duration,
}

/// The instance by whose rules an answer is kept.
#[derive(Debug)]
pub(super) struct CacheOwner {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    /// The end that the token itself states.
    pub(super) token_exp: Option<UnixTime>,
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct RequestContext {
    pub(super) policy: Rc<Policy>,
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) strip_plan: StripPlan,
    pub(super) dialect: Dialect,
    pub(super) source: Source,
    pub(super) deadline: MonotonicTime,
}

impl LookupContext {
    /// How long may be asked in all: one call takes `timeout`, further ones the `deadline`.
    pub(super) fn patience(policy: &Policy, endpoint: &Endpoint) -> Duration {
        match endpoint.sites.as_slice() {
            [_] => policy.call.timeout,
            _ => policy.call.deadline,
        }
    }

    /// Whether it is about a token that was not vouched for before. Without a cache nobody is known.
    pub(super) fn is_strange(&self) -> bool {
        !self.known
    }

    /// The call to this site.
    pub(super) fn call(&self, site: &Site, timeout: Duration) -> Call {
        let (method, call) = (&self.endpoint.method, &self.policy.call);
        method.request(call, site, &self.token, &self.correlation, timeout)
    }

    /// By these rules a response is judged.
    pub(super) fn judge(&self, now: Now) -> Judge<'_> {
        let LookupContext { policy, endpoint, token, .. } = self;
        Judge { policy, endpoint, token, date: now.date }
    }
}

impl RequestContext {
    /// By these rules a response about this token is judged.
    pub(super) fn judge<'r>(&'r self, token: &'r BearerToken<'r>, now: Now) -> Judge<'r> {
        let RequestContext { policy, endpoint, .. } = self;
        Judge { policy, endpoint, token, date: now.date }
    }

    /// About how many bytes it takes: its client chooses how many names are to be removed.
    pub(super) fn weight(&self) -> usize {
        REQUEST.saturating_add(self.strip_plan.size())
    }
}

impl Attempt {
    /// Until when the host must have reported its end.
    pub(super) fn deadline(&self) -> MonotonicTime {
        self.started.after(self.timeout).after(GRACE)
    }
}

impl Lookup {
    /// A question for which nobody waits yet.
    pub(super) fn new(
        key: TokenKey,
        lead: LookupContext,
        attempt: Attempt,
        ends: MonotonicTime,
        cache_owner: Option<CacheOwner>,
    ) -> Lookup {
        Lookup {
            key,
            lead,
            attempt,
            began: attempt.started,
            ends,
            declined: None,
            silent: NoAnswer::NotSent,
            so_far: SoFar::default(),
            cache_owner,
            waiting: BTreeMap::new(),
            most_bytes: 0,
            weight: 0,
        }
    }

    /// About how many bytes it takes, those who wait aside.
    pub(super) fn weigh(&self) -> usize {
        let declined = self.declined.as_ref().map_or(0, |words| words.size());
        let LookupContext { token, correlation, .. } = &self.lead;
        [token.expose().len(), correlation.size(), declined]
            .into_iter()
            .fold(QUESTION, usize::saturating_add)
    }

    /// The site that is being asked.
    pub(super) fn site(&self) -> Option<&Site> {
        self.lead.endpoint.sites.get(self.attempt.site)
    }
}
