//! Which filters are known, and which headers of the request these write by themselves. A filter that is
//! not in these lists may write anything.

use super::instance::Instance;
use super::jwt;
use super::other::Other;
use super::routes::Way;
use crate::tree::Node;

/// Filters that have rules of their own in `rules.rs`, or write nothing that this filter needs or sets.
const KNOWN: &[&str] = &[
    "adaptive_concurrency.v3.AdaptiveConcurrency",
    "admission_control.v3.AdmissionControl",
    "alternate_protocols_cache.v3.FilterConfig",
    "api_key_auth.v3.ApiKeyAuth",
    "aws_request_signing.v3.AwsRequestSigning",
    "bandwidth_limit.v3.BandwidthLimit",
    "basic_auth.v3.BasicAuth",
    "buffer.v3.Buffer",
    "cache.v3.CacheConfig",
    "cache_v2.v3.CacheV2Config",
    "compressor.v3.Compressor",
    "connect_grpc_bridge.v3.FilterConfig",
    "cors.v3.Cors",
    "credential_injector.v3.CredentialInjector",
    "csrf.v3.CsrfPolicy",
    "decompressor.v3.Decompressor",
    "dynamic_forward_proxy.v3.FilterConfig",
    "fault.v3.HTTPFault",
    "file_system_buffer.v3.FileSystemBufferFilterConfig",
    "gcp_authn.v3.GcpAuthnFilterConfig",
    "geoip.v3.Geoip",
    "grpc_http1_bridge.v3.Config",
    "grpc_stats.v3.FilterConfig",
    "grpc_web.v3.GrpcWeb",
    "header_mutation.v3.HeaderMutation",
    "header_to_metadata.v3.Config",
    "health_check.v3.HealthCheck",
    "ip_tagging.v3.IPTagging",
    "json_to_metadata.v3.JsonToMetadata",
    "jwt_authn.v3.JwtAuthentication",
    "local_ratelimit.v3.LocalRateLimit",
    "oauth2.v3.OAuth2",
    "on_demand.v3.OnDemand",
    "original_src.v3.OriginalSrc",
    "rate_limit_quota.v3.RateLimitQuotaFilterConfig",
    "ratelimit.v3.RateLimit",
    "rbac.v3.RBAC",
    "router.v3.Router",
    "set_filter_state.v3.Config",
    "set_metadata.v3.Config",
    "stateful_session.v3.StatefulSession",
    "transform.v3.TransformConfig",
    "upstream_codec.v3.UpstreamCodec",
    // Istio's own.
    "io.istio.http.peer_metadata.Config",
    "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
    "stats.PluginConfig",
];

/// Whether a filter is known.
pub(super) fn is_known(other: &Other<'_>) -> bool {
    let named = other.name().strip_prefix("envoy.filters.http.");
    KNOWN.iter().any(|known| {
        let name = known.split('.').next();
        // Older releases knew a filter by its name.
        *known == other.kind || other.kind.is_empty() && name == named
    })
}

/// The identity header that a filter writes from what it knows itself, and by which field.
pub(super) fn overwritten(
    other: &Other<'_>,
    instance: &Instance<'_>,
    way: &Way<'_>,
) -> Option<String> {
    let written = written(other, way);
    let (field, name) = written.into_iter().find(|(_, name)| instance.strips(name))?;
    Some(format!("{name} by {field}"))
}

/// The headers of the request that a filter writes, each with the field that says so.
fn written<'a>(other: &Other<'a>, way: &Way<'_>) -> Vec<(&'static str, &'a str)> {
    let configs = match other.kind {
        // Of its providers those count that a rule for the way names.
        "jwt_authn.v3.JwtAuthentication" => jwt::used(other, way),
        _ => other.configs(),
    };
    let of_one = |config: &Node<'a>| -> Vec<(&'static str, Option<&'a str>)> {
        let at = |path: &[&str]| config.at(path).and_then(|node| node.value.as_str());
        match other.kind {
            "jwt_authn.v3.JwtAuthentication" => {
                let claims = config.list("claim_to_headers").into_iter();
                let claims = claims.map(|c| ("claim_to_headers", c.text("header_name")));
                let payload = ("forward_payload_header", config.text("forward_payload_header"));
                claims.chain([payload]).collect()
            }
            "api_key_auth.v3.ApiKeyAuth" => vec![("forwarding", at(&["forwarding", "header"]))],
            "basic_auth.v3.BasicAuth" => {
                vec![("forward_username_header", config.text("forward_username_header"))]
            }
            "credential_injector.v3.CredentialInjector" => {
                vec![("credential", at(&["credential", "typed_config", "header"]))]
            }
            "gcp_authn.v3.GcpAuthnFilterConfig" => {
                vec![("token_header", at(&["token_header", "name"]))]
            }
            "ip_tagging.v3.IPTagging" => vec![("ip_tag_header", at(&["ip_tag_header", "header"]))],
            "geoip.v3.Geoip" => {
                let common = config.at(&["provider", "typed_config", "common_provider_config"]);
                let lists = ["geo_headers_to_add", "geo_field_keys"].into_iter();
                let lists = lists.filter_map(|field| common.as_ref()?.get(field));
                let names = lists.flat_map(|list| list.members());
                names.map(|(_, name)| ("its provider", name.value.as_str())).collect()
            }
            "local_ratelimit.v3.LocalRateLimit" => {
                const FIELD: &str = "request_headers_to_add_when_not_enforced";
                let added = config.list(FIELD).into_iter();
                let name = |option: &Node<'a>| option.get("header")?.text("key");
                added.map(|option| (FIELD, name(&option))).collect()
            }
            _ => Vec::new(),
        }
    };
    let all = configs.iter().flat_map(of_one);
    all.filter_map(|(field, name)| Some((field, name?))).collect()
}
