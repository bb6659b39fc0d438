//! The filter as Envoy sees it: the only code that names `proxy_wasm`.
//!
//! The shell obeys. It reads bytes, hands them to the core, and carries out what comes back; it
//! holds no `if` about authorization. It must never panic: a panic takes the worker's whole VM and
//! every request it holds down with it.

mod host;
mod http;
mod meter;
mod root;

use std::cell::RefCell;
use std::panic;
use std::rc::Rc;

use proxy_wasm::types::LogLevel;

use crate::config::{AccessLog, Policy};
use crate::gate::{Action, Decision, Gate};
use crate::outcome::Outcome;
use crate::time::Moment;
use meter::Meter;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    // The SDK's hook prints the panic's message, which may hold bytes of a request.
    panic::set_hook(Box::new(|info| {
        let (file, line) = info.location().map_or(("", 0), |l| (l.file(), l.line()));
        log::error!("panic at {file}:{line}");
    }));
    proxy_wasm::set_root_context(|_| Box::new(root::Root::default()));
}}

/// One filter configuration at work on one worker, shared by its root and its streams.
struct Filter {
    policy: Rc<Policy>,
    gate: RefCell<Gate>,
    meter: Meter,
}

impl Filter {
    /// Carries out a decision on the stream that is in effect. Every edit comes before the resume:
    /// Envoy lets go of the headers there.
    fn carry_out(&self, decision: &Decision) -> Carried {
        let record = &decision.record;
        self.leave_for_access_log(&record.access_log());
        match &decision.action {
            Action::Forward(edit) => match host::edit_request(edit) {
                Ok(()) => {
                    self.meter.record(record);
                    Carried::Forwarding
                }
                // Headers that could not be edited may still hold the client's own identity.
                Err(host::Failed) => {
                    self.answer_internal_error();
                    Carried::Answered
                }
            },
            Action::Reply(reply) => {
                self.meter.record(record);
                host::send_local_reply(reply.status, &reply.headers, &reply.body, &reply.details);
                Carried::Answered
            }
        }
    }

    /// The host refused what it never refuses: the request must not pass.
    fn answer_internal_error(&self) {
        log::error!("Envoy refused to read or edit a request's headers; answered with 500");
        self.meter.ended(Outcome::Internal);
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

/// What has become of a stream whose decision was carried out.
enum Carried {
    /// Its headers are ready to go on.
    Forwarding,
    /// It has had its reply.
    Answered,
}

/// The host's clock, as the core counts time.
fn now() -> Moment {
    Moment::from_nanos(host::monotonic_nanos())
}
