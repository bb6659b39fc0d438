//! Validation at the UserInfo endpoint (OpenID Connect Core §5.3): the token itself is the credential of
//! the call, and a 200 with the user's claims vouches for it.
//!
//! Nothing of the client's request goes into a call but its bearer token and the identifiers by
//! which the provider's log can be joined, where these are well-formed.

use std::time::Duration;

use crate::claims::json::{self, Json};
use crate::claims::rules::Document;
use crate::claims::token;
use crate::config::file::Fields;
use crate::config::key::{Choice, Key};
use crate::config::location::Report;
use crate::config::shape::{Keys, text};
use crate::provider::call::{Call, LEAST, accept, begin, correlated};
use crate::provider::error::ProviderError;
use crate::provider::expiry;
use crate::provider::method::{Response, ValidationMethod, Words};
use crate::provider::response::{Body, is_json, is_jwt};
use crate::provider::settings::{CallPolicy, Site};
use crate::provider::subject::Success;
use crate::refusal::{NoAnswer, NotVouched, Refusal, Unusable};
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::request::headers::HeaderView;
use crate::time::UnixTime;

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&USERINFO_METHOD, &USERINFO_JWT];

static USERINFO_METHOD: Key<Choice<&str>> = Key::new(
    "userinfo_method",
    Choice { default: ("GET", "GET"), others: &[("POST", "POST")] },
    text("HTTP methods are case-sensitive (RFC 9110 §9.1)"),
);

static USERINFO_JWT: Key<Choice<SignedUserInfo>> = Key::new(
    "userinfo_jwt",
    Choice {
        default: ("refuse", SignedUserInfo::Refuse),
        others: &[("trust_tls", SignedUserInfo::TrustTls)],
    },
    text(
        "`trust_tls`: a response with `application/jwt` (OpenID Connect Core §5.3.2) counts as its JSON \
         payload. The signature is **not** checked, a departure from §5.3.4: the filter relies on TLS to the \
         provider instead, as §3.1.3.7 allows for ID Tokens. Its `exp` and `nbf` count as those of an introspection response. \
         Only with `https://` endpoints. Encrypted responses stay unusable",
    ),
);

/// `userinfo_jwt`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedUserInfo {
    /// Cannot be used.
    Refuse,
    /// Read without its signature.
    TrustTls,
}

/// UserInfo with its settings.
#[derive(Debug)]
pub struct UserInfo {
    /// `GET` or `POST`.
    pub(crate) method: &'static str,
    pub(crate) jwt: SignedUserInfo,
    pub(crate) success: Success,
}

/// Reads `userinfo_method` and `userinfo_jwt`. `is_tls` says that every endpoint is `https://`.
pub(crate) fn read(
    top: &Fields<'_>,
    success: Success,
    is_tls: bool,
    report: &mut Report,
) -> UserInfo {
    let jwt = USERINFO_JWT.read(top, report);
    if let (SignedUserInfo::TrustTls, false, Some(node)) = (jwt, is_tls, USERINFO_JWT.node(top)) {
        report.problem(
            &node.place,
            "got \"trust_tls\" with an http:// endpoint, expected https:// for every endpoint: \
             without TLS nothing protects the response",
        );
    }
    UserInfo { method: USERINFO_METHOD.read(top, report), jwt, success }
}

/// Reports the keys that say something of UserInfo alone, where tokens are introspected.
pub(crate) fn refuse_with_introspection(top: &Fields<'_>, report: &mut Report) {
    let why = "with introspection_endpoint, expected it absent: it is about UserInfo alone";
    for node in [USERINFO_METHOD.node(top), USERINFO_JWT.node(top)].into_iter().flatten() {
        report.problem(&node.place, format!("got a value {why}"));
    }
}

impl ValidationMethod for UserInfo {
    fn name(&self) -> &'static str {
        "userinfo"
    }

    fn words(&self) -> Words {
        Words {
            endpoint: "UserInfo endpoint",
            no_subject: "The provider does not vouch for the access token.",
        }
    }

    fn request(
        &self,
        policy: &CallPolicy,
        site: &Site,
        token: &BearerToken<'_>,
        correlation: &Correlation,
        timeout: Duration,
    ) -> Call {
        let mut headers = begin(self.method, site);
        headers.push("authorization", &["Bearer ", token.expose()]);
        accept(&mut headers, policy);
        correlated(&mut headers, policy, correlation);
        let timeout = timeout.max(LEAST);
        Call { cluster: site.cluster.clone(), headers, body: Vec::new(), timeout }
    }

    fn probe(&self, policy: &CallPolicy, site: &Site, timeout: Duration) -> Call {
        let mut headers = begin(self.method, site);
        accept(&mut headers, policy);
        let timeout = timeout.max(LEAST);
        Call { cluster: site.cluster.clone(), headers, body: Vec::new(), timeout }
    }

    fn classify<'b>(&self, response: &Response<'_, 'b>) -> Result<Option<Json<'b>>, Refusal> {
        let Response { head, body, error_text, .. } = *response;
        match response.status {
            Some(200) => self.vouched(head, body, response.date),
            Some(status @ 400..=599) => {
                let error = ProviderError::read(status, head, body, error_text);
                Err(Refusal::Provider(Box::new(error)))
            }
            Some(300..=399) => Err(Refusal::Unavailable(NoAnswer::Redirect)),
            Some(_) | None => Err(Refusal::Unavailable(NoAnswer::UnexpectedStatus)),
        }
    }

    fn key_parts(&self) -> Vec<&str> {
        let mut parts = vec!["userinfo", self.method];
        parts.extend(self.success.key_parts());
        match self.jwt {
            SignedUserInfo::Refuse => {}
            SignedUserInfo::TrustTls => parts.push("trust_tls"),
        }
        parts
    }

    fn success(&self) -> &Success {
        &self.success
    }

    /// UserInfo responses do not carry them, and the `aud` of a signed one is a client.
    fn grants(&self) -> Document {
        Document::Token
    }
}

impl UserInfo {
    /// What a 200 says, if that vouches.
    fn vouched<'b>(
        &self,
        head: &HeaderView<'_>,
        body: Body<'b>,
        date: UnixTime,
    ) -> Result<Option<Json<'b>>, Refusal> {
        let bytes = body.plain(head).map_err(|why| Refusal::Unusable(why.into()))?;
        let signed = is_jwt(head);
        let document = match self.jwt {
            SignedUserInfo::TrustTls if signed => signed_claims(bytes),
            SignedUserInfo::TrustTls | SignedUserInfo::Refuse if is_json(head) => {
                json::parse(bytes).ok()
            }
            SignedUserInfo::TrustTls | SignedUserInfo::Refuse => None,
        };
        let is_object = matches!(document, Some(Json::Object(_)));
        if let Some(claims) = document.as_ref().filter(|_| signed) {
            expiry::in_force(claims, date).map_err(Refusal::NotVouched)?;
        }
        match (self.success.holds(document.as_ref()), is_object) {
            (true, _) => Ok(document),
            (false, true) => Err(Refusal::NotVouched(NotVouched::NoSubject)),
            (false, false) if signed => Err(Refusal::Unusable(Unusable::Jwt)),
            (false, false) => Err(Refusal::Unusable(Unusable::NotAnObject)),
        }
    }
}

/// The payload of a signed response (OpenID Connect Core §5.3.2). The signature is not checked: the filter
/// relies on TLS to the provider. An encrypted response, of five parts, has no readable payload.
fn signed_claims(body: &[u8]) -> Option<Json<'static>> {
    let payload = token::signed(std::str::from_utf8(body).ok()?.trim_ascii())?;
    token::claims(&payload).map(Json::into_owned)
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
        let method =
            UserInfo { method: "POST", jwt: SignedUserInfo::Refuse, success: Success::Object };
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
