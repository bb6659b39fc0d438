//! One filter configuration: read once, then shared by its streams; and the calls to providers. The
//! host assigns every call to the configuration and reports its end there: no client can cancel a
//! call that others wait for.

use std::rc::Rc;
use std::time::Duration;

use super::host::{self, Level};
use super::instance::{Filter, Root, UnderWay};
use super::worker::Worker;
use crate::policy;

/// Reads a configuration. A pure function of its bytes: where it fails only in a worker, Envoy
/// leaves the filter out and requests go through unauthenticated.
pub(super) fn configure(worker: &Rc<Worker>, id: u32, size: usize) -> bool {
    let Ok(bytes) = host::configuration(size) else {
        // Not `false`: were this to happen in a worker alone, Envoy would leave the filter out.
        let what = "configuration: cannot be read from Envoy; every request is answered with 500";
        host::log(Level::Error, what);
        return true;
    };
    match policy::read(&bytes) {
        Err(problems) => {
            for problem in problems {
                host::log(Level::Error, &format!("configuration refused: {problem}"));
            }
            false
        }
        Ok(loaded) => {
            for fault in &loaded.faults {
                host::log(Level::Error, &format!("configuration: {fault}"));
            }
            for note in loaded.policy.notes() {
                host::log(Level::Info, &note);
            }
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
    let under_way = worker.calls.borrow_mut().remove(&token);
    let under_way = under_way.filter(|under_way| under_way.root == root);
    let at_work = worker.roots.borrow().get(&root).is_some_and(|root| root.filter.is_some());
    if let (Some(UnderWay { call, .. }), true) = (under_way, at_work) {
        worker.called_back(root, call, headers, body_size);
        // Nobody may be left who waited for it.
        if worker.streams.are_over() {
            worker.publish();
        }
    }
    let ending = worker.roots.borrow().get(&root).is_some_and(|root| root.ending);
    if ending && !has_calls(worker, root) {
        retire(worker, root);
        host::done();
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
    let over = !at_work || worker.has_one_instance() || !has_calls(worker, id);
    if over {
        retire(worker, id);
    }
    over
}

fn has_calls(worker: &Worker, root: u32) -> bool {
    worker.calls.borrow().values().any(|under_way| under_way.root == root)
}

/// Removes a configuration. With the last one of the VM all stored data goes, also from the gauges,
/// which other VMs share.
fn retire(worker: &Rc<Worker>, id: u32) {
    let Some(Root { filter: Some(filter), .. }) = worker.roots.borrow_mut().remove(&id) else {
        return;
    };
    drop(filter);
    worker.calls.borrow_mut().retain(|_, under_way| under_way.root != id);
    worker.stopped(id);
    // Streams may have been put in effect. The host would keep the timer for ever.
    if host::put_in_effect(id).is_ok() {
        host::set_tick_period(Duration::ZERO);
    }
}
