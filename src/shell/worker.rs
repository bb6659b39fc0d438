//! One worker's VM: the gate and the counters that all filter instances in it share, and the
//! streams that wait.
//!
//! Envoy gives each worker a VM of its own, so nothing here is locked. No borrow may be held while
//! a decision is carried out for long: Envoy comes back into the VM only after a callback has
//! returned, and the module calls itself in one place, [`super::root::dispatch`].

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::host::{self, Failed, HeaderBlock};
use super::http::Phase;
use super::meter::Meter;
use crate::config::{AccessLog, Policy};
use crate::gate::{Action, CallId, Decision, Gate, Ledger, Notice, Release, Settled, StreamId};
use crate::outcome::Outcome;
use crate::sabotage::Guard;
use crate::time::{Date, Moment, Now};
use crate::userinfo::{Answer, Body, Call};

/// How often deadlines are looked at. The host reports its own timeouts, so this bounds only a
/// report that was lost, and how long somebody waits for a call that is more patient.
fn tick() -> Duration {
    if Guard::Tick.stands() { Duration::from_millis(50) } else { Duration::from_secs(60) }
}

/// How soon the next batch is let go.
const HURRY: Duration = Duration::from_millis(1);

/// How many streams one callback lets go. Envoy acts on each after the callback, inside the call
/// into the VM that acting on the one before led to: at about 750 the stack is exhausted.
const BATCH: usize = 64;

/// What the filter instances of one VM share.
pub(super) struct Worker {
    pub(super) gate: RefCell<Gate>,
    pub(super) meter: Meter,
    /// The requests that wait: where each stands, and whose it is.
    held: RefCell<BTreeMap<StreamId, Held>>,
    /// Decided, but not yet let go.
    pending: RefCell<VecDeque<Release>>,
    /// The root that ticks fast until nothing is pending.
    hurried: Cell<Option<u32>>,
    /// How many filter instances are at work.
    instances: Cell<u32>,
}

/// A stream that waits.
struct Held {
    filter: Rc<Filter>,
    phase: Rc<Cell<Phase>>,
}

/// One filter configuration at work on one worker, shared by its root and its streams.
pub(super) struct Filter {
    pub(super) policy: Rc<Policy>,
    pub(super) worker: Rc<Worker>,
    /// The root context that makes this instance's calls.
    pub(super) root: u32,
}

impl Worker {
    /// The VM's worker, made at the first call.
    pub(super) fn of_vm() -> Rc<Worker> {
        thread_local! {
            static WORKER: Rc<Worker> = Rc::new(Worker {
                gate: RefCell::default(),
                meter: Meter::define(),
                held: RefCell::default(),
                pending: RefCell::default(),
                hurried: Cell::default(),
                instances: Cell::default(),
            });
        }
        WORKER.with(Rc::clone)
    }

    /// A stream waits from now on.
    pub(super) fn hold(&self, stream: StreamId, filter: &Rc<Filter>, phase: &Rc<Cell<Phase>>) {
        phase.set(Phase::Held);
        let held = Held { filter: Rc::clone(filter), phase: Rc::clone(phase) };
        self.held.borrow_mut().insert(stream, held);
    }

    /// A stream has ended by itself; the outcome if it was still waiting.
    pub(super) fn gone(&self, stream: StreamId) -> Option<Outcome> {
        self.held.borrow_mut().remove(&stream)?;
        // The gate knows nothing of it any more where it was about to be let go.
        let _ = self.gate.borrow_mut().gone(stream);
        Some(Outcome::ClientGone)
    }

    /// A call of this root has ended: reads its answer and lets go whoever waited for it. `dispatch`
    /// makes the call to the next site, where there is to be one.
    pub(super) fn called_back(
        &self,
        root: u32,
        call: CallId,
        headers: usize,
        body_size: usize,
        dispatch: impl FnMut(CallId, Call) -> Result<(), Failed>,
    ) {
        let block = HeaderBlock::of_answer();
        let limit = self.gate.borrow().answer_limit(call);
        let body =
            if body_size <= limit { host::answer_body(body_size).map(Some) } else { Ok(None) };
        let head = block.as_ref().map_err(|e| *e).and_then(HeaderBlock::head);
        let answer = match (headers, head, &body) {
            // The host says "no answer" with no headers at all.
            (0, _, _) if Guard::NoHeaders.stands() => Answer::CutOff,
            (_, Err(Failed), _) | (_, _, Err(Failed)) => Answer::CutOff,
            (_, Ok(head), Ok(body)) => {
                Answer::Whole { head, body: body.as_deref().map_or(Body::TooLarge, Body::Read) }
            }
        };
        self.conclude(root, call, &answer, dispatch);
    }

    /// Tells the gate how a call of this root ended, and lets go whoever waited for it.
    pub(super) fn conclude(
        &self,
        root: u32,
        call: CallId,
        answer: &Answer<'_>,
        mut dispatch: impl FnMut(CallId, Call) -> Result<(), Failed>,
    ) {
        let mut settled = self.gate.borrow_mut().answered(call, answer, now());
        while let Some((id, call)) = settled.next.take() {
            if dispatch(id, call).is_err() {
                settled = self.gate.borrow_mut().answered(id, &Answer::NotSent, now());
            }
        }
        let Settled { releases, share, .. } = settled;
        if let Some((slot, value)) = share {
            host::set_shared_data(&slot.name(), &value);
        }
        self.pending.borrow_mut().extend(releases);
        self.release(root);
    }

    /// The timer of this root: lets go whoever is past its deadline.
    pub(super) fn tick(&self, root: u32) {
        let late = self.gate.borrow_mut().tick(now());
        self.pending.borrow_mut().extend(late);
        self.release(root);
        self.publish();
    }

    /// An instance is at work from now on.
    pub(super) fn started(&self, policy: &Rc<Policy>) {
        self.gate.borrow_mut().configured(policy);
        self.instances.set(self.instances.get().saturating_add(1));
        host::set_tick_period(tick());
    }

    /// Whether no other instance is at work, so that nobody can wait for a call any more.
    pub(super) fn has_one_instance(&self) -> bool {
        self.instances.get() <= 1
    }

    /// An instance is at work no more, and its configuration given up.
    pub(super) fn stopped(&self, root: u32) {
        self.instances.set(self.instances.get().saturating_sub(1));
        if self.instances.get() == 0 {
            self.gate.borrow_mut().abandon();
        }
        self.tick(root);
        if self.hurried.get() == Some(root) {
            self.hurried.set(None);
        }
    }

    /// Publishes what the gate counts, and what an operator wants to know. Whoever is decided but
    /// not yet let go still waits.
    pub(super) fn publish(&self) {
        let waiting = self.held.borrow().len();
        let mut gate = self.gate.borrow_mut();
        self.meter.publish(&Ledger { waiting, ..gate.ledger() });
        for notice in gate.take_notices() {
            match notice {
                Notice::Opened { cluster } => {
                    log::warn!("cluster {cluster} does not answer: it is left alone for a while");
                }
                Notice::Closed { cluster } => log::info!("cluster {cluster} answers again"),
            }
        }
    }

    /// Lets go a batch of those who are decided, with `root` or a stream of it in effect.
    fn release(&self, root: u32) {
        let mut pending = self.pending.borrow_mut();
        let left = pending.len() > BATCH;
        let number = pending.len().min(BATCH);
        let batch: Vec<Release> = pending.drain(..number).collect();
        drop(pending);
        match self.hurried.get() {
            None if left => {
                self.hurried.set(Some(root));
                host::set_tick_period(HURRY);
            }
            Some(hurried) if hurried == root && !left => {
                self.hurried.set(None);
                host::set_tick_period(tick());
            }
            None | Some(_) => {}
        }
        for Release { stream, decision } in batch {
            // One that has gone in the meantime has been counted as such.
            let held = self.held.borrow_mut().remove(&stream);
            if let (Some(held), Ok(())) = (held, host::put_in_effect(stream.0)) {
                held.filter.carry_out(&decision, &held.phase);
                held.phase.get().resume_if_forwarding();
            }
        }
    }
}

impl Filter {
    /// Carries out a decision on the stream that is in effect. Every edit comes before the resume:
    /// Envoy lets go of the headers there.
    pub(super) fn carry_out(&self, decision: &Decision, phase: &Cell<Phase>) {
        let record = &decision.record;
        self.leave_for_access_log(&record.access_log());
        match &decision.action {
            Action::Forward(edit) => match host::edit_request(edit) {
                Ok(()) => {
                    self.worker.meter.record(record);
                    phase.set(Phase::Forwarding);
                }
                // Headers that could not be edited may still hold the client's own identity.
                Err(Failed) => {
                    self.answer_internal_error();
                    phase.set(Phase::Answered);
                }
            },
            Action::Reply(reply) => {
                self.worker.meter.record(record);
                host::send_local_reply(reply.status, &reply.headers, &reply.body, &reply.details);
                phase.set(Phase::Answered);
            }
        }
    }

    /// The host refused what it never refuses: the request must not pass.
    pub(super) fn answer_internal_error(&self) {
        log::error!("Envoy refused to read or edit a request's headers; answered with 500");
        self.worker.meter.ended(Outcome::Internal);
        self.leave_for_access_log("internal;none;none");
        host::answer_internal_error("host");
    }

    fn leave_for_access_log(&self, state: &str) {
        match self.policy.access_log {
            AccessLog::FilterState => host::set_filter_state("oidc_outcome", state),
            AccessLog::Silent => {}
        }
    }
}

/// The host's clocks, as the core counts time.
pub(super) fn now() -> Now {
    Now {
        moment: Moment::from_nanos(host::monotonic_nanos()),
        date: Date(host::seconds_since_1970()),
    }
}
