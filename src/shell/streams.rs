//! The requests of a worker, as the host numbers them. Nothing is decided here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;

use super::instance::Filter;
use super::phase::Phase;
use super::raw;
use crate::filter::StreamId;

/// One request as the host's stream context.
pub(super) struct Stream {
    /// `None` where there is no configuration: nothing passes then.
    pub(super) filter: Option<Rc<Filter>>,
    pub(super) phase: Phase,
}

impl Stream {
    pub(super) fn new(filter: Option<Rc<Filter>>) -> Stream {
        Stream { filter, phase: Phase::New }
    }
}

/// The requests of a worker.
#[derive(Default)]
pub(super) struct Streams {
    /// The host counts the numbers up, so no client can choose them.
    streams: RefCell<HashMap<StreamId, Stream, FxBuildHasher>>,
    held: Cell<usize>,
    /// Those that have ended, and that the SDK still knows.
    ended: RefCell<Vec<StreamId>>,
}

impl Streams {
    pub(super) fn begin(&self, id: StreamId, stream: Stream) {
        self.streams.borrow_mut().insert(id, stream);
    }

    pub(super) fn end(&self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.borrow_mut().remove(&id)?;
        self.ended.borrow_mut().push(id);
        if stream.phase == Phase::Held {
            self.held.set(self.held.get().saturating_sub(1));
        }
        Some(stream)
    }

    /// Has the SDK forget those that have ended. Only while it runs none.
    pub(super) fn forget_ended(&self) {
        loop {
            let ended = self.ended.borrow_mut().pop();
            let Some(StreamId(id)) = ended else { break };
            raw::forget(id);
        }
    }

    /// The SDK has forgotten this one: by the host's word, where the module exports that callback.
    pub(super) fn forgotten(&self, id: StreamId) {
        self.ended.borrow_mut().retain(|ended| *ended != id);
    }

    /// The phase of a request; one that has ended does not continue.
    pub(super) fn phase(&self, id: StreamId) -> Phase {
        self.streams.borrow().get(&id).map_or(Phase::Answered, |stream| stream.phase)
    }

    pub(super) fn filter(&self, id: StreamId) -> Option<Rc<Filter>> {
        self.streams.borrow().get(&id)?.filter.clone()
    }

    /// A request enters another phase.
    pub(super) fn moves(&self, id: StreamId, to: Phase) {
        if let Some(stream) = self.streams.borrow_mut().get_mut(&id) {
            let from = std::mem::replace(&mut stream.phase, to);
            let held = self.held.get().saturating_add(usize::from(to == Phase::Held));
            self.held.set(held.saturating_sub(usize::from(from == Phase::Held)));
        }
    }

    /// Whose request this is, if it waits.
    pub(super) fn waits(&self, id: StreamId) -> Option<Rc<Filter>> {
        let streams = self.streams.borrow();
        let stream = streams.get(&id).filter(|stream| stream.phase == Phase::Held)?;
        stream.filter.clone()
    }

    /// Whether there is none.
    pub(super) fn are_over(&self) -> bool {
        self.streams.borrow().is_empty()
    }

    /// How many wait.
    pub(super) fn held(&self) -> usize {
        self.held.get()
    }
}
