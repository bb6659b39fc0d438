//! The result of a request, as text and as JSON, without its token.

use oidc_token_connector::filter::{Action, Decision, Record};
use oidc_token_connector::outcome::Outcome;
use oidc_token_connector::provider::call::Call;
use oidc_token_connector::provider::call_outcome::CallOutcome;
use oidc_token_connector::request::headers::HeaderView;
use serde_json::{Value, json};

use crate::outcomes;

use super::request::Headers;
use crate::output::{Format, say};

/// Headers of a call whose value is no secret.
const OPEN: &[&str] =
    &["accept", "accept-encoding", "user-agent", "x-request-id", "traceparent", "tracestate"];
/// The type of the form in which a token is introspected.
const FORM: &str = "application/x-www-form-urlencoded";
/// Headers of a request whose value is a credential.
const SECRET: &[&str] = &["authorization", "proxy-authorization", "cookie"];

/// The result of a request.
pub(super) struct Story {
    instance: String,
    request: Headers,
    questions: Vec<Question>,
    end: Option<(End, Record)>,
    /// The selected region, and the reason.
    region: String,
    /// Headers and filter state that the answer did not give, and why.
    pub(super) left_out: Vec<(String, &'static str)>,
    /// The rule of the route that a validated token does not fulfil.
    pub(super) rule: Option<String>,
    /// Why the filter does not answer with the metadata of the resource, whose path this is.
    pub(super) metadata: Option<String>,
}

/// A call to a provider.
struct Question {
    cluster: String,
    method: String,
    url: String,
    milliseconds: u128,
    headers: Vec<(String, String)>,
    /// The fields of its body.
    form: Vec<(String, String)>,
    /// It repeats the one before, which had no answer.
    again: bool,
}

/// The end of a request.
enum End {
    Forward {
        headers: Vec<Forwarded>,
        removed: Vec<String>,
        /// Filter state for Envoy's other filters.
        state: Vec<(String, String)>,
    },
    Reply {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
        details: String,
    },
}

/// A header that the backend gets.
struct Forwarded {
    name: String,
    value: String,
    /// `client` or `filter`.
    from: &'static str,
}

impl Story {
    /// A request that has arrived.
    pub(super) fn new(instance: &str, request: Headers, region: String) -> Story {
        let (instance, questions, left_out) = (instance.to_owned(), Vec::new(), Vec::new());
        let (end, rule, metadata) = (None, None, None);
        Story { instance, request, questions, end, region, left_out, rule, metadata }
    }

    /// The result of `why` for the request, which gets a function that tells whether a name was
    /// set; empty unless the request is forwarded after an answer.
    pub(super) fn missing(
        &self,
        why: impl FnOnce(&HeaderView<'_>, &dyn Fn(&str) -> bool) -> Vec<(String, &'static str)>,
    ) -> Vec<(String, &'static str)> {
        let Some((End::Forward { headers, state, .. }, _)) = &self.end else { return Vec::new() };
        if self.questions.is_empty() {
            return Vec::new();
        }
        let set = |name: &str| {
            headers.iter().any(|header| header.from == "filter" && header.name == name)
                || state.iter().any(|(known, _)| known == name)
        };
        why(&self.request.head(), &set)
    }

    /// The result of `why` for the request, if it is refused although the provider validates its token.
    pub(super) fn refused(
        &self,
        why: impl FnOnce(&HeaderView<'_>) -> Option<String>,
    ) -> Option<String> {
        match &self.end {
            Some((End::Reply { .. }, record))
                if record.call_outcome == Some(CallOutcome::Accepted) =>
            {
                why(&self.request.head())
            }
            Some(_) | None => None,
        }
    }

    /// Whether a region was looked for at all: what has no token is refused before.
    fn chose_a_region(&self) -> bool {
        let for_region = |(_, record): &(End, Record)| {
            use Outcome::{Misconfigured, UnknownRegion, WrongIssuer};
            matches!(record.outcome, UnknownRegion | Misconfigured | WrongIssuer)
        };
        !self.questions.is_empty() || self.end.as_ref().is_some_and(for_region)
    }

    /// A call is made.
    pub(super) fn asks(&mut self, call: &Call) {
        let pseudo = |wanted: &str| {
            let mut values = call.headers.iter().filter(|(name, _)| *name == wanted);
            values.next().map_or("", |(_, value)| value)
        };
        let headers = call.headers.iter().filter(|(name, _)| !name.starts_with(':'));
        let shown = |(name, value): (&str, &str)| {
            let value = match name {
                "authorization" if value.starts_with("Basic ") => "Basic <client and secret>",
                "authorization" => "Bearer <token>",
                "content-type" if value == FORM => value,
                _ if OPEN.contains(&name) => value,
                _ => "<as configured>",
            };
            (name.to_owned(), value.to_owned())
        };
        let url = format!("{}://{}{}", pseudo(":scheme"), pseudo(":authority"), pseudo(":path"));
        let last = self.questions.last();
        self.questions.push(Question {
            cluster: call.cluster.clone(),
            method: pseudo(":method").to_owned(),
            again: last.is_some_and(|last| last.url == url && last.cluster == call.cluster),
            url,
            milliseconds: call.timeout.as_millis(),
            headers: headers.map(shown).collect(),
            form: form(&call.body),
        });
    }

    /// It is decided.
    pub(super) fn end(&mut self, decision: Decision) {
        let end = match decision.action {
            Action::Forward(edit) => {
                let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
                let removed: Vec<String> = edit.remove.iter().map(|name| text(name)).collect();
                let set: Vec<(&str, &str)> = edit.set().collect();
                let stays = |name: &str| {
                    !removed.iter().any(|removed| removed == name)
                        && !set.iter().any(|(set, _)| *set == name)
                };
                let client = self.request.0.iter().filter(|(name, _)| stays(name));
                let client = client.map(|(name, value)| Forwarded {
                    name: name.clone(),
                    value: redacted(name, value).to_owned(),
                    from: "client",
                });
                let set = set.iter().map(|(name, value)| Forwarded {
                    name: (*name).to_owned(),
                    value: (*value).to_owned(),
                    from: "filter",
                });
                let state = edit.state().map(|(n, v)| (format!("wasm.{n}"), v.to_owned()));
                let state = state.collect();
                End::Forward { headers: client.chain(set).collect(), removed, state }
            }
            Action::Reply(reply) => {
                let headers = reply.headers.into_iter();
                End::Reply {
                    status: reply.status,
                    headers: headers.map(|(name, value)| (name.to_owned(), value)).collect(),
                    body: reply.body,
                    details: reply.details,
                }
            }
        };
        self.end = Some((end, decision.record));
    }

    /// Prints it.
    pub(super) fn print(&self, format: Format) {
        match format {
            Format::Json => say(format_args!("{:#}", self.json())),
            Format::Text => say(self.text().trim_end()),
        }
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for question in &self.questions {
            let Question { cluster, method, url, milliseconds, headers, form, again } = question;
            let again = if *again { " again, after a pause" } else { "" };
            lines.push(format!(
                "calls {method} {url}{again} through cluster {cluster}, for up to {milliseconds} ms, with"
            ));
            lines.extend(headers.iter().map(|(name, value)| format!("  {name}: {value}")));
            lines.extend(form.iter().map(|(name, value)| format!("  form {name}={value}")));
        }
        if self.chose_a_region() {
            lines.push(format!("region {}", self.region));
        }
        let Some((end, record)) = &self.end else {
            lines.push(
                "waits for the answer: give it by --userinfo FILE, --status CODE or --no-answer"
                    .to_owned(),
            );
            return lines.join("\n");
        };
        match end {
            End::Forward { headers, removed, state } => {
                lines.push("forwards the request; the backend gets".to_owned());
                for Forwarded { name, value, from } in headers {
                    let mark = if *from == "filter" { "  (set by the filter)" } else { "" };
                    lines.push(format!("  {name}: {value}{mark}"));
                }
                if !removed.is_empty() {
                    lines.push(format!("removed: {}", removed.join(", ")));
                }
                let state =
                    state.iter().map(|(name, value)| format!("filter state {name}: {value}"));
                lines.extend(state);
                let left_out = self.left_out.iter();
                lines.extend(left_out.map(|(name, why)| format!("left out {name}: {why}")));
            }
            End::Reply { status, headers, body, .. } => {
                lines.push(format!("answers {status} with"));
                lines.extend(headers.iter().map(|(name, value)| format!("  {name}: {value}")));
                if !body.is_empty() {
                    lines.push(format!("  {body}"));
                }
            }
        }
        let reason = end.reason().map(|reason| format!(", reason {reason}")).unwrap_or_default();
        let outcome = record.outcome.as_str();
        lines.push(format!("outcome: {outcome}{reason}; access log {}", record.access_log()));
        if let Some(rule) = &self.rule {
            lines.push(format!("not fulfilled: {rule}"));
        }
        if let Some(metadata) = &self.metadata {
            lines.push(format!("no metadata: {metadata}"));
        }
        if let Some(came) = record.call_outcome {
            let (answer, about) = outcomes::texts(came, end.reason());
            let follows = came.consequences();
            let yes = |is| if is { "yes" } else { "no" };
            lines.push(format!("the provider's answer: {answer}; about: {about}"));
            lines.push(format!(
                "  kept: {}; removes the valid entry: {}; calls another site: {}; an outdated \
                 verdict may serve: {}",
                outcomes::kept(came),
                yes(follows.ends_good),
                yes(follows.next_site),
                yes(follows.stale),
            ));
        }
        for (number, what) in [
            (record.claims.invalid, "are not allowed in a header"),
            (record.claims.over_budget, "exceed the step budget"),
        ] {
            if number > 0 {
                lines.push(format!("headers left out because their claims {what}: {number}"));
            }
        }
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let questions = self.questions.iter().map(|question| {
            json!({
                "cluster": question.cluster,
                "method": question.method,
                "url": question.url,
                "timeout_ms": u64::try_from(question.milliseconds).unwrap_or(u64::MAX),
                "headers": listed(&question.headers),
                "form": listed(&question.form),
                "again": question.again,
            })
        });
        let result = match &self.end {
            None => json!({ "kind": "waits" }),
            Some((End::Forward { headers, removed, state }, _)) => {
                let header = |Forwarded { name, value, from }: &Forwarded| json!({ "name": name, "value": value, "from": from });
                let headers: Vec<Value> = headers.iter().map(header).collect();
                let state = listed(state);
                json!({
                    "kind": "forward", "headers": headers, "removed": removed, "filter_state": state
                })
            }
            Some((End::Reply { status, headers, body, .. }, _)) => {
                let headers = listed(headers);
                json!({ "kind": "reply", "status": status, "headers": headers, "body": body })
            }
        };
        let record = self.end.as_ref().map(|(end, record)| {
            json!({
                "outcome": record.outcome.as_str(),
                "reason": end.reason(),
                "source": record.source.as_str(),
                "region": record.region.as_deref(),
                "evidence": record.call_outcome.map(|came| {
                    let (answer, about) = outcomes::texts(came, end.reason());
                    let follows = came.consequences();
                    json!({
                        "came": answer,
                        "about": about,
                        "kept": outcomes::kept(came),
                        "ends_good": follows.ends_good,
                        "next_site": follows.next_site,
                        "stale": follows.stale,
                    })
                }),
                "claims_invalid": record.claims.invalid,
                "claims_over_budget": record.claims.over_budget,
            })
        });
        json!({
            "version": 1,
            "instance": self.instance,
            "questions": questions.collect::<Vec<Value>>(),
            "result": result,
            "record": record,
            "why": {
                "region": self.chose_a_region().then_some(&self.region),
                "left_out": self.left_out.iter().map(|(name, why)| json!({ "name": name, "why": why }))
                    .collect::<Vec<Value>>(),
                "rule": self.rule,
                "metadata": self.metadata,
            },
        })
    }
}

impl End {
    /// The reason, from `%RESPONSE_CODE_DETAILS%`.
    fn reason(&self) -> Option<&str> {
        match self {
            End::Forward { .. } => None,
            End::Reply { details, .. } => Some(details.split_once(':')?.1.trim_end_matches('}')),
        }
    }
}

/// The fields of a form, as they are sent; of the token and the secret only that they are there.
fn form(body: &[u8]) -> Vec<(String, String)> {
    let body = String::from_utf8_lossy(body);
    let fields = body.split('&').filter(|field| !field.is_empty());
    let shown = |field: &str| {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let value = match name {
            "client_id" | "token_type_hint" => value,
            "token" => "<token>",
            _ => "<secret>",
        };
        (name.to_owned(), value.to_owned())
    };
    fields.map(shown).collect()
}

fn listed(headers: &[(String, String)]) -> Vec<Value> {
    headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn redacted<'v>(name: &str, value: &'v str) -> &'v str {
    match name {
        "authorization" if value.starts_with("Bearer ") => "Bearer <token>",
        _ if SECRET.contains(&name) => "<hidden>",
        _ => value,
    }
}
