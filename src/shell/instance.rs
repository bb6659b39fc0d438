//! One filter instance on one worker: its configuration, its counters, and the execution of the
//! gate's decisions on the request in effect.

use std::rc::Rc;

use super::lines::Line;
use super::meter::Meter;
use super::phase::Phase;
use super::raw::{self, Failed};
use crate::config::{AccessLog, Policy};
use crate::filter::header_edit::HeaderEdit;
use crate::filter::{Action, Decision};
use crate::outcome::Outcome;

/// One filter configuration at work on one worker, shared by its root and its streams.
pub(super) struct Filter {
    pub(super) policy: Rc<Policy>,
    pub(super) meter: Rc<Meter>,
    /// The root context that makes this instance's calls.
    pub(super) root: u32,
}

/// A filter configuration as the host's root context.
#[derive(Default)]
pub(super) struct Root {
    pub(super) filter: Option<Rc<Filter>>,
    /// The host wants to end it, and is notified when its last call has ended.
    pub(super) ending: bool,
}

impl Root {
    /// The configuration at work; `None` before it was read, and after its end.
    pub(super) fn filter(&self) -> Option<Rc<Filter>> {
        self.filter.clone()
    }

    /// The number of a root, if a configuration is at work there.
    pub(super) fn at_work((id, root): (&u32, &Root)) -> Option<u32> {
        root.filter.as_ref().map(|_| *id)
    }
}

impl Filter {
    /// Carries out a decision on the stream that is in effect, and returns its new phase. Every
    /// edit comes before the resume: Envoy releases the headers there.
    pub(super) fn carry_out(&self, decision: &Decision) -> Phase {
        let record = &decision.record;
        match self.policy.access_log {
            AccessLog::FilterState => leave_for_access_log(&record.access_log()),
            AccessLog::Silent => {}
        }
        match &decision.action {
            Action::Forward(edit) => match hand_on(edit) {
                Ok(()) => {
                    self.meter.record(record);
                    Phase::Forwarding
                }
                // Headers that could not be edited may still hold the client's own identity.
                Err(Failed) => self.answer_internal_error(),
            },
            Action::Reply(reply) => {
                self.meter.record(record);
                raw::send_local_reply(reply.status, &reply.headers, &reply.body, &reply.details);
                Phase::Answered
            }
        }
    }

    /// The host refused an operation that it never refuses: the request must not pass.
    pub(super) fn answer_internal_error(&self) -> Phase {
        Line::HostRefused.write();
        self.meter.ended(Outcome::Internal);
        match self.policy.access_log {
            AccessLog::FilterState => leave_for_access_log("internal;none;none"),
            AccessLog::Silent => {}
        }
        raw::answer_internal_error("host");
        Phase::Answered
    }
}

/// Filter state comes first: another filter may refuse the request because of it.
fn hand_on(edit: &HeaderEdit) -> Result<(), Failed> {
    edit.state().try_for_each(|(name, value)| raw::set_filter_state(name, value))?;
    raw::edit_request(edit)
}

/// A failure does not change the decision about the request.
fn leave_for_access_log(state: &str) {
    let _ = raw::set_filter_state("oidc_outcome", state);
}
