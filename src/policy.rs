//! The configuration as the filter needs it: every name lower-cased, every path compiled, every
//! default filled in. All its values are valid; nothing downstream checks them again.

use std::rc::Rc;
use std::time::Duration;

use crate::claims::jsonpath::JsonPath;
use crate::provider::key::KeyPrefix;
pub use crate::provider::settings::{
    AnswerPolicy, Breaker, CallPolicy, Site, SubjectPath, Success,
};
pub use crate::request::strip::{Authorization, ForwardPolicy};

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
    /// `defaultURI`; `None` refuses requests without a matching region.
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
