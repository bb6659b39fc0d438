//! The hot operations of the core, each set up once and then repeated: the benchmarks, callgrind
//! and the tests all make the same calls.
//!
//! An operation must leave everything as it found it, so that its thousandth call does what its
//! first did, and must hand out what came of it, so that a test can see that it does what its name
//! says. Nothing here may reach past the core's public interface.

mod documents;
mod gate;
mod requests;
mod work;

use std::hint::black_box;

use oidc_token_connector::claims::jsonpath::Selection;
use oidc_token_connector::filter::header_edit::{HeaderEdit, MappedClaims};
use oidc_token_connector::filter::{Decision, ReadShared};

/// One operation.
pub struct Operation {
    /// Its name, in parts from the general to the particular: `hit/8-headers/40-byte-token`.
    pub name: String,
    set_up: Box<dyn Fn() -> Repeat>,
}

/// An operation that is set up.
pub type Repeat = Box<dyn FnMut() -> Effect>;

/// The result of one call. The caller drops it, at the same cost as in the shell.
pub enum Effect {
    /// The gate decided.
    Decided(Decision),
    /// The gate wants to know more.
    Asks(ReadShared),
    /// The mapped claims of a provider's answer.
    Mapped(MappedClaims),
    /// The edits of a request's headers.
    Edits(HeaderEdit),
    /// The result of a path.
    Finds(Selection<'static, 'static>),
}

impl Operation {
    fn new(name: String, set_up: impl Fn() -> Repeat + 'static) -> Operation {
        Operation { name, set_up: Box::new(set_up) }
    }

    /// Prepares everything that is no part of the operation, and calls it once: what is done on
    /// first use alone is not what it costs.
    pub fn set_up(&self) -> Repeat {
        let mut repeat = (self.set_up)();
        drop(repeat());
        repeat
    }
}

/// All operations, those that belong together one after the other.
pub fn all() -> Vec<Operation> {
    let mut all = gate::operations();
    all.extend(work::operations());
    all
}

/// Calls an operation so often. callgrind counts what happens in here and nowhere else, by this
/// name.
#[inline(never)]
pub fn measured(repeat: &mut Repeat, calls: u32) {
    for _ in 0..calls {
        drop(black_box(repeat()));
    }
}
