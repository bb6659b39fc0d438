//! What a provider said of a token, kept for a while as it said it.
//!
//! Only what [`CallOutcome`] calls a verdict is kept. Never an outage, a 429, a 5xx, a cut or unreadable
//! answer: these say nothing of the token. What an instance of the filter makes of it is judged afresh
//! by that instance's own configuration.

use std::rc::Rc;
use std::time::Duration;

use super::header_edit::MappedClaims;
use crate::claims::ClaimFaults;
use crate::claims::required::Documents;
use crate::claims::token;
use crate::policy::{CachePolicy, Endpoint, NoStore, Policy};
use crate::provider::call_outcome::{CallOutcome, Consequences, Kept};
use crate::provider::error::ProviderError;
use crate::provider::expiry::{self, Freshness};
use crate::provider::key::TokenKey;
use crate::provider::response::{Answer, Body, is_envoys_own};
use crate::refusal::{NoAnswer, Refusal};
use crate::request::bearer::BearerToken;
use crate::request::headers::{HeaderView, PAIR};
use crate::time::{MonotonicTime, Now, UnixTime};
use crate::verdict;

/// What a reading takes beside its texts.
const READING: usize = 192;

/// A complete answer that is worth keeping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheEntry {
    pub(super) kind: Kind,
    /// When the call was made: the provider cannot have known anything later than that.
    pub(super) asked: MonotonicTime,
    /// The provider's own limit.
    pub(super) max_age: Option<Duration>,
    /// The provider does not want it kept.
    pub(super) no_store: bool,
    /// The end that the answer or the token states.
    pub(super) exp: Option<UnixTime>,
    pub(super) words: StoredResponse,
}

/// An answer as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredResponse {
    /// Its headers, as far as they can matter.
    pub(super) fields: Vec<Field>,
    /// Its body; `None` if it was too large.
    pub(super) body: Option<Box<[u8]>>,
}

/// A header's name and value.
pub(super) type Field = (Box<[u8]>, Box<[u8]>);

/// What a cache entry says of its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The token is good.
    Accepted,
    /// It is not.
    Rejected,
}

/// What an instance of the filter makes of a response. What the response is evidence of, and until when,
/// is the provider's word; the decision is the route's, and changes neither.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    /// What the response is evidence of.
    pub(super) outcome: CallOutcome,
    /// The end that the response states.
    exp: Option<UnixTime>,
    /// What requests of the instance get.
    pub(super) decision: Result<Rc<MappedClaims>, Rc<Refusal>>,
    /// Claims of it that gave nothing.
    pub(super) faults: ClaimFaults,
}

/// By whose rules a response about a token is judged, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'r> {
    pub(super) policy: &'r Policy,
    pub(super) endpoint: &'r Rc<Endpoint>,
    pub(super) token: &'r BearerToken<'r>,
    pub(super) date: UnixTime,
}

impl Judge<'_> {
    /// What the instance makes of a response that its endpoint was asked for.
    pub(super) fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        let Judge { policy, endpoint, token, date } = *self;
        let text = &policy.replies.provider_text;
        let permit = match verdict::judge(endpoint, text, &within(answer, policy), date) {
            Ok(permit) => permit,
            Err(refusal) => return Verdict::refused(refusal),
        };
        // Read only now: the provider has vouched for exactly this string.
        let payload = endpoint.reads_token.then(|| token::payload(token)).flatten();
        let claims = payload.as_deref().and_then(token::claims);
        let documents = Documents {
            response: permit.claims(),
            token: claims.as_ref(),
            grants: endpoint.method.grants(),
        };
        let mut faults = ClaimFaults::default();
        let decision = match policy.required.first_unmet(documents, &mut faults) {
            None => MappedClaims::of(&permit, endpoint, documents, &mut faults),
            Some(unmet) => Err(unmet),
        };
        Verdict {
            outcome: CallOutcome::Accepted,
            exp: permit.claims().and_then(expiry::of_claims),
            decision: decision.map(Rc::new).map_err(|unmet| Rc::new(Refusal::Unmet(unmet))),
            faults,
        }
    }
}

impl Verdict {
    /// A verdict without a response.
    pub(super) fn unavailable(why: NoAnswer) -> Verdict {
        Verdict::refused(Refusal::Unavailable(why))
    }

    fn refused(refusal: Refusal) -> Verdict {
        Verdict {
            // What no response is judged to be says nothing.
            outcome: refusal.call_outcome().unwrap_or(CallOutcome::Unusable),
            // A refusal says nothing of the token's end, and is soon forgotten anyway.
            exp: None,
            decision: Err(Rc::new(refusal)),
            faults: ClaimFaults::default(),
        }
    }

    /// What follows from it.
    pub(super) fn consequences(&self) -> Consequences {
        self.outcome.consequences()
    }

    /// Why there is no answer, if that is so.
    pub(super) fn no_answer(&self) -> Option<NoAnswer> {
        self.decision.as_ref().err().and_then(|refusal| refusal.no_answer())
    }

    /// The provider's own error, if it is one.
    pub(super) fn provider_error(&self) -> Option<&ProviderError> {
        self.decision.as_ref().err().and_then(|refusal| refusal.provider_error())
    }

    /// The same, told to come again after so many seconds.
    pub(super) fn with_retry_after(self, seconds: u64) -> Verdict {
        let Some(error) = self.provider_error() else {
            return self;
        };
        // Ten digits are what is handed on.
        let retry_after = Some(seconds.min(9_999_999_999).to_string());
        let error = ProviderError { retry_after, ..error.clone() };
        Verdict { decision: Err(Rc::new(Refusal::Provider(Box::new(error)))), ..self }
    }

    /// What it states about the token, if anything that may be kept.
    pub(super) fn kind(&self) -> Option<Kind> {
        match self.consequences().kept {
            Kept::AsGood => Some(Kind::Accepted),
            Kept::AsRefusal => Some(Kind::Rejected),
            Kept::No => None,
        }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let texts = match &self.decision {
            Ok(vouched) => vouched.size(),
            Err(refusal) => refusal.provider_error().map_or(0, ProviderError::size),
        };
        texts.saturating_add(READING)
    }
}

/// The answer as an instance reads it: not beyond its own limit.
fn within<'b>(answer: &Answer<'b>, policy: &Policy) -> Answer<'b> {
    match answer {
        Answer::NotSent => Answer::NotSent,
        Answer::CutOff => Answer::CutOff,
        Answer::Whole { head, body: Body::Read(bytes) } if bytes.len() <= policy.call.max_bytes => {
            Answer::Whole { head: head.clone(), body: Body::Read(bytes) }
        }
        Answer::Whole { head, body: Body::Read(_) | Body::TooLarge } => {
            Answer::Whole { head: head.clone(), body: Body::TooLarge }
        }
    }
}

impl StoredResponse {
    /// An answer with a body that was read, and those of its headers.
    pub(super) fn of(answer: &Answer<'_>, keep: impl Fn(&[u8]) -> bool) -> Option<StoredResponse> {
        let Answer::Whole { head, body: Body::Read(bytes) } = answer else {
            return None;
        };
        Some(StoredResponse { fields: fields_of(head, keep), body: Some(Box::from(*bytes)) })
    }

    /// An answer that was no verdict, for the case that none comes from elsewhere: its headers, and
    /// its body unless that is long. A thousand calls may hold one at a time.
    pub(super) fn declined(answer: &Answer<'_>) -> Option<StoredResponse> {
        const MOST: usize = 8192;
        let Answer::Whole { head, body } = answer else {
            return None;
        };
        let body = match body {
            Body::Read(bytes) if bytes.len() <= MOST => Some(Box::from(*bytes)),
            Body::Read(_) | Body::TooLarge => None,
        };
        Some(StoredResponse { fields: fields_of(head, |_| true), body })
    }

    /// Whether it contains this text. A short text matches by chance.
    pub(super) fn holds(&self, text: &[u8]) -> bool {
        const SHORT: usize = 8;
        let values = self.fields.iter().map(|(_, value)| value).chain(&self.body);
        text.len() >= SHORT && values.into_iter().any(|v| v.windows(text.len()).any(|w| w == text))
    }

    /// The answer again.
    pub(super) fn answer(&self) -> Answer<'_> {
        let pairs = self.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let body = self.body.as_deref().map_or(Body::TooLarge, Body::Read);
        Answer::Whole { head: HeaderView::new(pairs), body }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let pair = |n: usize, v: usize| n.saturating_add(v).saturating_add(PAIR);
        let fields = self.fields.iter().map(|(n, v)| pair(n.len(), v.len()));
        fields.sum::<usize>().saturating_add(self.body.as_ref().map_or(0, |body| body.len()))
    }
}

/// Those of an answer's headers.
fn fields_of(head: &HeaderView<'_>, keep: impl Fn(&[u8]) -> bool) -> Vec<Field> {
    let fields = head.pairs().filter(|(name, _)| keep(name));
    let mut fields: Vec<Field> =
        fields.map(|(name, value)| (Box::from(name), Box::from(value))).collect();
    fields.shrink_to_fit();
    fields
}

impl CacheEntry {
    /// What an answer states; `None` if it says nothing of the token by this judgement of it.
    pub(super) fn of(
        answer: &Answer<'_>,
        verdict: &Verdict,
        asked: MonotonicTime,
        token_exp: Option<UnixTime>,
    ) -> Option<CacheEntry> {
        let kind = verdict.kind()?;
        let words = StoredResponse::of(answer, |name| matters(kind, name))?;
        let Answer::Whole { head, .. } = answer else {
            return None;
        };
        if is_envoys_own(head) {
            return None;
        }
        let Freshness { max_age, no_store } = Freshness::of(head);
        let exp = match kind {
            Kind::Accepted => verdict.exp.into_iter().chain(token_exp).min(),
            Kind::Rejected => None,
        };
        Some(CacheEntry { kind, asked, max_age, no_store, exp, words })
    }

    /// That a token was refused, without the words: nobody acts upon it, and nothing older counts
    /// beside it.
    pub(super) fn mark(asked: MonotonicTime) -> CacheEntry {
        let words = StoredResponse { fields: Vec::new(), body: Some(Box::default()) };
        CacheEntry { kind: Kind::Rejected, asked, max_age: None, no_store: false, exp: None, words }
    }

    /// The answer again.
    pub(super) fn answer(&self) -> Answer<'_> {
        self.words.answer()
    }

    /// Whether it may still be acted upon by an instance with this `cache`.
    pub(super) fn is_fresh(&self, key: &TokenKey, cache: &CachePolicy, now: Now) -> bool {
        let honored = match cache.no_store {
            NoStore::Honored => !self.no_store,
            NoStore::Ignored => true,
        };
        let ttl = match self.kind {
            Kind::Accepted => cache.ttl,
            Kind::Rejected => cache.negative_ttl,
        };
        honored && self.is_younger_than(ttl, key, now)
    }

    /// Whether nobody can have any use for it, where these are the longest times of all. A refusal is
    /// of use for as long as any good verdict that is older may serve, whatever its own time is.
    pub(super) fn is_over(&self, ttl: Duration, stale: Duration, key: &TokenKey, now: Now) -> bool {
        let lifetime = match self.kind {
            Kind::Accepted => self.lifetime(ttl, key),
            Kind::Rejected => ttl,
        };
        !self.is_within(lifetime.saturating_add(stale), now)
    }

    fn is_younger_than(&self, ttl: Duration, key: &TokenKey, now: Now) -> bool {
        self.is_within(self.lifetime(ttl, key), now)
    }

    fn lifetime(&self, ttl: Duration, key: &TokenKey) -> Duration {
        let ttl = self.max_age.map_or(ttl, |max_age| max_age.min(ttl));
        shortened(ttl, key.number() ^ self.asked.nanos())
    }

    fn is_within(&self, lifetime: Duration, now: Now) -> bool {
        // One that was asked for later than now is none of this clock's.
        now.moment.since(self.asked).is_some_and(|age| age < lifetime)
            && self.exp.is_none_or(|exp| now.date < exp)
    }

    /// Whether a good one may serve although its time is over, because nobody answers.
    pub(super) fn may_serve_stale(&self, key: &TokenKey, cache: &CachePolicy, now: Now) -> bool {
        let honored = cache.no_store == NoStore::Ignored || !self.no_store;
        honored && self.kind == Kind::Accepted && {
            let lifetime = self.lifetime(cache.ttl, key).saturating_add(cache.stale_if_error);
            self.is_within(lifetime, now)
        }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        self.words.size()
    }
}

/// Whether a header of the answer can matter to anybody who judges it again. Of a refusal any
/// may: the configuration names the one that carries the provider's text.
fn matters(kind: Kind, name: &[u8]) -> bool {
    match kind {
        Kind::Accepted => matches!(
            name,
            b":status" | b"content-type" | b"content-encoding" | b"x-envoy-upstream-service-time"
        ),
        Kind::Rejected => true,
    }
}

/// Up to a tenth shorter, by a number that differs from entry to entry: what was asked together
/// must not have to be asked again together.
fn shortened(ttl: Duration, number: u64) -> Duration {
    // The multiplier spreads any difference over the upper bits (Fibonacci hashing).
    let part = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54;
    // In microseconds and 64 bits: dividing 128 is slow on wasm32, and every hit comes here.
    let tenth =
        ttl.as_secs().saturating_mul(100_000).saturating_add(u64::from(ttl.subsec_micros()) / 10);
    ttl.saturating_sub(Duration::from_micros(tenth.saturating_mul(part) / 1024))
}
