//! The configuration as types, each with what the filter's reader allows: `src/config/` decides.

#![allow(dead_code, reason = "the schema derives from these types; none is ever filled")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::pattern;

/// Configuration of the Envoy filter oidc-token-connector. `oidc-connector check` sees more than a
/// schema can say.
#[derive(JsonSchema)]
#[schemars(
    title = "oidc-token-connector",
    deny_unknown_fields,
    extend(
        "dependentRequired" = {
            "http_proxy_server": ["http_proxy_port"],
            "http_proxy_port": ["http_proxy_server"],
        },
        "not" = {
            "properties": {
                "accept_any_200": {"const": true}, "require_subject": {"not": {"const": false}},
            },
            "required": ["accept_any_200", "require_subject"],
        },
        "dependentSchemas" = {"provider_errors": {
            "if": {"properties": {"provider_errors": {"const": "map"}}},
            "then": {
                "properties": {"userinfo_unavailable": {
                    "properties": {"status": {"const": 503}}, "required": ["status"],
                }},
                "required": ["userinfo_unavailable"],
            },
        }},
        // Envoy reaches a forward proxy with CONNECT alone.
        "if" = {"required": ["http_proxy_server"]},
        "then" = {"properties": {"userinfo_endpoint": {"properties": {
            "defaultURI": {"pattern": pattern::HTTPS, "items": {"pattern": pattern::HTTPS}},
            "regionCodeValue": {"additionalProperties":
                {"pattern": pattern::HTTPS, "items": {"pattern": pattern::HTTPS}}},
        }}}},
    )
)]
pub(super) struct Configuration {
    userinfo_endpoint: UserinfoEndpoint,
    inject_headers: Option<InjectHeaders>,
    /// Remove `Authorization` before the backend, or forward it byte for byte.
    #[schemars(extend("default" = true))]
    block_authorization_header: Option<bool>,
    /// Where the provider's error text is; anything else counts as not given.
    #[schemars(extend("examples" = ["ResponsePayload", "ResponseHeaders"]))]
    error_metadata_location: Option<Value>,
    /// The provider's response header with the error text, for `ResponseHeaders`.
    #[schemars(extend("pattern" = pattern::HEADER_NAME_OR_EMPTY, "maxLength" = 128))]
    error_header_name: Option<String>,
    /// Where in the provider's JSON body the error text is, for `ResponsePayload`; absent or empty:
    /// the whole body.
    #[schemars(extend("maxLength" = 256))]
    error_payload_location: Option<String>,
    /// `"true"` in any case, or true: the connector's own errors are answered with `error_set`.
    /// Anything else is false.
    #[schemars(extend("examples" = [true, false, "true"]))]
    enable_error_set: Option<Value>,
    /// The forward proxy to the provider. It informs: in Envoy the clusters carry the proxy.
    #[schemars(extend("pattern" = pattern::HOST, "maxLength" = 253))]
    http_proxy_server: Option<String>,
    /// Port of the forward proxy.
    #[schemars(extend("minimum" = 1, "maximum" = 65_535))]
    http_proxy_port: Option<u32>,
    /// Envoy cluster by authority (`host` or `host:port` as written in the URI); without an entry
    /// the cluster's name is the authority.
    #[schemars(extend("additionalProperties" =
        {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": pattern::NO_CONTROL}))]
    clusters: Option<BTreeMap<String, String>>,
    /// Method of the call to the provider, to the letter.
    #[schemars(extend("default" = "GET"))]
    userinfo_method: Option<Method>,
    /// For one call to the provider.
    #[schemars(extend(
        "default" = "5s", "pattern" = pattern::duration(1, 30_000), "x-range" = "1 ms to 30 s"
    ))]
    timeout: Option<String>,
    /// For all calls about one request, where an endpoint has several sites; not below `timeout`,
    /// and twice that unless said.
    #[schemars(extend("pattern" = pattern::duration(1, 60_000), "x-range" = "1 ms to 60 s"))]
    deadline: Option<String>,
    breaker: Option<Breaker>,
    /// Calls to one site at a time, per worker.
    #[schemars(extend("default" = 1024, "minimum" = 1, "maximum" = 65_536))]
    max_in_flight: Option<u32>,
    /// Fixed headers of the call to the provider; not `accept-encoding`, which is always `identity`,
    /// and no name that is reserved.
    #[schemars(extend(
        "maxProperties" = 64,
        "propertyNames" = {"$ref": "#/$defs/HeaderName"},
        "additionalProperties" =
            {"type": "string", "maxLength": 4096, "pattern": pattern::HEADER_TEXT},
    ))]
    userinfo_headers: Option<BTreeMap<String, String>>,
    /// Request header that tells the backend which region was used.
    region_header: Option<HeaderName>,
    /// What a CORS preflight gets: `pass` lets it through unauthenticated, for a filter before
    /// CORS. It has one `Origin`, no body and no `Upgrade`.
    #[schemars(extend("default" = "authenticate"))]
    preflight: Option<Preflight>,
    /// Writes filter state `wasm.oidc_outcome` for the access log.
    #[schemars(extend("default" = false))]
    access_log_state: Option<bool>,
    /// `realm` of every challenge.
    #[schemars(extend("default" = "api", "maxLength" = 1024, "pattern" = pattern::HEADER_TEXT))]
    realm: Option<String>,
    error_set: Option<ErrorSet>,
    userinfo_unavailable: Option<Unavailable>,
    /// What becomes of a provider's error: its status goes to the client, or a verdict becomes 401
    /// or 403 and all else the reply of `userinfo_unavailable`, whose `status` must be 503.
    #[schemars(extend("default" = "relay"))]
    provider_errors: Option<ProviderErrors>,
    /// What a region code that is not configured gets: the default endpoint, or
    /// `InvalidRegionCode`.
    #[schemars(extend("default" = "default"))]
    unknown_region: Option<UnknownRegion>,
    /// Any complete 200 is a success, whatever its body. Not together with `require_subject`.
    #[schemars(extend("default" = false))]
    accept_any_200: Option<bool>,
    /// A 200 without a string `sub` is a failed validation (OpenID Connect Core §5.3.2); with a path,
    /// one without text or an integer there.
    #[schemars(extend("default" = false))]
    require_subject: Option<RequireSubject>,
    /// Longer tokens are refused before any call. Usual servers refuse header fields of 8 KiB.
    #[schemars(extend("default" = 7168, "minimum" = 1, "maximum" = 65_536))]
    max_token_bytes: Option<u32>,
    /// Larger answers are not read.
    #[schemars(extend("default" = 65_536, "minimum" = 1, "maximum" = 1_048_576))]
    max_userinfo_bytes: Option<u32>,
    cache: Option<Cache>,
    /// What is found is left as filter state `wasm.<name>`, for Envoy's own filters.
    #[schemars(extend("propertyNames" = {
        "maxLength": 64, "pattern": pattern::NAME, "not": {"const": "oidc_outcome"}
    }))]
    filter_state: Option<BTreeMap<String, ValueRule>>,
    /// Counters and histograms of this instance end in `.instance.<name>`.
    #[schemars(extend("maxLength" = 64, "pattern" = pattern::NAME))]
    stat_name: Option<String>,
}

/// Which UserInfo endpoint is asked.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("dependentRequired" = {
        "regionCodeHeader": ["regionCodeValue"],
        "regionCodeValue": ["regionCodeHeader"],
    })
)]
struct UserinfoEndpoint {
    /// Request header with the region code.
    #[schemars(rename = "regionCodeHeader")]
    region_code_header: Option<HeaderName>,
    /// The endpoint of each region. No code is `default`.
    #[schemars(
        rename = "regionCodeValue",
        extend(
            "minProperties" = 1,
            "maxProperties" = 10,
            "propertyNames" =
                {"maxLength": 256, "pattern": pattern::REGION, "not": {"const": "default"}},
        )
    )]
    region_code_value: Option<BTreeMap<String, Endpoint>>,
    /// Asked when no region applies.
    #[schemars(rename = "defaultURI")]
    default_uri: Endpoint,
}

/// An endpoint at one site, or at several in the order in which they are tried.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum Endpoint {
    One(Uri),
    #[schemars(extend("minItems" = 1, "maxItems" = 5, "uniqueItems" = true))]
    Several(Vec<Uri>),
}

/// An absolute `http://` or `https://` URI with host and path, without user-info and fragment.
#[derive(JsonSchema)]
#[schemars(extend("maxLength" = 2048, "pattern" = pattern::URI))]
struct Uri(String);

/// The name of a header.
#[derive(JsonSchema)]
#[schemars(extend("maxLength" = 128, "pattern" = pattern::HEADER_NAME))]
struct HeaderName(String);

/// A JSONPath: RFC 9535, and the older forms of the connector's guide.
#[derive(JsonSchema)]
#[schemars(extend("minLength" = 1, "maxLength" = 256))]
struct JsonPath(String);

#[derive(JsonSchema)]
#[schemars(inline, untagged)]
enum RequireSubject {
    Sub(bool),
    At(SubjectPath),
}

/// A JSONPath of names and indexes alone, to where a provider has the subject that does not have it
/// in `sub`.
#[derive(JsonSchema)]
#[schemars(extend("minLength" = 1, "maxLength" = 256, "not" = {"enum": ["true", "false"]}))]
struct SubjectPath(String);

/// Headers for the backend, each with a JSONPath into the provider's answer: for all endpoints, or
/// by region (a code of `regionCodeValue`, or `default`).
#[derive(JsonSchema)]
#[schemars(untagged)]
enum InjectHeaders {
    #[schemars(extend("propertyNames" = {"$ref": "#/$defs/HeaderName"}))]
    Everywhere(BTreeMap<String, JsonPath>),
    ByRegion(BTreeMap<String, RegionHeaders>),
}

/// The headers of one region.
#[derive(JsonSchema)]
#[schemars(extend("propertyNames" = {"$ref": "#/$defs/HeaderName"}))]
struct RegionHeaders(BTreeMap<String, ValueRule>);

/// Where a value is.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ValueRule {
    Path(JsonPath),
    List(ListRule),
}

/// A list as one value.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ListRule {
    path: JsonPath,
    /// Separates the elements, instead of a JSON array. An element that would not come back when the
    /// list is taken apart makes the claim invalid; `null`, `""`, arrays and objects are left out.
    #[schemars(extend("minLength" = 1, "maxLength" = 64, "pattern" = pattern::NO_CONTROL))]
    join: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(inline)]
enum Method {
    #[schemars(rename = "GET")]
    Get,
    #[schemars(rename = "POST")]
    Post,
}

#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
enum Preflight {
    Authenticate,
    Pass,
}

#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
enum UnknownRegion {
    Default,
    Reject,
}

#[derive(JsonSchema)]
#[schemars(inline, rename_all = "lowercase")]
enum ProviderErrors {
    Relay,
    Map,
}

/// When a site of a provider is not asked for a while.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Breaker {
    /// Calls in a row, waited for without an answer, after which the filter itself asks the site; 0 is off.
    #[schemars(extend("default" = 5, "minimum" = 0, "maximum" = 1000))]
    failures: Option<u32>,
    /// The longest pause between the filter's own questions while a site is not asked about tokens.
    #[schemars(extend(
        "default" = "5s", "pattern" = pattern::duration(100, 300_000), "x-range" = "100 ms to 5 min"
    ))]
    open_for: Option<String>,
}

/// The reply in the place of the connector's own errors, with `enable_error_set`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct ErrorSet {
    /// Status of the reply.
    #[schemars(extend("default" = 403, "minimum" = 400, "maximum" = 599))]
    code: Option<u32>,
    /// Value of `X-Error-Detail-Header`.
    #[schemars(extend(
        "default" = "Not Authorized", "maxLength" = 1024, "pattern" = pattern::HEADER_TEXT
    ))]
    detail_header: Option<String>,
    /// Body of the reply.
    #[schemars(extend("default" = "", "maxLength" = 65_536))]
    response_body: Option<String>,
    /// Content type of the body.
    #[schemars(extend(
        "default" = "text/plain", "maxLength" = 1024, "pattern" = pattern::MEDIA_TYPE
    ))]
    content_type: Option<String>,
}

/// The reply when the provider gives no usable answer.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("dependentSchemas" = {
        "retry_after": {"required": ["status"], "properties": {"status": {"const": 503}}},
    })
)]
struct Unavailable {
    /// Status of the reply. 503 is recommended: a 401 makes clients throw good tokens away.
    #[schemars(extend("default" = 401, "enum" = [401, 503]))]
    status: Option<i32>,
    /// `Retry-After` of the reply, in whole seconds, with status 503.
    #[schemars(extend("pattern" = pattern::whole_seconds(1, 86_400), "x-range" = "1 s to 24 h"))]
    retry_after: Option<String>,
}

/// What is remembered of the provider's answers; absent, every request asks.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Cache {
    /// How long a good token is good without asking again: as long may a revoked one stay good.
    #[schemars(extend(
        "default" = "60s", "pattern" = pattern::duration(0, 3_600_000), "x-range" = "0 s to 1 h"
    ))]
    ttl: Option<String>,
    /// How long a token that the provider refused is refused without asking again.
    #[schemars(extend(
        "default" = "5s", "pattern" = pattern::duration(0, 300_000), "x-range" = "0 s to 5 min"
    ))]
    negative_ttl: Option<String>,
    /// How long after its time a good verdict may serve while nobody answers.
    #[schemars(extend(
        "default" = "0s", "pattern" = pattern::duration(0, 3_600_000), "x-range" = "0 s to 1 h"
    ))]
    stale_if_error: Option<String>,
    /// Verdicts that one worker keeps.
    #[schemars(extend("default" = 10_000, "minimum" = 0, "maximum" = 1_000_000))]
    max_entries: Option<u32>,
    /// Bytes that these may take.
    #[schemars(extend("default" = 16_777_216, "minimum" = 0, "maximum" = 67_108_864))]
    max_bytes: Option<u32>,
    /// Answers with `no-store`, `no-cache` or `max-age=0` are not kept.
    #[schemars(extend("default" = false))]
    honor_no_store: Option<bool>,
    /// What one worker has found serves the others of the process.
    #[schemars(extend("default" = false))]
    shared: Option<bool>,
}
