//! Validation at the introspection endpoint (RFC 7662): the gateway is a client of the provider, and asks
//! about the token in the body of the call.
//!
//! It vouches only for what a bearer may present as an access token. A provider that refuses the gateway
//! itself says nothing of the token, and must never become a verdict.

pub mod client;

use std::time::Duration;

use crate::claims::json::{self, Json};
use crate::claims::rules::Document;
use crate::provider::call::{Call, HeaderList, LEAST, accept, begin, correlated};
use crate::provider::error::ProviderError;
use crate::provider::error_text::ProviderText;
use crate::provider::expiry;
use crate::provider::method::{Response, ValidationMethod, Words};
use crate::provider::response::{Body, is_introspection_jwt, is_json, is_jwt};
use crate::provider::settings::{CallPolicy, Site};
use crate::provider::subject::Success;
use crate::refusal::{NoAnswer, NotVouched, Refusal, Unusable};
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::time::UnixTime;
use client::Client;

/// Introspection as one client of the provider.
#[derive(Debug)]
pub struct Introspection {
    pub(crate) client: Client,
    pub(crate) success: std::rc::Rc<Success>,
}

impl ValidationMethod for Introspection {
    fn name(&self) -> &'static str {
        "introspection"
    }

    /// The provider does vouch for a machine's token, which has no subject.
    fn words(&self) -> Words {
        Words {
            endpoint: "introspection endpoint",
            no_subject: "The provider does not name a subject of the access token, which this resource \
                         requires.",
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
        let mut headers = head(site, policy);
        if let Some(value) = self.client.authorization() {
            headers.push("authorization", &[&value]);
        }
        headers.push("content-type", &["application/x-www-form-urlencoded"]);
        correlated(&mut headers, policy, correlation);
        let mut body = client::form("token", token.expose());
        body.push_str("&token_type_hint=access_token");
        self.client.identify(&mut body);
        let timeout = timeout.max(LEAST);
        Call { cluster: site.cluster.clone(), headers, body: body.into_bytes(), timeout }
    }

    /// Without credentials and without a token: any response shows that the site responds.
    fn probe(&self, policy: &CallPolicy, site: &Site, timeout: Duration) -> Call {
        let headers = head(site, policy);
        let timeout = timeout.max(LEAST);
        Call { cluster: site.cluster.clone(), headers, body: Vec::new(), timeout }
    }

    fn classify<'b>(&self, response: &Response<'_, 'b>) -> Result<Option<Json<'b>>, Refusal> {
        let Response { head, body, .. } = *response;
        match response.status {
            Some(200) => {
                let bytes = body.plain(head).map_err(|why| Refusal::Unusable(why.into()))?;
                if is_jwt(head) || is_introspection_jwt(head) {
                    return Err(Refusal::Unusable(Unusable::Jwt));
                }
                let document = if is_json(head) { json::parse(bytes).ok() } else { None };
                match document {
                    Some(document @ Json::Object(_)) => {
                        self.vouches(&document, response.date)?;
                        Ok(Some(document))
                    }
                    Some(_) | None => Err(Refusal::Unusable(Unusable::NotAnObject)),
                }
            }
            Some(400) if is_about_the_token(&body) => {
                Err(Refusal::NotVouched(NotVouched::OtherKind))
            }
            Some(status @ (408 | 421 | 425 | 429 | 500..=599)) => {
                // What it says is said to the gateway's client, and may repeat the form with its secret.
                let error = ProviderError::read(status, head, body, &ProviderText::Withheld);
                let error = ProviderError { challenge: None, ..error };
                Err(Refusal::Provider(Box::new(error)))
            }
            Some(400..=499) => Err(Refusal::Unavailable(NoAnswer::ClientRefused)),
            Some(300..=399) => Err(Refusal::Unavailable(NoAnswer::Redirect)),
            Some(_) | None => Err(Refusal::Unavailable(NoAnswer::UnexpectedStatus)),
        }
    }

    fn key_parts(&self) -> Vec<&str> {
        let mut parts = vec!["introspection"];
        parts.extend(self.client.key_parts());
        parts.extend(self.success.key_parts());
        parts
    }

    fn success(&self) -> &Success {
        &self.success
    }

    /// A provider may withhold scopes from this client: what the token itself says must not restore them.
    fn grants(&self) -> Document {
        Document::Response
    }
}

fn head(site: &Site, policy: &CallPolicy) -> HeaderList {
    let mut headers = begin("POST", site);
    accept(&mut headers, policy);
    headers
}

impl Introspection {
    /// Whether an introspection response vouches for the token as a bearer's access token.
    fn vouches(&self, document: &Json<'_>, date: UnixTime) -> Result<(), Refusal> {
        let no = |why| Err(Refusal::NotVouched(why));
        match document.member("active") {
            Some(Json::Bool(true)) => {}
            Some(Json::Bool(false)) => return no(NotVouched::Inactive),
            _ => return Err(Refusal::Unusable(Unusable::NoActive)),
        }
        // A member that is null says nothing.
        let said = |name: &str| document.member(name).filter(|value| **value != Json::Null);
        let is_bearer = |kind: &Json<'_>| matches!(kind, Json::String(kind) if kind.eq_ignore_ascii_case("bearer"));
        let another = said("token_type").is_some_and(|kind| !is_bearer(kind))
            || [said("token_use"), said("typ")].into_iter().flatten().any(is_another_kind);
        if another {
            return no(NotVouched::OtherKind);
        }
        if said("cnf").is_some() {
            return no(NotVouched::KeyBound);
        }
        expiry::in_force(document, date).map_err(Refusal::NotVouched)?;
        if self.success.holds(Some(document)) { Ok(()) } else { no(NotVouched::NoSubject) }
    }
}

/// Whether an error says that such tokens are not introspected (RFC 7009 §2.2.1): some providers say it of
/// every string that looks like a JWT. It is about this token alone, and any caller can cause it.
fn is_about_the_token(body: &Body<'_>) -> bool {
    let Body::Read(bytes) = body else {
        return false;
    };
    let error = json::parse(bytes).ok();
    let error = error.as_ref().and_then(|document| document.member("error"));
    matches!(error, Some(Json::String(error)) if error == "unsupported_token_type")
}

/// Whether `token_use` or `typ` names a token for another use than access. Providers say
/// `"active": true` of refresh tokens too: the hint must not narrow their search (RFC 7662 §2.1).
fn is_another_kind(kind: &Json<'_>) -> bool {
    let Json::String(kind) = kind else {
        return true;
    };
    // `refresh_token`, `OAuth2RefreshToken`, `application/rt+jwt` and RFC 8693's
    // `urn:ietf:params:oauth:token-type:refresh_token` are spellings of one kind.
    let kind = kind.to_ascii_lowercase();
    let kind = kind.rsplit([':', '/']).next().unwrap_or_default();
    let kind: String = kind.chars().filter(char::is_ascii_alphanumeric).collect();
    let kind = kind.strip_suffix("jwt").unwrap_or(&kind);
    let within = [
        "refresh",
        "offline",
        "logout",
        "idtoken",
        "identitytoken",
        "registration",
        "initial",
        "secevent",
        "devicecode",
    ];
    ["id", "serializedid", "rt", "code", "authorizationcode"].contains(&kind)
        || within.iter().any(|other| kind.contains(other))
}

#[cfg(test)]
mod tests;
