//! What happens to the filter, and what it wants done about it.
//!
//! The shell tells events and carries effects out, in their order; the results come back as events.
//! A call that could not be sent is an event like any other.

use std::rc::Rc;
use std::time::Duration;

use super::decision::Release;
use super::ids::{CallId, StreamId};
use super::pending::Pending;
use super::shared::Slot;
use crate::policy::Policy;
use crate::provider::{call::Call, response::Answer};
use crate::request::headers::HeaderView;

/// Something that has happened.
pub enum Event<'e> {
    /// The headers of a request have come, at the instance with this configuration.
    Request {
        /// The request.
        stream: StreamId,
        /// The instance's configuration.
        policy: &'e Rc<Policy>,
        /// The request's headers.
        headers: &'e HeaderView<'e>,
    },
    /// The shared memory has been read.
    SharedData {
        /// For whom.
        read: ReadShared,
        /// What stood in its slots, in their order; `None` where nothing did.
        values: Vec<Option<Vec<u8>>>,
    },
    /// A call has ended.
    CallEnded {
        /// The call.
        call: CallId,
        /// How.
        answer: &'e Answer<'e>,
    },
    /// A request has ended by itself.
    Gone(StreamId),
    /// Time has passed.
    Tick,
}

/// Something that is to be done.
pub enum Effect {
    /// The request is forwarded, or gets a reply. One for which no such effect comes waits.
    Release(Release),
    /// This call is to be made.
    Call(CallId, Call),
    /// The shared memory is to be read.
    ReadShared(ReadShared),
    /// This is to be written into the shared memory.
    WriteShared(Slot, Vec<u8>),
    /// A call took so long: for the instance's histogram.
    Took(Took),
}

/// Places of the shared memory that are to be read, and what for. It has no `Debug`: it may carry a
/// token.
pub struct ReadShared {
    /// The places.
    pub slots: Vec<Slot>,
    pub(super) pending: Pending,
}

/// How long a call took that the provider answered, or for which it was waited in vain.
#[derive(Debug)]
pub struct Took {
    /// By whose configuration it was made.
    pub policy: Rc<Policy>,
    /// At which region's endpoint.
    pub region: Rc<str>,
    /// The time from the dispatch to its end.
    pub time: Duration,
}

/// Effects, in the order in which they are to be carried out. The first needs no memory of its own:
/// most events have one.
#[derive(Default)]
pub struct Effects {
    first: Option<Effect>,
    more: Vec<Effect>,
}

impl Effects {
    pub(super) fn push(&mut self, effect: Effect) {
        match self.first {
            None => self.first = Some(effect),
            Some(_) => self.more.push(effect),
        }
    }
}

impl Extend<Effect> for Effects {
    fn extend<I: IntoIterator<Item = Effect>>(&mut self, effects: I) {
        effects.into_iter().for_each(|effect| self.push(effect));
    }
}

impl IntoIterator for Effects {
    type Item = Effect;
    type IntoIter = std::iter::Chain<std::option::IntoIter<Effect>, std::vec::IntoIter<Effect>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.more)
    }
}
