//! Validation at the UserInfo endpoint (OpenID Connect Core §5.3): the token itself is the credential of
//! the call, and a 200 with the user's claims vouches for it.
//!
//! Nothing of the client's request goes into a call but its bearer token and the identifiers by
//! which the provider's log can be joined, where these are well-formed.

use std::time::Duration;

use crate::claims::json::{self, Json};
use crate::config::file::Fields;
use crate::config::key::{Choice, Key};
use crate::config::location::Report;
use crate::config::shape::{Keys, text};
use crate::provider::call::{Call, HeaderList, LEAST};
use crate::provider::error::ProviderError;
use crate::provider::method::{Response, ValidationMethod};
use crate::provider::response::{Body, Unreadable, is_json, is_jwt};
use crate::provider::settings::{CallPolicy, Site};
use crate::provider::subject::{SubjectPath, Success};
use crate::refusal::{NoAnswer, Refusal, Unusable};
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::request::headers::HeaderView;

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&USERINFO_METHOD];

static USERINFO_METHOD: Key<Choice<&str>> = Key::new(
    "userinfo_method",
    Choice { default: ("GET", "GET"), others: &[("POST", "POST")] },
    text("HTTP methods are case-sensitive (RFC 9110 §9.1)"),
);

/// UserInfo with its settings.
#[derive(Debug)]
pub struct UserInfo {
    /// `GET` or `POST`.
    pub(crate) method: &'static str,
    pub(crate) success: Success,
}

/// Reads `userinfo_method`.
pub(crate) fn read(top: &Fields<'_>, success: Success, report: &mut Report) -> UserInfo {
    UserInfo { method: USERINFO_METHOD.read(top, report), success }
}

impl ValidationMethod for UserInfo {
    fn request(
        &self,
        policy: &CallPolicy,
        site: &Site,
        token: &BearerToken<'_>,
        correlation: &Correlation,
        timeout: Duration,
    ) -> Call {
        let mut headers = self.begin(site);
        headers.push("authorization", &["Bearer ", token.expose()]);
        fixed(&mut headers, policy);
        for (name, value) in correlation.headers() {
            // What the operator has fixed stays so.
            if !is_fixed(policy, name) {
                headers.push(name, &[value]);
            }
        }
        Call { cluster: site.cluster.clone(), headers, timeout: timeout.max(LEAST) }
    }

    fn probe(&self, policy: &CallPolicy, site: &Site, timeout: Duration) -> Call {
        let mut headers = self.begin(site);
        fixed(&mut headers, policy);
        Call { cluster: site.cluster.clone(), headers, timeout: timeout.max(LEAST) }
    }

    fn classify<'b>(&self, response: &Response<'_, 'b>) -> Result<Option<Json<'b>>, Refusal> {
        let Response { head, body, error_text, .. } = *response;
        match response.status {
            Some(200) => self.vouched(head, body),
            Some(status @ 400..=599) => {
                let error = ProviderError::read(status, head, body, error_text);
                Err(Refusal::Provider(Box::new(error)))
            }
            Some(_) | None => Err(Refusal::Unavailable(NoAnswer::UnexpectedStatus)),
        }
    }

    fn key_parts(&self) -> Vec<&str> {
        let mut parts = vec!["userinfo", self.method];
        match &self.success {
            Success::Object => parts.push("object"),
            Success::ObjectWithSubject => parts.push("sub"),
            Success::ObjectWithSubjectAt(SubjectPath { text, .. }) => {
                parts.extend(["subject at", text]);
            }
            Success::Any => parts.push("any"),
        }
        parts
    }

    fn success(&self) -> &Success {
        &self.success
    }
}

impl UserInfo {
    fn begin(&self, site: &Site) -> HeaderList {
        let mut headers = HeaderList::default();
        headers.push(":method", &[self.method]);
        headers.push(":scheme", &[site.scheme]);
        headers.push(":authority", &[&site.authority]);
        headers.push(":path", &[&site.path]);
        headers
    }

    /// What a 200 says, if that vouches.
    fn vouched<'b>(
        &self,
        head: &HeaderView<'_>,
        body: Body<'b>,
    ) -> Result<Option<Json<'b>>, Refusal> {
        let bytes = body.plain(head).map_err(|why| {
            Refusal::Unusable(match why {
                Unreadable::TooLarge => Unusable::TooLarge,
                Unreadable::Encoded => Unusable::Encoded,
            })
        })?;
        let document = if is_json(head) { json::parse(bytes).ok() } else { None };
        let is_object = matches!(document, Some(Json::Object(_)));
        match (self.success.holds(document.as_ref()), is_object) {
            (true, _) => Ok(document),
            (false, true) => Err(Refusal::NotVouched),
            (false, false) if is_jwt(head) => Err(Refusal::Unusable(Unusable::Jwt)),
            (false, false) => Err(Refusal::Unusable(Unusable::NotAnObject)),
        }
    }
}

fn fixed(headers: &mut HeaderList, policy: &CallPolicy) {
    if !is_fixed(policy, "accept") {
        headers.push("accept", &["application/json"]);
    }
    // Without it any coding is allowed (RFC 9110 §12.5.3), and an encoded response is of no use.
    headers.push("accept-encoding", &["identity"]);
    for (name, value) in &policy.headers {
        headers.push(name, &[value]);
    }
}

fn is_fixed(policy: &CallPolicy, name: &str) -> bool {
    policy.headers.iter().any(|(fixed, _)| fixed == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::bearer;
    use crate::sim::call_policy;

    #[test]
    fn a_call_holds_the_token_what_joins_the_logs_and_nothing_else_of_the_request() {
        let head = HeaderView::new(vec![
            (b"authorization", b"bearer  t0k"),
            (b"cookie", b"c"),
            (b"x-request-id", b"7b1c"),
            (b"traceparent", b"malformed"),
            (b"x-envoy-max-retries", b"9"),
            (b":path", b"/orders"),
        ]);
        let site = Site {
            cluster: "idp_fr".into(),
            authority: "idp.example:9001".into(),
            path: "/fr/userinfo?schema=openid".into(),
            scheme: "https",
        };
        let policy = CallPolicy {
            headers: vec![("user-agent".into(), "gateway/1".into())],
            ..call_policy()
        };
        let token = bearer::parse(&head, 8).unwrap();
        let correlation = Correlation::of(&head);
        let method = UserInfo { method: "POST", success: Success::Object };
        let call = method.request(&policy, &site, &token, &correlation, Duration::from_secs(2));
        assert_eq!((call.cluster.as_str(), call.timeout), ("idp_fr", Duration::from_secs(2)));
        let headers: Vec<_> = call.headers.iter().collect();
        assert_eq!(
            headers,
            [
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "idp.example:9001"),
                (":path", "/fr/userinfo?schema=openid"),
                ("authorization", "Bearer t0k"),
                ("accept", "application/json"),
                ("accept-encoding", "identity"),
                ("user-agent", "gateway/1"),
                ("x-request-id", "7b1c"),
            ]
        );
    }
}
