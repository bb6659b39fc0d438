//! `--serve`: what becomes of each request, from all sides, as it ends. It only looks on: the lines are
//! Envoy's access log, and what provider and backend have seen under the same request id.

use integration::{Call, Gateway, Headers, Received, tokens};
use serde_json::Value;

use crate::scene::is_housekeeping;
use crate::show::Screen;

/// Most calls and requests that are kept for a line of the access log that is still to come.
const KEPT: usize = 1000;

/// Follows the requests of a gateway.
pub(crate) struct Live<'a> {
    gateway: &'a Gateway,
    screen: &'a Screen,
    /// How many lines of the access log have been told.
    seen: usize,
    calls: Vec<Call>,
    received: Vec<Received>,
}

impl<'a> Live<'a> {
    /// Follows what comes after so many requests. Envoy writes its access log a moment after the answer.
    pub(crate) async fn after(seen: usize, gateway: &'a Gateway, screen: &'a Screen) -> Live<'a> {
        drop(gateway.envoy.access_log().wait_lines(seen).await);
        drop((gateway.provider.take_calls(), gateway.upstream.take()));
        Live { gateway, screen, seen, calls: Vec::new(), received: Vec::new() }
    }

    /// Tells of every request, until Envoy ends.
    pub(crate) async fn follow(mut self) {
        while let Some(lines) = self.gateway.envoy.access_log().after(self.seen).await {
            self.seen += lines.len();
            self.calls.extend(self.gateway.provider.take_calls());
            self.received.extend(self.gateway.upstream.take());
            for line in lines {
                // The reference writes JSON; what is not is no request of its.
                if let Ok(entry) = serde_json::from_str(&line) {
                    self.tell(&entry);
                }
            }
            keep_last(&mut self.calls);
            keep_last(&mut self.received);
        }
    }

    fn tell(&mut self, entry: &Value) {
        let id = entry["id"].as_str().unwrap_or_default();
        let is_of = |headers: &Headers| headers.get("x-request-id").as_deref() == Some(id);
        let asked = self.calls.iter().filter(|call| is_of(&call.headers)).map(tokens::told);
        let backend = self.received.iter().find(|received| is_of(&received.headers));
        self.screen.live(&heading(entry), &asked.collect::<Vec<_>>(), backend.map(arrived));
    }
}

fn keep_last<T>(all: &mut Vec<T>) {
    let surplus = all.len().saturating_sub(KEPT);
    drop(all.drain(..surplus));
}

/// The request, the status, and why: `GET /orders → 401 no_credentials:absent`.
fn heading(entry: &Value) -> String {
    let text = |name: &str| entry[name].as_str().unwrap_or("-").to_owned();
    // The filter's own words about a refusal are in braces.
    let details = text("details");
    let refused = details.strip_prefix("oidc_token_connector{").and_then(|d| d.strip_suffix('}'));
    let why = match (refused, entry["outcome"].as_str()) {
        (Some(refused), _) => refused.to_owned(),
        (None, Some(outcome)) => outcome.to_owned(),
        (None, None) => "the filter is off on this route".to_owned(),
    };
    format!("{} {} → {}  {why}", text("method"), text("path"), entry["status"])
}

/// What the backend got: the request, and the headers that say something of the user.
fn arrived(received: &Received) -> String {
    let headers = received.headers.0.iter();
    let told = headers.filter(|(name, _)| {
        name == "authorization" || name.starts_with("x-") && !is_housekeeping(name)
    });
    let mut told: Vec<String> =
        told.map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect();
    told.sort();
    let with = if told.is_empty() { "no identity".to_owned() } else { told.join(", ") };
    format!("{} {} with {with}", received.method, received.target)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_heading_has_the_reason() {
        let entry = |details: &str, outcome: Value| {
            heading(&json!({
                "method": "GET", "path": "/orders", "status": 401, "details": details,
                "outcome": outcome,
            }))
        };
        let refused = entry("oidc_token_connector{no_credentials:absent}", json!("x;none;none"));
        assert_eq!(refused, "GET /orders → 401  no_credentials:absent");
        assert_eq!(entry("via_upstream", json!("pass;hit;FR")), "GET /orders → 401  pass;hit;FR");
        let off = entry("via_upstream", Value::Null);
        assert_eq!(off, "GET /orders → 401  the filter is off on this route");
    }

    #[test]
    fn only_telling_headers_are_shown() {
        let headers = [("host", "h"), ("x-request-id", "1"), ("x-user-id", "7"), ("accept", "*/*")];
        let mut received = Received {
            method: "GET".to_owned(),
            target: "/orders".to_owned(),
            ..Received::default()
        };
        assert_eq!(arrived(&received), "GET /orders with no identity");
        headers.iter().for_each(|(name, value)| received.headers.push(name, value));
        assert_eq!(arrived(&received), "GET /orders with x-user-id: 7");
    }

    #[test]
    fn only_the_last_are_kept() {
        let mut all: Vec<usize> = (0..KEPT + 3).collect();
        keep_last(&mut all);
        assert_eq!((all.len(), all[0]), (KEPT, 3));
    }
}
