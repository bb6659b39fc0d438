//! The configuration as the filter needs it: every name lower-cased, every path compiled, every
//! default filled in. Whatever is in here is valid; nothing downstream checks it again.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::claims::jsonpath::JsonPath;
use crate::filter::key::KeyPrefix;
use crate::request::strip::StripList;

/// Everything that decides about a request.
#[derive(Debug)]
pub struct Policy {
    /// Which UserInfo endpoint serves which request.
    pub endpoints: Endpoints,
    /// How an endpoint is called.
    pub call: CallPolicy,
    /// What counts as a usable answer.
    pub answer: AnswerPolicy,
    /// What is remembered of the provider's answers.
    pub cache: Caching,
    /// What the upstream gets to see.
    pub forward: ForwardPolicy,
    /// How refused requests are answered.
    pub replies: ReplyPolicy,
    /// Longest accepted bearer token, in bytes.
    pub max_token_bytes: usize,
    /// What a CORS preflight gets.
    pub preflight: Preflight,
    /// Whether the outcome is left for the access log.
    pub access_log: AccessLog,
    /// What tells this instance's counters from those of others.
    pub stat_name: Option<String>,
    /// How the provider is reached; in Envoy a property of the cluster, so this only informs.
    pub egress: Egress,
}

impl Policy {
    /// What this policy asks of Envoy's own configuration, one line for each thing.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let (Egress::Proxy { server, port }, Endpoints::Configured(table)) =
            (&self.egress, &self.endpoints)
        else {
            return Vec::new();
        };
        let mut notes: Vec<String> = Vec::new();
        let endpoints = table.regions.iter().chain(&table.default);
        for Site { cluster, authority, .. } in endpoints.flat_map(|endpoint| &endpoint.sites) {
            let note = format!(
                "cluster {cluster} must reach {authority} through the forward proxy {server}:{port}"
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }
}

/// The UserInfo endpoints.
#[derive(Debug)]
pub enum Endpoints {
    /// `userinfo_endpoint` is absent or not an object: every request with a token is refused.
    NotConfigured,
    /// The endpoints to choose from.
    Configured(EndpointTable),
}

impl Endpoints {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Endpoint>> {
        let table = match self {
            Endpoints::Configured(table) => Some(table),
            Endpoints::NotConfigured => None,
        };
        table.into_iter().flat_map(|table| table.regions.iter().chain(&table.default))
    }
}

/// The endpoints by region.
#[derive(Debug)]
pub struct EndpointTable {
    /// `regionCodeHeader`, lower-cased, if regions are configured.
    pub region_header: Option<String>,
    /// One per code of `regionCodeValue`, in the order written.
    pub regions: Vec<Rc<Endpoint>>,
    /// `defaultURI`; `None` refuses whatever no region applies to.
    pub default: Option<Rc<Endpoint>>,
    /// What a code that is not configured gets.
    pub unknown_region: UnknownRegion,
}

/// The UserInfo endpoint of a region, at one site or several, and what its answers become.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The region code as configured, or `default`.
    pub region: Rc<str>,
    /// Where it is asked, in order; at least one.
    pub sites: Vec<Site>,
    /// The headers injected for this region.
    pub rules: Rc<[ClaimRule]>,
    /// What is left as filter state, the same for all regions.
    pub state: Rc<[ClaimRule]>,
    /// What names a question to this endpoint, but for the token.
    pub key: KeyPrefix,
}

/// One place at which an endpoint is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// Envoy cluster that carries the call.
    pub cluster: String,
    /// `:authority` of the call, as written in the URI.
    pub authority: String,
    /// Path and query of the call.
    pub path: String,
    /// `:scheme` of the call, `http` or `https`.
    pub scheme: &'static str,
}

/// `unknown_region`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownRegion {
    /// The default endpoint answers, as in the source system.
    UseDefault,
    /// The request is refused with `InvalidRegionCode`.
    Reject,
}

/// One claim to hand on.
#[derive(Debug)]
pub struct ClaimRule {
    /// The header's name, lower-cased, or that of the filter state.
    pub name: Rc<str>,
    /// Where its value is in the UserInfo answer.
    pub path: JsonPath,
    /// How a found list is written.
    pub lists: Lists,
}

/// How a list becomes a header value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lists {
    /// As a compact JSON array.
    Json,
    /// Its elements with this separator between them; one that would not come back when the list
    /// is taken apart makes the claim invalid.
    Joined(String),
}

/// How the provider is asked.
pub struct CallPolicy {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// For one call; 1 ms to 30 s.
    pub timeout: Duration,
    /// For all calls about one request, where an endpoint has several sites; not below `timeout`.
    pub deadline: Duration,
    /// When requests are no longer sent to a site that does not answer.
    pub breaker: Breaker,
    /// Most calls to one site at a time.
    pub max_in_flight: usize,
    /// Fixed request headers, names lower-cased; `user-agent` always among them.
    pub headers: Vec<(String, String)>,
}

/// `breaker`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// A site is always asked.
    Off,
    /// After so many calls that were waited for in vain, and a question of the filter's own that was
    /// too, a site is not asked about tokens until it answers the filter again.
    After {
        /// Calls that were waited for and got no answer, in a row.
        failures: u32,
        /// The longest pause between the filter's own questions while the site is not asked.
        open_for: Duration,
    },
}

/// Shows the names of the fixed headers alone: a value may be a key to the provider.
impl fmt::Debug for CallPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&String> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("CallPolicy")
            .field("method", &self.method)
            .field("timeout", &self.timeout)
            .field("deadline", &self.deadline)
            .field("breaker", &self.breaker)
            .field("max_in_flight", &self.max_in_flight)
            .field("headers", &names)
            .finish()
    }
}

/// What counts as a usable answer.
#[derive(Debug)]
pub struct AnswerPolicy {
    /// Largest answer that is read, in bytes.
    pub max_bytes: usize,
    /// Which 200 is a success.
    pub success: Success,
}

/// Which answers with status 200 are successful validations. It is part of what names a question
/// ([`KeyPrefix`]): what vouches by one rule says nothing by another.
#[derive(Debug)]
pub enum Success {
    /// A JSON object.
    Object,
    /// A JSON object with a string `sub` (OpenID Connect Core §5.3.2) that a header can carry.
    ObjectWithSubject,
    /// A JSON object with a subject elsewhere: text that a header can carry, or an integer.
    ObjectWithSubjectAt(SubjectPath),
    /// Any complete, unencoded answer within the size, as in the source system.
    Any,
}

/// Where the subject is. The path is singular: of several nodes nobody could say which is meant.
#[derive(Debug)]
pub struct SubjectPath {
    /// As written.
    pub text: Box<str>,
    /// The path itself.
    pub path: JsonPath,
}

/// `cache`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    /// Not configured: every request is validated anew, as in the source system.
    Off,
    /// Verdicts are remembered.
    On(CachePolicy),
}

/// For how long and how many verdicts are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// For how long a token is good without asking again, at most 1 h.
    pub ttl: Duration,
    /// For how long a token is bad without asking again.
    pub negative_ttl: Duration,
    /// How many verdicts one worker keeps.
    pub max_entries: usize,
    /// How many bytes these may take.
    pub max_bytes: usize,
    /// For how long after its time a good verdict may serve while nobody answers.
    pub stale_if_error: Duration,
    /// What `no-store`, `no-cache` and `max-age=0` of the provider do.
    pub no_store: NoStore,
    /// Who finds a verdict.
    pub scope: CacheScope,
}

/// `honor_no_store`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoStore {
    /// Nothing: frameworks send them as boilerplate, and caching was asked for by the operator.
    Ignored,
    /// The answer is not kept.
    Honored,
}

/// `shared`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheScope {
    /// The worker that asked.
    Worker,
    /// Every worker of the process, through Envoy's shared data.
    Process,
}

/// What the upstream gets to see.
#[derive(Debug)]
pub struct ForwardPolicy {
    /// What becomes of `Authorization`.
    pub authorization: Authorization,
    /// `region_header`, lower-cased: carries the region that was used.
    pub region_header: Option<Rc<str>>,
    /// Every header name that only this filter may set, of all regions.
    pub strip: StripList,
}

/// `block_authorization_header`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// Removed before the upstream.
    Remove,
    /// Forwarded byte for byte.
    Forward,
}

/// `preflight`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preflight {
    /// Like any other request.
    Authenticate,
    /// Let through unauthenticated, stripped.
    Pass,
}

/// `access_log_state`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLog {
    /// Nothing is written.
    Silent,
    /// The outcome is written as filter state `wasm.oidc_outcome`.
    FilterState,
}

/// `http_proxy_server` and `http_proxy_port`
#[derive(Debug, PartialEq, Eq)]
pub enum Egress {
    /// No forward proxy.
    Direct,
    /// The endpoints' clusters must carry this forward proxy.
    Proxy {
        /// Host of the proxy.
        server: String,
        /// Port of the proxy.
        port: u16,
    },
}

/// How refused requests are answered.
#[derive(Debug)]
pub struct ReplyPolicy {
    /// `realm` of every challenge.
    pub realm: String,
    /// What replaces the errors that the connector itself raises.
    pub own_errors: OwnErrors,
    /// The reply when the provider gave no usable answer.
    pub unavailable: Unavailable,
    /// Where the provider's error text is.
    pub provider_text: ProviderText,
    /// What becomes of a provider's error.
    pub provider_errors: ProviderErrors,
}

/// `enable_error_set`
#[derive(Debug)]
pub enum OwnErrors {
    /// Answered by name.
    Named,
    /// Answered with the configured error set.
    ErrorSet(ErrorSet),
}

/// `error_set`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorSet {
    /// 400 to 599.
    pub code: u16,
    /// Value of `X-Error-Detail-Header`.
    pub detail_header: String,
    /// The body.
    pub response_body: String,
    /// The body's content type.
    pub content_type: String,
}

/// `userinfo_unavailable`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// Not configured: `TargetEndpointError` like the connector's other errors.
    AsOwnError,
    /// Configured with status 401: as named, also where an error set is enabled.
    Unauthorized,
    /// Configured with status 503.
    ServiceUnavailable {
        /// Whole seconds for `Retry-After`, if configured.
        retry_after: Option<u32>,
    },
}

/// `provider_errors`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderErrors {
    /// Its status goes to the client, as in the source system.
    Relay,
    /// A verdict about the token becomes 401 or 403, every other error the reply of
    /// `userinfo_unavailable`, whose status is then 503.
    Map,
}

/// `error_metadata_location` with `error_header_name` or `error_payload_location`
#[derive(Debug)]
pub enum ProviderText {
    /// Not handed on.
    Withheld,
    /// In the response header of this name, lower-cased.
    Header(String),
    /// At this path of the JSON body.
    PayloadAt(JsonPath),
    /// The whole body.
    Payload,
}
