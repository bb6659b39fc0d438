//! One worker's VM: the gate and the counters shared by all its filter instances, and the waiting
//! streams.
//!
//! Envoy gives each worker a VM of its own, so nothing here is locked. No borrow is held while a
//! decision is carried out: Envoy comes back into the VM only after a callback has returned, but
//! for memory, and that needs nothing of this.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::calls::Calls;
use super::fault_injection::Safeguard;
use super::host;
use super::instance::Root;
use super::lines::Line;
use super::meter::{Gauges, Meter};
use super::raw::{self, Failed, HeaderBlock};
use super::streams::Streams;
use crate::filter::{
    CallId, Effect, Effects, Event, Gate, ReadShared, Release, Seed, Stats, StreamId, Took,
};
use crate::policy::Policy;
use crate::provider::response::{Answer, Body};
use crate::time::{MonotonicTime, Now, UnixTime};

/// How often deadlines are looked at. The host reports its own timeouts, so this bounds only a
/// report that was lost, and how long somebody waits for a call that is more patient.
fn tick() -> Duration {
    if Safeguard::Tick.is_active() { Duration::from_millis(50) } else { Duration::from_secs(60) }
}

/// The tick of an idle worker.
const REST: Duration = Duration::from_secs(1);

/// How soon the next batch is released.
const HURRY: Duration = Duration::from_millis(1);

/// How many streams one callback releases. Envoy acts on each after the callback, inside the call
/// into the VM that acting on the one before led to: at about 750 the stack is exhausted.
const BATCH: usize = 64;

/// What the filter instances of one VM share.
pub(super) struct Worker {
    pub(super) gate: RefCell<Gate>,
    gauges: Gauges,
    /// By `stat_name`; what has none is under the empty one.
    meters: RefCell<BTreeMap<String, Rc<Meter>>>,
    pub(super) roots: RefCell<BTreeMap<u32, Root>>,
    pub(super) streams: Streams,
    /// The roots that the SDK knows, among them some that have ended.
    known_roots: RefCell<Vec<u32>>,
    pub(super) calls: Calls,
    /// Decided, but not yet released.
    pending: RefCell<VecDeque<Release>>,
    /// The root that ticks for all: a hundred idle instances must not wake the worker a hundred
    /// times.
    ticking: Cell<Option<u32>>,
    /// How often it does: slowly when nothing is under way and nothing has changed, sooner where a
    /// call is to be repeated.
    period: Cell<Duration>,
    /// The root that ticks fast until nothing is pending.
    hurried: Cell<Option<u32>>,
    /// The stream whose headers have come just now: what its callback returns lets it go on.
    arriving: Cell<Option<StreamId>>,
    /// The offset of the wall clock to the monotonic clock at the last tick, in nanoseconds.
    ahead: Cell<u64>,
}

impl Worker {
    /// The VM's worker, made at the first call.
    pub(super) fn of_vm() -> Rc<Worker> {
        thread_local! {
            static WORKER: Rc<Worker> = Rc::new(Worker {
                gate: RefCell::new(Gate::new(Seed::new(raw::random()))),
                gauges: Gauges::define(),
                meters: RefCell::default(),
                roots: RefCell::default(),
                known_roots: RefCell::default(),
                streams: Streams::default(),
                calls: Calls::default(),
                pending: RefCell::default(),
                ticking: Cell::default(),
                period: Cell::new(tick()),
                hurried: Cell::default(),
                arriving: Cell::default(),
                ahead: Cell::new(ahead()),
            });
        }
        WORKER.with(Rc::clone)
    }

    /// The host's clocks, as the core counts time. Only one is asked: how far the other is ahead
    /// changes when somebody sets it, and that is noticed at the next tick.
    pub(super) fn now(&self) -> Now {
        let nanos = raw::monotonic_nanos();
        let date = nanos.wrapping_add(self.ahead.get()) / 1_000_000_000;
        Now { moment: MonotonicTime::from_nanos(nanos), date: UnixTime(date) }
    }

    /// A call of this root has ended: reads its answer and releases the requests that waited for
    /// it.
    pub(super) fn called_back(&self, root: u32, call: CallId, headers: usize, body_size: usize) {
        let block = HeaderBlock::of_answer();
        let limit = self.gate.borrow().answer_limit(call);
        let body =
            if body_size <= limit { host::answer_body(body_size).map(Some) } else { Ok(None) };
        let head = block.as_ref().map_err(|e| *e).and_then(HeaderBlock::head);
        let answer = match (headers, head, &body) {
            // The host says "no answer" with no headers at all.
            (0, _, _) if Safeguard::NoHeaders.is_active() => Answer::CutOff,
            (_, Err(Failed), _) | (_, _, Err(Failed)) => Answer::CutOff,
            (_, Ok(head), Ok(body)) => {
                Answer::Whole { head, body: body.as_deref().map_or(Body::TooLarge, Body::Read) }
            }
        };
        self.conclude(root, call, &answer);
    }

    /// Tells the gate what has happened.
    pub(super) fn handle(&self, event: Event<'_>) -> Effects {
        self.gate.borrow_mut().handle(event, self.now())
    }

    /// Tells the gate what the shared memory contains.
    pub(super) fn read_shared(&self, read: ReadShared) -> Effects {
        let values = read.slots.iter().map(|slot| host::shared_data(&slot.name())).collect();
        self.handle(Event::SharedData { read, values })
    }

    /// Tells the gate how a call of this root ended, carries out what follows, and releases the requests
    /// that waited.
    fn conclude(&self, root: u32, call: CallId, answer: &Answer<'_>) {
        self.carry_out(root, self.handle(Event::CallEnded { call, answer }));
        self.hasten();
        self.release(root);
    }

    /// A request waits: carries out what it leads to, with its stream in effect.
    pub(super) fn held(&self, root: u32, effects: impl IntoIterator<Item = Effect>) {
        if !self.carry_out(root, effects) {
            self.hasten();
            self.release(root);
        }
    }

    /// Carries out effects, with this root or a stream of it in effect, and what their results lead
    /// to. Decided requests are pending then. Returns whether every call could be made.
    fn carry_out(&self, root: u32, effects: impl IntoIterator<Item = Effect>) -> bool {
        let mut effects: VecDeque<Effect> = effects.into_iter().collect();
        let mut all_made = true;
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Release(release) => self.pending.borrow_mut().push_back(release),
                Effect::Call(call, what) => {
                    if self.calls.make(root, call, what).is_err() {
                        all_made = false;
                        let answer = &Answer::NotSent;
                        effects.extend(self.handle(Event::CallEnded { call, answer }));
                    }
                }
                Effect::ReadShared(read) => effects.extend(self.read_shared(read)),
                Effect::WriteShared(slot, value) => host::set_shared_data(&slot.name(), &value),
                Effect::Took(took) => self.took(&took),
            }
        }
        all_made
    }

    /// Counts how long a call took.
    fn took(&self, Took { policy, region, time }: &Took) {
        let roots = self.roots.borrow();
        let mut filters = roots.values().filter_map(Root::filter);
        if let Some(filter) = filters.find(|filter| Rc::ptr_eq(&filter.policy, policy)) {
            filter.meter.took(region, *time);
        }
    }

    /// The timer of this root: repeats calls, and releases requests past their deadline.
    pub(super) fn tick(&self, root: u32) {
        self.ahead.set(ahead());
        self.carry_out(root, self.handle(Event::Tick));
        self.release(root);
        let idle = !self.publish() && self.streams.are_over();
        if self.ticking.get() == Some(root) {
            self.keep_time(root, if idle { REST } else { tick() });
        }
    }

    /// The root that ticks does so after this time, or sooner where a call is due before.
    fn keep_time(&self, root: u32, usual: Duration) {
        let due = self.gate.borrow().next_due();
        let due = due.map(|due| due.since(self.now().moment).unwrap_or_default());
        let period = due.map_or(usual, |due| due.clamp(HURRY, usual));
        // One that is in a hurry comes down to this by itself.
        if period == self.period.get() || self.hurried.get() == Some(root) {
            return;
        }
        if host::put_in_effect(root).is_ok() {
            self.period.set(period);
            host::set_tick_period(period);
        } else {
            self.lost_the_tick(root);
        }
    }

    /// A call may have become due before the root that ticks would look.
    fn hasten(&self) {
        if let Some(root) = self.ticking.get()
            && self.gate.borrow().next_due().is_some()
        {
            self.keep_time(root, self.period.get());
        }
    }

    /// A request has come, and is in effect: the worker has something to do.
    pub(super) fn wake(&self, StreamId(stream): StreamId) {
        let Some(root) = self.ticking.get().filter(|_| self.period.get() > tick()) else {
            return;
        };
        if host::put_in_effect(root).is_ok() {
            self.tick_by(root);
        } else {
            self.lost_the_tick(root);
        }
        let _ = host::put_in_effect(stream);
    }

    /// Runs what happens while the headers of a request come.
    pub(super) fn while_arriving<T>(&self, stream: StreamId, happens: impl FnOnce() -> T) -> T {
        self.arriving.set(Some(stream));
        let happened = happens();
        self.arriving.set(None);
        happened
    }

    /// Registers an active instance, with its root in effect.
    pub(super) fn started(&self, root: u32, policy: &Rc<Policy>) {
        self.gate.borrow_mut().configured(policy);
        if self.ticking.get().is_none() {
            self.tick_by(root);
        }
    }

    /// Where an instance with this configuration counts.
    pub(super) fn meter(&self, policy: &Policy) -> Rc<Meter> {
        let name = policy.stat_name.as_deref().unwrap_or_default();
        let mut meters = self.meters.borrow_mut();
        let meter = meters.entry(name.to_owned()).or_insert_with(|| Rc::new(Meter::define(name)));
        meter.serves(policy);
        Rc::clone(meter)
    }

    /// Whether no other instance is active, so no request can wait for a call any more.
    pub(super) fn has_one_instance(&self) -> bool {
        self.instances() <= 1
    }

    /// The number of active filter instances.
    fn instances(&self) -> usize {
        self.roots.borrow().iter().filter_map(Root::at_work).count()
    }

    /// An instance has ended, and its configuration is removed.
    pub(super) fn stopped(&self, root: u32) {
        if self.hurried.get() == Some(root) {
            self.hurried.set(None);
        }
        if self.ticking.get() == Some(root) {
            self.pass_on_the_tick();
        }
        match self.ticking.get() {
            // What is due is for a root to call that will hear of the end.
            Some(next) if host::put_in_effect(next).is_ok() => self.hurry(next),
            Some(_) | None => {
                self.gate.borrow_mut().abandon();
                self.tick(root);
            }
        }
    }

    /// This root, which is in effect, is to tick as soon as can be, unless another does that already.
    /// Its calls are its own: they cannot be made while a callback of another root runs.
    fn hurry(&self, root: u32) {
        if self.hurried.get().is_none() {
            self.hurried.set(Some(root));
            host::set_tick_period(HURRY);
        }
    }

    /// The host has silently dropped the root that ticked.
    fn lost_the_tick(&self, root: u32) {
        self.roots.borrow_mut().remove(&root);
        self.pass_on_the_tick();
    }

    /// A root begins. The SDK, which runs no context now, forgets those that have ended.
    pub(super) fn begin_root(&self, root: u32) {
        let roots = self.roots.borrow();
        let known = self.known_roots.borrow();
        let ended: Vec<u32> = known.iter().copied().filter(|id| !roots.contains_key(id)).collect();
        drop((roots, known));
        ended.into_iter().for_each(raw::forget);
        self.known_roots.borrow_mut().push(root);
        self.roots.borrow_mut().insert(root, Root::default());
    }

    /// The SDK has forgotten this root: by the host's word, where the module exports that callback.
    pub(super) fn forgotten(&self, root: u32) {
        self.known_roots.borrow_mut().retain(|known| *known != root);
    }

    /// Another root ticks from now on.
    fn pass_on_the_tick(&self) {
        let others: Vec<u32> = self.roots.borrow().iter().filter_map(Root::at_work).collect();
        let next = others.into_iter().find(|other| host::put_in_effect(*other).is_ok());
        self.ticking.set(None);
        if let Some(next) = next {
            self.tick_by(next);
        }
    }

    /// This root, which is in effect, ticks from now on.
    fn tick_by(&self, root: u32) {
        self.ticking.set(Some(root));
        self.period.set(tick());
        // One that is in a hurry comes down to this by itself.
        if self.hurried.get() != Some(root) {
            host::set_tick_period(tick());
        }
    }

    /// Publishes the gate's counters and logs its breaker events. Requests that are decided but not
    /// yet released still count as waiting.
    ///
    /// Whether there was anything new.
    pub(super) fn publish(&self) -> bool {
        let waiting = self.streams.held();
        let mut gate = self.gate.borrow_mut();
        let held = self.gauges.publish(&Stats { waiting, ..gate.stats() });
        let counted = self.meters.borrow().values().filter(|meter| meter.publish()).count() > 0;
        for event in gate.take_site_events() {
            Line::Site(&event).write();
        }
        held || counted
    }

    /// Releases a batch of decided requests.
    fn release(&self, root: u32) {
        let mut pending = self.pending.borrow_mut();
        let left = pending.len() > BATCH;
        let number = pending.len().min(BATCH);
        let batch: Vec<Release> = pending.drain(..number).collect();
        drop(pending);
        let period = match self.hurried.get() {
            None if left => Some(HURRY),
            Some(hurried) if hurried == root && !left => {
                Some(if self.ticking.get() == Some(root) {
                    self.period.get()
                } else {
                    Duration::ZERO
                })
            }
            None | Some(_) => None,
        };
        // A stream of another root may be in effect; the timer belongs to the root in effect.
        if let Some(period) = period
            && host::put_in_effect(root).is_ok()
        {
            self.hurried.set(left.then_some(root));
            host::set_tick_period(period);
        }
        for Release { stream, decision } in batch {
            // One that has gone in the meantime has been counted as such.
            if let (Some(filter), Ok(())) =
                (self.streams.waits(stream), host::put_in_effect(stream.0))
            {
                let phase = filter.carry_out(&decision);
                self.streams.moves(stream, phase);
                // Released twice, it would go through the filters behind this one twice.
                if self.arriving.get() != Some(stream) {
                    phase.resume_if_forwarding();
                }
            }
        }
    }
}

/// The offset of the wall clock to the monotonic clock, in nanoseconds.
fn ahead() -> u64 {
    raw::nanos_since_1970().wrapping_sub(raw::monotonic_nanos())
}
