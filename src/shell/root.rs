//! One filter configuration: read once, then shared by its streams; and the calls to providers,
//! which belong to it rather than to a stream, so that no client can take a call away from the
//! others who wait for it.

#![allow(unsafe_code, reason = "the module calls an export of its own")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::host::{self, Failed};
use super::http::Stream;
use super::worker::{Filter, Worker};
use crate::config;
use crate::gate::{CallId, StreamId};
use crate::userinfo::Call;

/// A filter configuration as the host's root context.
pub(super) struct Root {
    id: u32,
    filter: Option<Rc<Filter>>,
    /// The calls it has under way, by the host's number.
    calls: BTreeMap<u32, CallId>,
    /// The host wants to end it, and is told when its last call has ended.
    ending: bool,
}

impl Root {
    pub(super) fn new(id: u32) -> Root {
        Root { id, filter: None, calls: BTreeMap::new(), ending: false }
    }

    /// Makes a call, with the root itself running: what the SDK gives the answer to.
    fn make(&mut self, id: CallId, call: &Call) -> Result<(), Failed> {
        let headers = call.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let made =
            hostcalls::dispatch_http_call(&call.cluster, headers, None, Vec::new(), call.timeout);
        let token = made.map_err(|_| Failed)?;
        self.calls.insert(token, id);
        Ok(())
    }

    /// Gives up the configuration. With the last one of the VM everything that is remembered goes,
    /// and out of the gauges, which other VMs share.
    fn retire(&mut self) {
        if let Some(filter) = self.filter.take() {
            let worker = Rc::clone(&filter.worker);
            drop(filter);
            worker.stopped(self.id);
            // Streams may have been put in effect. The host would keep the timer for ever.
            if host::put_in_effect(self.id).is_ok() {
                host::set_tick_period(Duration::ZERO);
            }
        }
    }
}

thread_local! {
    /// A call on its way from a stream to its root, and back how that went.
    static JOB: RefCell<Job> = const { RefCell::new(Job::None) };
}

enum Job {
    None,
    ToMake(CallId, Call),
    Made(Result<(), Failed>),
}

/// Has a root make a call, from within a stream's callback.
///
/// The SDK gives the answer to whichever context's callback is running, and drops it when that is
/// a stream that has gone. So the module enters its own export for a root's callback: the one of
/// queues, since it never registers a queue.
pub(super) fn dispatch(root: u32, id: CallId, call: Call) -> Result<(), Failed> {
    unsafe extern "C" {
        fn proxy_on_queue_ready(root: u32, queue: u32);
    }
    JOB.set(Job::ToMake(id, call));
    // SAFETY: the SDK's export, with the number of a root context that lives: streams hold it.
    unsafe { proxy_on_queue_ready(root, 0) };
    match JOB.replace(Job::None) {
        Job::Made(result) => result,
        Job::None | Job::ToMake(..) => Err(Failed),
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _: usize) {
        if let (Some(call), Some(filter)) = (self.calls.remove(&token), &self.filter) {
            let (id, worker) = (self.id, Rc::clone(&filter.worker));
            worker.called_back(id, call, headers, body_size, |id, call| self.make(id, &call));
            worker.publish();
        }
        if self.ending && self.calls.is_empty() {
            self.retire();
            host::done();
        }
    }

    /// A root that is replaced lives on until its calls have ended: others may wait for them. The
    /// last one of a VM does not, and could not: the VM goes with it.
    fn on_done(&mut self) -> bool {
        self.ending = true;
        let last = self.filter.as_ref().is_none_or(|filter| filter.worker.has_one_instance());
        let over = last || self.calls.is_empty();
        if over {
            self.retire();
        }
        over
    }
}

impl RootContext for Root {
    /// A pure function of the configuration's bytes: where it fails only in a worker, Envoy leaves
    /// the filter out and requests go through unauthenticated.
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(bytes) = host::configuration(size) else {
            // Not `false`: were this to happen in a worker alone, Envoy would leave the filter out.
            log::error!(
                "configuration: Envoy does not give it; every request is answered with 500"
            );
            return true;
        };
        match config::read(&bytes) {
            Err(problems) => {
                for problem in problems {
                    log::error!("configuration refused: {problem}");
                }
                false
            }
            Ok(loaded) => {
                for fault in &loaded.faults {
                    log::error!("configuration: {fault}");
                }
                for note in loaded.policy.notes() {
                    log::info!("{note}");
                }
                let (policy, worker) = (Rc::new(loaded.policy), Worker::of_vm());
                worker.started(&policy);
                self.filter = Some(Rc::new(Filter { policy, worker, root: self.id }));
                true
            }
        }
    }

    /// Comes only from [`dispatch`].
    fn on_queue_ready(&mut self, _: u32) {
        let Job::ToMake(id, call) = JOB.replace(Job::None) else {
            return;
        };
        let made = self.make(id, &call);
        JOB.set(Job::Made(made));
    }

    fn on_tick(&mut self) {
        if let Some(filter) = &self.filter {
            filter.worker.tick(self.id);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(StreamId(id), self.filter.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
