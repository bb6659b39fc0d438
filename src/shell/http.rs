//! One request: what Envoy tells of it goes to the gate, what the gate decides goes to Envoy.
//!
//! Every callback pauses while there is no decision, body and trailers too: with
//! `allow_on_headers_stop_iteration` Envoy asks each of them, and one that says Continue lets the
//! request go upstream unauthenticated.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action as Flow;

use super::host::{self, Failed, HeaderBlock};
use super::root;
use super::worker::{Filter, now};
use crate::enrich;
use crate::gate::{Admission, Arrival, StreamId};
use crate::sabotage::{self, Guard};
use crate::userinfo::Answer;

/// One request as the host's stream context.
pub(super) struct Stream {
    id: StreamId,
    /// `None` where there is no configuration: nothing passes then.
    filter: Option<Rc<Filter>>,
    /// Whoever lets a held stream go sets it.
    phase: Rc<Cell<Phase>>,
}

/// Where a request stands. Only a forwarded one may move.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    /// Its headers have not been seen.
    New,
    /// The gate holds it.
    Held,
    /// It goes on to the upstream.
    Forwarding,
    /// It has had its reply.
    Answered,
}

impl Phase {
    fn flow(self) -> Flow {
        match self {
            Phase::Forwarding => Flow::Continue,
            Phase::New | Phase::Held | Phase::Answered => Flow::Pause,
        }
    }

    /// Lets the request in effect go on, where that was decided while it was paused.
    pub(super) fn resume_if_forwarding(self) {
        match self {
            Phase::Forwarding => host::resume_request(),
            Phase::New | Phase::Held | Phase::Answered => {}
        }
    }
}

impl Stream {
    pub(super) fn new(id: StreamId, filter: Option<Rc<Filter>>) -> Stream {
        Stream { id, filter, phase: Rc::new(Cell::new(Phase::New)) }
    }

    fn arrive(&self, filter: &Rc<Filter>) {
        filter.worker.meter.arrived();
        let Ok(block) = HeaderBlock::of_request() else {
            return self.give_up(filter);
        };
        let Ok(head) = block.head() else {
            return self.give_up(filter);
        };
        sabotage::trap(&head);
        let gate = &filter.worker.gate;
        let arrival = gate.borrow_mut().admit(&filter.policy, self.id, &head, now());
        let admission = match arrival {
            Arrival::Admitted(admission) => admission,
            Arrival::LookUp(question) => {
                let found = question.slots().map(|slot| host::shared_data(&slot.name()));
                let found = found.each_ref().map(Option::as_deref);
                gate.borrow_mut().looked_up(question, found, now())
            }
        };
        match admission {
            Admission::Decided(decision) => filter.carry_out(&decision, &self.phase),
            Admission::Follow => filter.worker.hold(self.id, filter, &self.phase),
            Admission::Lead(id, call) => {
                filter.worker.hold(self.id, filter, &self.phase);
                let dispatch = |id, call| root::dispatch(filter.root, id, call);
                if dispatch(id, call).is_err() {
                    filter.worker.conclude(filter.root, id, &Answer::NotSent, dispatch);
                }
            }
        }
        filter.worker.publish();
    }

    fn give_up(&self, filter: &Filter) {
        filter.answer_internal_error();
        self.phase.set(Phase::Answered);
    }

    fn strip_trailers(&self, filter: &Filter) -> Result<(), Failed> {
        let block = HeaderBlock::of_trailers()?;
        host::remove_trailers(&enrich::fields_to_remove(&block.head()?, &filter.policy.forward))
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        if let Some(filter) = &self.filter
            && let Some(outcome) = filter.worker.gone(self.id)
        {
            filter.worker.meter.ended(outcome);
            filter.worker.publish();
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Flow {
        match &self.filter {
            Some(filter) => self.arrive(filter),
            None => {
                log::error!("a request came before any configuration; answered with 500");
                host::answer_internal_error("unconfigured");
                self.phase.set(Phase::Answered);
            }
        }
        self.phase.get().flow()
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Flow {
        if Guard::BodyPause.stands() { self.phase.get().flow() } else { Flow::Continue }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Flow {
        // At once, decided or not: a resumed request is not asked about its trailers again.
        if let Some(filter) = &self.filter
            && self.strip_trailers(filter).is_err()
        {
            match self.phase.get() {
                // Counted once, as what it is.
                Phase::New | Phase::Held => {
                    let _ = filter.worker.gone(self.id);
                    self.give_up(filter);
                }
                // Counted already; but trailers that may be forged must not go on.
                Phase::Forwarding => {
                    host::answer_internal_error("trailers");
                    self.phase.set(Phase::Answered);
                }
                Phase::Answered => {}
            }
        }
        self.phase.get().flow()
    }
}
