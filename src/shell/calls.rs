//! The calls that the host is making, each in the name of a root.
//!
//! The host assigns a call to the root of the context in effect, and the SDK to the context whose
//! callback runs: a stream, mostly, whose client may go before the call has ended. Then its end
//! would be dropped, and the requests that wait for it would hang. So a call is made while a
//! callback of its root runs, which is entered for that where it is a stream's. Nothing is decided
//! here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use super::host;
use super::raw::{self, Failed};
use crate::filter::CallId;
use crate::provider::call::Call;

/// A call that the host is making.
struct UnderWay {
    /// Whose it is.
    root: u32,
    call: CallId,
}

/// What [`Calls::queue_ready`] is entered for.
#[derive(Default)]
enum Errand {
    /// Nothing.
    #[default]
    None,
    /// To make this call.
    Make(Call),
    /// It has made it, or could not.
    Made(Result<u32, Failed>),
}

/// The calls of a worker.
#[derive(Default)]
pub(super) struct Calls {
    /// By the host's numbers for them.
    under_way: RefCell<HashMap<u32, UnderWay, FxBuildHasher>>,
    /// The root whose callback runs, if one does.
    running: Cell<Option<u32>>,
    errand: RefCell<Errand>,
}

impl Calls {
    /// Runs a callback of a root.
    pub(super) fn in_root<T>(&self, root: u32, happens: impl FnOnce() -> T) -> T {
        let before = self.running.replace(Some(root));
        let happened = happens();
        self.running.set(before);
        happened
    }

    /// Makes a call for this root, which is in effect, or a stream of it. It must be the root whose
    /// callback runs, if one of any root does: the SDK runs one at a time.
    pub(super) fn make(&self, root: u32, call: CallId, what: Call) -> Result<(), Failed> {
        let made = match self.running.get() {
            Some(running) if running == root => host::http_call(&what),
            Some(_) => Err(Failed),
            None => {
                self.errand.replace(Errand::Make(what));
                raw::enter(root);
                match self.errand.take() {
                    Errand::Made(made) => made,
                    Errand::None | Errand::Make(_) => Err(Failed),
                }
            }
        };
        self.under_way.borrow_mut().insert(made?, UnderWay { root, call });
        Ok(())
    }

    /// A root has been entered, and its callback runs.
    pub(super) fn queue_ready(&self) {
        if let Errand::Make(what) = self.errand.take() {
            let made = host::http_call(&what);
            self.errand.replace(Errand::Made(made));
        }
    }

    /// The host reports the end of a call to this root: which one it is.
    pub(super) fn ended(&self, root: u32, token: u32) -> Option<CallId> {
        let ended = self.under_way.borrow_mut().remove(&token)?;
        (ended.root == root).then_some(ended.call)
    }

    /// Whether the host is making one for this root.
    pub(super) fn any_of(&self, root: u32) -> bool {
        self.under_way.borrow().values().any(|under_way| under_way.root == root)
    }

    /// A root is gone, and its calls with it.
    pub(super) fn forget(&self, root: u32) {
        self.under_way.borrow_mut().retain(|_, under_way| under_way.root != root);
    }
}
