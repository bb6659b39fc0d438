//! The scripted provider's answers, and the calls that have come.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::call::Call;
use crate::identity::Identity;
use crate::reply::Reply;
use crate::tls::Certificate;

type Answer = dyn Fn(&Call) -> Option<Reply> + Send + Sync;

/// The test's script.
#[derive(Default)]
pub(super) struct Script {
    pub(super) queue: VecDeque<Reply>,
    pub(super) by_closure: Option<Box<Answer>>,
    pub(super) by_token: HashMap<String, Reply>,
    pub(super) by_path: HashMap<String, Reply>,
    pub(super) otherwise: Option<Reply>,
    pub(super) calls: Vec<Call>,
    pub(super) forgetful: bool,
    pub(super) certificate: Certificate,
    pub(super) identity: Option<Identity>,
    pub(super) idle: Option<Duration>,
}

/// The script, and how many calls have come.
#[derive(Default)]
pub(super) struct Answers {
    script: Mutex<Script>,
    pub(super) count: watch::Sender<usize>,
}

impl Answers {
    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the call, which is recorded.
    pub(super) fn answer(&self, call: Call) -> Reply {
        let mut script = self.script();
        let queued = script.queue.pop_front();
        let token = call.token();
        let reply = queued
            .or_else(|| script.by_closure.as_ref().and_then(|answer| answer(&call)))
            .or_else(|| token.as_ref().and_then(|t| script.by_token.get(t)).cloned())
            .or_else(|| script.by_path.get(&call.target).cloned())
            .or_else(|| script.otherwise.clone())
            .unwrap_or_else(|| match token.as_deref() {
                Some("good") => good(),
                _ => expired(),
            });
        if !script.forgetful {
            script.calls.push(call);
        }
        self.count.send_modify(|count| *count += 1);
        reply
    }
}

/// The answer to the token `good` before anything is scripted.
pub(super) fn good() -> Reply {
    Reply::json(
        200,
        &json!({
            "sub": "248289761001",
            "name": "Claes Rosenlöf",
            "email": "claes@example.com",
            "uid": "claes",
            "groups": ["travel", "approvers"],
            "roles": ["buyer"],
            "b2bUnitId": "unit-17",
            "erpAccountNumber": 4711,
        }),
    )
}

/// The answer to any other token before anything is scripted.
pub(super) fn expired() -> Reply {
    Reply::json(401, &json!({"error": "invalid_token", "errorMessage": "The access token expired"}))
        .header(
            "WWW-Authenticate",
            r#"Bearer error="invalid_token", error_description="The access token expired""#,
        )
}
