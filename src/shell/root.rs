//! One filter configuration: read once, then shared by its streams; and the calls to providers. The
//! host assigns every call to the configuration and reports its end there: no client can cancel a
//! call that others wait for.

use std::rc::Rc;
use std::time::Duration;

use super::host;
use super::instance::{Filter, Root};
use super::lines::Line;
use super::raw;
use super::worker::Worker;
use crate::policy::{self, Environment};

/// Reads a configuration. A pure function of its bytes and of the VM's
/// environment: where it fails only in a worker, Envoy
/// leaves the filter out and requests go through unauthenticated.
pub(super) fn configure(worker: &Rc<Worker>, id: u32, size: usize) -> bool {
    let Ok(bytes) = host::configuration(size) else {
        // Not `false`: were this to happen in a worker alone, Envoy would leave the filter out.
        Line::Unreadable.write();
        return true;
    };
    // The VM's environment alone, not the process's: what its configuration gives it.
    let variable = |name: &str| std::env::var(name).ok();
    match policy::read_in(&bytes, Environment::Known(&variable)) {
        Err(problems) => {
            problems.iter().for_each(|problem| Line::Refused(problem).write());
            false
        }
        Ok(loaded) => {
            loaded.faults.iter().for_each(|fault| Line::Fault(fault).write());
            loaded.policy.notes().iter().for_each(|note| Line::Note(note).write());
            let policy = Rc::new(loaded.policy);
            worker.started(id, &policy);
            let meter = worker.meter(&policy);
            let filter = Rc::new(Filter { policy, meter, root: id });
            worker.roots.borrow_mut().entry(id).or_default().filter = Some(filter);
            true
        }
    }
}

/// The host reports the end of a call of this root.
pub(super) fn called_back(
    worker: &Rc<Worker>,
    root: u32,
    token: u32,
    headers: usize,
    body_size: usize,
) {
    let ended = worker.calls.ended(root, token);
    let at_work = worker.roots.borrow().get(&root).is_some_and(|root| root.filter.is_some());
    if let (Some(call), true) = (ended, at_work) {
        worker.called_back(root, call, headers, body_size);
        // Nobody may be left who waited for it.
        if worker.streams.are_over() {
            worker.publish();
        }
    }
    let ending = worker.roots.borrow().get(&root).is_some_and(|root| root.ending);
    if ending && !worker.calls.any_of(root) {
        retire(worker, root);
        // Nothing is left to do where the host did not wait for it.
        let _ = raw::done();
    }
}

/// The host wants to end a root. One that is replaced lives on until its calls have ended: others
/// may wait for them. The last one of a VM does not, and could not: the VM goes with it.
pub(super) fn done(worker: &Rc<Worker>, id: u32) -> bool {
    let at_work = match worker.roots.borrow_mut().get_mut(&id) {
        Some(root) => {
            root.ending = true;
            root.filter.is_some()
        }
        None => return true,
    };
    let over = !at_work || worker.has_one_instance() || !worker.calls.any_of(id);
    if over {
        retire(worker, id);
    }
    over
}

/// Removes a configuration. With the last one of the VM all stored data goes, also from the gauges,
/// which other VMs share.
fn retire(worker: &Rc<Worker>, id: u32) {
    let Some(Root { filter: Some(filter), .. }) = worker.roots.borrow_mut().remove(&id) else {
        return;
    };
    drop(filter);
    worker.calls.forget(id);
    worker.stopped(id);
    // Streams may have been put in effect. The host would keep the timer for ever.
    if host::put_in_effect(id).is_ok() {
        host::set_tick_period(Duration::ZERO);
    }
}
