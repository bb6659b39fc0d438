//! One request: what Envoy tells of it goes to the gate, what the gate decides goes to Envoy.
//!
//! Every callback pauses while there is no decision, body and trailers too: with
//! `allow_on_headers_stop_iteration` Envoy asks each of them, and one that says Continue lets the
//! request go upstream unauthenticated.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action as Flow;

use super::host::{self, Failed, HeaderBlock};
use super::{Carried, Filter, now};
use crate::enrich;
use crate::gate::{Admission, CallId, StreamId};
use crate::sabotage::{self, Guard};
use crate::userinfo::{Answer, Body, Call};

/// One request as the host's stream context.
pub(super) struct Stream {
    id: StreamId,
    /// `None` where there is no configuration: nothing passes then.
    filter: Option<Rc<Filter>>,
    phase: Phase,
}

/// Where a request stands. Only a forwarded one may move.
#[derive(Clone, Copy)]
enum Phase {
    /// Its headers have not been seen.
    New,
    /// The gate holds it until this call is answered.
    Held(CallId),
    /// It goes on to the upstream.
    Forwarding,
    /// It has had its reply.
    Answered,
}

impl Phase {
    fn flow(self) -> Flow {
        match self {
            Phase::Forwarding => Flow::Continue,
            Phase::New | Phase::Held(_) | Phase::Answered => Flow::Pause,
        }
    }
}

impl Stream {
    pub(super) fn new(id: StreamId, filter: Option<Rc<Filter>>) -> Stream {
        Stream { id, filter, phase: Phase::New }
    }

    fn arrive(&self, filter: &Filter) -> Phase {
        filter.meter.arrived();
        let Ok(block) = HeaderBlock::of_request() else {
            return filter.give_up();
        };
        let Ok(head) = block.head() else {
            return filter.give_up();
        };
        sabotage::trap(&head);
        let admission = filter.gate.borrow_mut().admit(self.id, &head, now());
        match admission {
            Admission::Decided(decision) => filter.carry_out(&decision).into(),
            Admission::Hold(id, call) => match dispatch(&call) {
                Ok(()) => Phase::Held(id),
                Err(Failed) => filter.conclude(id, &Answer::NotSent).unwrap_or(Phase::Answered),
            },
        }
    }

    fn strip_trailers(&self, filter: &Filter) -> Result<(), Failed> {
        let block = HeaderBlock::of_trailers()?;
        host::remove_trailers(&enrich::fields_to_remove(&block.head()?, &filter.policy.forward))
    }
}

impl Filter {
    /// Tells the gate how a call ended, and carries out what it decides for the stream in effect.
    fn conclude(&self, call: CallId, answer: &Answer<'_>) -> Option<Phase> {
        let release = self.gate.borrow_mut().answered(call, answer)?;
        Some(self.carry_out(&release.decision).into())
    }

    fn give_up(&self) -> Phase {
        self.answer_internal_error();
        Phase::Answered
    }
}

impl From<Carried> for Phase {
    fn from(carried: Carried) -> Phase {
        match carried {
            Carried::Forwarding => Phase::Forwarding,
            Carried::Answered => Phase::Answered,
        }
    }
}

/// The host gives the answer to the context in effect, so the call belongs to this stream.
fn dispatch(call: &Call) -> Result<(), Failed> {
    let headers = call.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    hostcalls::dispatch_http_call(&call.cluster, headers, None, Vec::new(), call.timeout)
        .map(|_| ())
        .map_err(|_| Failed)
}

impl Context for Stream {
    fn on_http_call_response(&mut self, _: u32, headers: usize, body_size: usize, _: usize) {
        let (Some(filter), Phase::Held(call)) = (self.filter.clone(), self.phase) else {
            return;
        };
        let block = HeaderBlock::of_answer();
        let body = if body_size <= filter.policy.answer.max_bytes {
            host::answer_body(body_size).map(Some)
        } else {
            Ok(None)
        };
        let head = block.as_ref().map_err(|e| *e).and_then(HeaderBlock::head);
        let answer = match (headers, head, &body) {
            // The host says "no answer" with no headers at all.
            (0, _, _) if Guard::NoHeaders.stands() => Answer::CutOff,
            (_, Err(Failed), _) | (_, _, Err(Failed)) => Answer::CutOff,
            (_, Ok(head), Ok(body)) => {
                Answer::Whole { head, body: body.as_deref().map_or(Body::TooLarge, Body::Read) }
            }
        };
        if let Some(phase) = filter.conclude(call, &answer) {
            self.phase = phase;
            match phase {
                Phase::Forwarding => host::resume_request(),
                Phase::New | Phase::Held(_) | Phase::Answered => {}
            }
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some(filter) = &self.filter
            && let Some(outcome) = filter.gate.borrow_mut().gone(self.id)
        {
            filter.meter.ended(outcome);
        }
        true
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Flow {
        match self.filter.clone() {
            Some(filter) => self.phase = self.arrive(&filter),
            None => {
                log::error!("a request came before any configuration; answered with 500");
                host::answer_internal_error("unconfigured");
                self.phase = Phase::Answered;
            }
        }
        self.phase.flow()
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Flow {
        if Guard::BodyPause.stands() { self.phase.flow() } else { Flow::Continue }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Flow {
        // At once, decided or not: a resumed request is not asked about its trailers again.
        if let Some(filter) = self.filter.clone()
            && self.strip_trailers(&filter).is_err()
        {
            match self.phase {
                // Counted once, as what it is.
                Phase::New | Phase::Held(_) => {
                    let _ = filter.gate.borrow_mut().gone(self.id);
                    self.phase = filter.give_up();
                }
                // Counted already; but trailers that may be forged must not go on.
                Phase::Forwarding => {
                    host::answer_internal_error("trailers");
                    self.phase = Phase::Answered;
                }
                Phase::Answered => {}
            }
        }
        self.phase.flow()
    }
}
