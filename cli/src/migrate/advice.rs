//! The additions of a report: where this filter behaves differently from the source system, and the
//! decisions that the text leaves open. It must report only what concerns the given configuration.

use oidc_token_connector::policy::{Authorization, OwnErrors, Policy, ProviderText};
use serde_json::{Map, Value as Json};

use crate::bootstrap::clusters::{Cluster, Proxy};

/// The parts of a configuration, for the conditions below.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) config: &'a Map<String, Json>,
    pub(super) policy: &'a Policy,
    pub(super) clusters: &'a [Cluster],
    pub(super) proxy: Option<&'a Proxy>,
}

impl Subject<'_> {
    fn injects(&self) -> bool {
        self.config.contains_key("inject_headers")
    }

    /// Whether a JSONPath compares something.
    fn filters(&self) -> bool {
        let has =
            |key: &str| self.config.get(key).is_some_and(|value| value.to_string().contains("[?"));
        has("inject_headers") || has("error_payload_location")
    }

    fn has_regions(&self) -> bool {
        self.config.get("userinfo_endpoint").and_then(|e| e.get("regionCodeValue")).is_some()
    }

    fn own_error_set(&self) -> bool {
        matches!(self.policy.replies.own_errors, OwnErrors::ErrorSet(_))
    }
}

/// Differences in behaviour from the source system.
pub(super) fn differences(subject: &Subject<'_>) -> Vec<String> {
    let said = |applies: bool, text: &str| applies.then(|| text.to_owned());
    let whole_body = matches!(subject.policy.replies.provider_text, ProviderText::Payload);
    let forwards_text = !matches!(subject.policy.replies.provider_text, ProviderText::Withheld);
    let all = [
        said(
            true,
            "A 200 of the provider counts only if its body is one JSON object; in the source \
             system any 200 counted. `accept_any_200: true` restores the old rule.",
        ),
        said(
            true,
            "Any other status outside 400 to 599 (204, 302, …), and a 502, 503 or 504 of Envoy \
             because the provider is unreachable, is `TargetEndpointError`; the source system \
             relayed it.",
        ),
        said(true, "Every 401 carries a `WWW-Authenticate` challenge (RFC 9110 §11.6.1)."),
        said(true, "Concurrent requests with the same token share one call to the provider."),
        said(
            true,
            "A token over 7168 bytes is refused with 401 (`malformed:too_long`) before any call; \
             `max_token_bytes` allows longer ones.",
        ),
        said(
            true,
            "A 200 of the provider over 64 KiB is no usable answer; `max_userinfo_bytes` allows \
             larger ones.",
        ),
        said(
            subject.injects(),
            "Headers of `inject_headers` are removed from each client request before any is set, \
             in every spelling that a backend may accept; if a path finds nothing, the header is \
             absent, never the client's. A value with control characters or over 4096 bytes \
             counts as missing, and so does a value with which all injected headers of a request \
             would exceed 16 KiB.",
        ),
        said(
            subject.injects(),
            "All JSONPaths of one answer share a step budget; a value not found within it counts \
             as missing (`oidc_claims_over_budget`).",
        ),
        said(
            subject.filters(),
            "A JSONPath filter compares by RFC 9535: `1 == '1'` is false here and true in the \
             source system.",
        ),
        said(
            forwards_text,
            "The provider's error text goes to the client only unencoded, as UTF-8 without control \
             characters, up to 8 KiB; else the body is the fixed text with the status.",
        ),
        said(
            whole_body,
            "The provider's whole error body goes to the client only as JSON or plain text, with \
             `X-Content-Type-Options: nosniff`.",
        ),
        said(
            subject.own_error_set(),
            "The status text of the error set cannot be set: HTTP/2 has none, and Envoy does not \
             let a filter set it.",
        ),
        said(
            subject.proxy.is_some(),
            "`http_proxy_server` and `http_proxy_port` route nothing here: the clusters carry the \
             proxy. The filter's log and `check` name the clusters that need it.",
        ),
    ];
    all.into_iter().flatten().collect()
}

/// What the source system has no word for. It is about what a provider's tokens are, so it concerns every
/// configuration.
pub(super) fn beyond() -> Vec<String> {
    [
        "`introspection_endpoint`: for a provider whose UserInfo endpoint does not know machine tokens, \
         or that has none. It takes the place of `userinfo_endpoint`.",
        "`require_audience`, `require_scope`, `require_issuer`, `require_claims`: without them every \
         token that the provider validates passes, also one that it issued for another API. With \
         `userinfo_endpoint` the first three read the token itself, and refuse opaque ones.",
        "`issuers`: the token's issuer chooses the provider, instead of a header of the client.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Decisions that the text leaves open.
pub(super) fn decisions(subject: &Subject<'_>) -> Vec<String> {
    let said = |applies: bool, text: &str| applies.then(|| text.to_owned());
    let plain: Vec<&str> =
        subject.clusters.iter().filter(|c| !c.tls).map(|c| c.authority.as_str()).collect();
    let plain = (!plain.is_empty()).then(|| {
        format!(
            "`http://` to {}: tokens cross the network unencrypted. Use `https://` if the \
             provider supports it.",
            plain.join(", ")
        )
    });
    let forwards = subject.policy.forward.authorization == Authorization::Forward;
    let all = [
        plain,
        said(
            subject.clusters.iter().any(|cluster| cluster.tls),
            "The trusted CA: the clusters use /etc/ssl/certs/ca-certificates.crt, the public \
             authorities of a Debian system. A provider with its own CA needs the file of that CA.",
        ),
        said(
            subject.own_error_set(),
            "`error_set`: the text enables an error set but does not define it. The default is \
             403, `Not Authorized`, with an empty body.",
        ),
        said(
            !subject.config.contains_key("require_subject"),
            "`require_subject: true` refuses a 200 without `sub` (OpenID Connect Core §5.3.2); \
             recommended, because otherwise a health page with 200 validates every token: \
             `migrate --require-subject` adds it. Use a path such as `$.data.sub` for a subject at another place.",
        ),
        said(
            true,
            "`cache`: without it every request calls the provider, as in the source system. With \
             it a revoked token stays valid for up to `ttl`.",
        ),
        said(true, "`timeout`: 5 s by default, for one call to the provider."),
        said(
            true,
            "`userinfo_unavailable: {\"status\": 503}`: without it an outage is answered 401, as \
             in the source system, and clients discard valid tokens.",
        ),
        said(
            true,
            "`provider_errors: \"map\"`: without it the provider's 404, 405 or 500 goes to the \
             client unchanged, as in the source system. It needs `userinfo_unavailable` with 503.",
        ),
        said(true, "`userinfo_method`: `GET` by default."),
        said(
            true,
            "`access_log_state: true` is in the result but not in the text. The guard in `envoy.yaml` \
             needs it: without it the guard refuses every request. It also fills `outcome` in the \
             access log.",
        ),
        said(
            subject.has_regions(),
            "`unknown_region: \"reject\"`: without it a region code that is not configured gets \
             the default endpoint, as in the source system. `region_header` tells the backend \
             which region validated the token.",
        ),
        said(
            forwards,
            "`block_authorization_header` is false: the backend sees the token. Keep it only if \
             the backend needs it.",
        ),
        said(
            true,
            "The gateway's own API key check comes from another part of the source system: in \
             Envoy it is `envoy.filters.http.api_key_auth`, before this filter. So is CORS.",
        ),
    ];
    all.into_iter().flatten().collect()
}
