//! One request: passes Envoy's events to the gate, and the gate's decisions to Envoy. Every
//! callback pauses while there is no decision, also for body and trailers: with
//! `allow_on_headers_stop_iteration` Envoy calls each of them, and a Continue would send the
//! request upstream unauthenticated.

use std::rc::Rc;

use proxy_wasm::types::Action;

use super::fault_injection::{self, Safeguard};
use super::instance::Filter;
use super::lines::Line;
use super::phase::Phase;
use super::raw::{self, Failed, HeaderBlock};
use super::streams::Stream;
use super::worker::Worker;
use crate::filter::{Effect, Event, Release, StreamId};
use crate::outcome::Outcome;
use crate::request::strip;

/// The headers of a request have arrived, perhaps without body.
pub(super) fn headers(worker: &Worker, id: StreamId, ends: bool) -> Action {
    let phase = match worker.streams.filter(id) {
        Some(filter) => worker.while_arriving(id, || arrive(worker, id, &filter, ends)),
        None => {
            Line::Unconfigured.write();
            raw::answer_internal_error("unconfigured");
            Phase::Answered
        }
    };
    // One that was held may have been released already: a call that could not be made ends at once.
    if phase != Phase::Held {
        worker.streams.moves(id, phase);
    }
    worker.streams.phase(id).action()
}

fn arrive(worker: &Worker, id: StreamId, filter: &Rc<Filter>, ends: bool) -> Phase {
    worker.wake(id);
    filter.meter.arrived();
    let Ok(block) = HeaderBlock::of_request() else {
        return filter.answer_internal_error();
    };
    let Ok(head) = block.head() else {
        return filter.answer_internal_error();
    };
    let head = head.ending(ends);
    fault_injection::trap(&head);
    #[cfg(feature = "fault-injection")]
    if fault_injection::asks_for_refusals(&head) {
        super::refused::answer(filter.root, id);
        return Phase::Answered;
    }
    let event = Event::Request { stream: id, policy: &filter.policy, headers: &head };
    let mut effects = worker.handle(event);
    loop {
        let mut rest = effects.into_iter();
        match rest.next() {
            Some(Effect::Release(Release { stream, decision })) if stream == id => {
                return filter.carry_out(&decision);
            }
            Some(Effect::ReadShared(read)) => {
                effects = worker.read_shared(read);
                effects.extend(rest);
            }
            first => {
                worker.streams.moves(id, Phase::Held);
                worker.held(filter.root, first.into_iter().chain(rest));
                return Phase::Held;
            }
        }
    }
}

/// A part of a request's body has arrived.
pub(super) fn body(worker: &Worker, id: StreamId) -> Action {
    if Safeguard::BodyPause.is_active() {
        worker.streams.phase(id).action()
    } else {
        Action::Continue
    }
}

/// A request's trailers have arrived.
pub(super) fn trailers(worker: &Worker, id: StreamId) -> Action {
    // At once, decided or not: a resumed request is not asked about its trailers again.
    if let Some(filter) = worker.streams.filter(id)
        && strip_trailers(&filter).is_err()
    {
        match worker.streams.phase(id) {
            // Counted once, as what it is.
            Phase::New | Phase::Held => {
                worker.handle(Event::Gone(id));
                worker.streams.moves(id, filter.answer_internal_error());
            }
            // Counted already; but trailers that may be forged must not go on.
            Phase::Forwarding => {
                raw::answer_internal_error("trailers");
                worker.streams.moves(id, Phase::Answered);
            }
            Phase::Answered => {}
        }
    }
    worker.streams.phase(id).action()
}

fn strip_trailers(filter: &Filter) -> Result<(), Failed> {
    let block = HeaderBlock::of_trailers()?;
    raw::remove_trailers(&strip::trailers_to_remove(&block.head()?, &filter.policy.forward))
}

/// A request has ended, perhaps while it was waiting.
pub(super) fn gone(worker: &Worker, id: StreamId, stream: &Stream) {
    if stream.phase == Phase::Held {
        // The gate knows nothing of it any more where it was about to be let go.
        worker.handle(Event::Gone(id));
        if let Some(filter) = &stream.filter {
            filter.meter.ended(Outcome::ClientGone);
        }
    }
    if worker.streams.are_over() {
        worker.publish();
    }
}
