//! The seam between the filter and the ways to have a token validated: how a provider is called, and
//! what its response means. A method never decides what follows from a response: that is
//! [`CallOutcome`](super::call_outcome::CallOutcome)'s table.

use std::fmt;
use std::time::Duration;

use crate::claims::json::Json;
use crate::claims::rules::Document;
use crate::provider::call::Call;
use crate::provider::error_text::ProviderText;
use crate::provider::response::Body;
use crate::provider::settings::{CallPolicy, Site};
use crate::provider::subject::Success;
use crate::refusal::Refusal;
use crate::request::bearer::BearerToken;
use crate::request::correlation::Correlation;
use crate::request::headers::HeaderView;
use crate::time::UnixTime;

/// A way to have a token validated. An instance has one, with its settings.
pub trait ValidationMethod: fmt::Debug {
    /// Its name, for those who describe a configuration.
    fn name(&self) -> &'static str;

    /// What clients read of it.
    fn words(&self) -> Words;

    /// The call to this site about this token, which gives up after `timeout`.
    fn request(
        &self,
        call: &CallPolicy,
        site: &Site,
        token: &BearerToken<'_>,
        correlation: &Correlation,
        timeout: Duration,
    ) -> Call;

    /// The call that shows whether this site responds at all. It is about no token.
    fn probe(&self, call: &CallPolicy, site: &Site, timeout: Duration) -> Call;

    /// What a whole response of the provider means: what it says of the user, `None` where the policy
    /// accepts a response that says nothing; or why the token is not vouched for.
    fn classify<'b>(&self, response: &Response<'_, 'b>) -> Result<Option<Json<'b>>, Refusal>;

    /// Everything of the method that decides the response, besides endpoint, fixed headers and token. It is
    /// part of the key of cached verdicts and shared calls.
    fn key_parts(&self) -> Vec<&str>;

    /// What a response has to contain to vouch for a token.
    fn success(&self) -> &Success;

    /// Which document says scope, audience and issuer of a vouched token.
    fn grants(&self) -> Document;
}

/// What the filter's replies say of a method. With UserInfo it is to the letter what the source system says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Words {
    /// The endpoint that is asked.
    pub endpoint: &'static str,
    /// Why a token is refused whose response has no subject, where one is required.
    pub no_subject: &'static str,
}

/// A whole response that the provider itself sent.
#[derive(Debug)]
pub struct Response<'h, 'b> {
    /// Its status; `None` if it has none that is well-formed.
    pub status: Option<u16>,
    /// Its headers.
    pub head: &'h HeaderView<'b>,
    /// Its body.
    pub body: Body<'b>,
    /// Today, for responses that say until when they hold.
    pub date: UnixTime,
    /// Where an error's text is.
    pub error_text: &'h ProviderText,
}
