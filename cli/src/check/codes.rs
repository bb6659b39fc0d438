//! Every kind of finding: its code, whose meaning never changes, and its texts.
//!
//! `docs/check.md` lists them; a test compares.

pub(crate) use super::code::{Code, Severity};
use Severity::{Error, Note, Warning};

macro_rules! codes {
    ($($name:ident = $text:literal, $severity:ident, $why:literal, $remedy:literal;)*) => {
        $(pub(crate) const $name: &Code =
            &Code { name: $text, severity: $severity, why: $why, remedy: $remedy };)*
        /// All of them, in the order of the documentation.
        pub(crate) const ALL: &[&Code] = &[$($name),*];
    };
}

codes! {
    CONFIGURATION = "configuration", Error,
        "the filter does not load with it, or refuses requests",
        "correct it as the message says; docs/configuration.md describes every key";
    YAML_MERGE_KEY = "yaml-merge-key", Error,
        "Envoy's YAML reader does not support merge keys: it reads a field `<<` and refuses the \
         file",
        "write the members out, or give the whole object by an anchor and an alias";
    CLUSTER_MISSING = "cluster-missing", Error,
        "no call can be made: every request that needs it is answered as unavailable",
        "add the cluster, or name in `clusters` the one that leads to the provider";
    CLUSTER_WITHOUT_ENDPOINTS = "cluster-without-endpoints", Error,
        "no call can be made: every request that needs it is answered as unavailable",
        "list the provider's host and port in load_assignment";
    CLUSTER_WITHOUT_TLS = "cluster-without-tls", Error,
        "`https://` alone encrypts nothing: tokens and claims, and with introspection the gateway's \
         own secret, cross the network unencrypted",
        "give the cluster a TLS transport socket with sni, trusted CA and the provider's name";
    TLS_WITHOUT_CA = "tls-without-ca", Error,
        "without a trusted CA any certificate is accepted, and any server can receive the tokens",
        "set validation_context.trusted_ca, for example the file of public authorities";
    TLS_WITHOUT_SAN = "tls-without-san", Error,
        "without a name to match, any certificate that the CA signed is accepted",
        "set match_typed_subject_alt_names to the provider's host name";
    CLUSTER_WITHOUT_PROXY = "cluster-without-proxy", Error,
        "http_proxy_server routes nothing by itself: the calls go past the proxy, or nowhere",
        "give the cluster the transport socket http_11_proxy and each endpoint the proxy's address \
         as envoy/forward-proxy.yaml does";
    SPELT_TWICE = "spelt-twice", Error,
        "Envoy uses one of the two and ignores the other",
        "keep one spelling";
    ROUTE_UNPROTECTED = "route-unprotected", Error,
        "requests reach the backend without a token",
        "enable an instance there; or, if the route is public, give the reason in the metadata of \
         the route or virtual host: filter_metadata: { oidc-token-connector: { public: WHY } }";
    INSTANCE_NOT_APPLIED = "instance-not-applied", Error,
        "the manifest has no effect on requests: they pass without the filter",
        "correct what the manifest says of where it applies";
    INSTANCE_NARROWED = "instance-narrowed", Error,
        "requests to other ports or listeners pass without the filter",
        "remove the condition, so that the filter is on for everything that comes";
    PATCH_UNDOES = "patch-undoes", Error,
        "without what it takes away requests pass unchecked, or tokens can be read",
        "remove the patch, or limit it to other proxies, listeners or clusters";
    EXTENSION_CONFIG_MISSING = "extension-config-missing", Error,
        "Envoy waits for a configuration that never comes: the listener does not open, or answers \
         500",
        "add the EXTENSION_CONFIG patch, or write the name that it has";
    PLACEHOLDER = "placeholder", Error,
        "the image of an example does not exist: the module is never loaded",
        "write the image's own place and digest";
    CACHE_BEFORE_FILTER = "cache-before-filter", Error,
        "a kept response goes to anybody without a token, and a request that the cache sends to the \
         backend by itself has passed neither the filter nor the guard",
        "move the cache filter behind the filter and the guard, as docs/recipes.md shows";
    CACHE_BEHIND_FILTER = "cache-behind-filter", Error,
        "without Authorization the cache takes the response for everybody's, and gives one user's to \
         the next (RFC 9111, 3.5)",
        "remove every identity header between the filter and the cache, as the response cache of \
         docs/recipes.md does; or set \"block_authorization_header\": false: then Envoy's cache \
         leaves out requests with a token";
    PATH_NOT_NORMALIZED = "path-not-normalized", Error,
        "Envoy takes /public/../orders or /public/..%2Forders for a public path, and the backend may \
         take it for /orders: no token is asked for, or one by weaker rules",
        "set normalize_path: true, merge_slashes: true and path_with_escaped_slashes_action: \
         REJECT_REQUEST in the connection manager; better, lead public paths to a backend of their own";
    PATH_PARAMETERS = "path-parameters", Warning,
        "Envoy takes /public/..;/orders for a public path, whatever its settings are, and a server that \
         cuts off path parameters takes it for /orders: no token is asked for",
        "lead the public path to a backend of its own, or match on words between slashes only: \
         safe_regex: { regex: \"/public(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*/?\" }; if the backend keeps \
         `;` as it is, --allow path-parameters";
    PUBLIC_TOO_WIDE = "public-too-wide", Error,
        "by the public route a client without a token chooses what it reaches: also what another route \
         protects",
        "lead the public route to a backend of its own, whose address is fixed; or match exact paths, \
         without a rewrite";
    FILTER_BY_CONDITION = "filter-by-condition", Error,
        "requests that the condition leaves out pass without a token",
        "make the filter an entry of http_filters itself, and switch it off on public routes by a \
         FilterConfig with `disabled: true`";
    NOT_AN_HTTP_FILTER = "not-an-http-filter", Error,
        "the module checks HTTP requests: as a network filter it closes every connection, as anything \
         else it checks nothing",
        "load it by envoy.filters.http.wasm, in http_filters, before the router";
    UPSTREAM_FILTER = "upstream-filter", Error,
        "it is met after the route is chosen, again for each retry and without a guard: on the second \
         try there is no token, and a backend's 503 becomes a 401",
        "put it into http_filters of the connection manager, before the router";
    FILTER_BEHIND_ROUTER = "filter-behind-router", Error,
        "the router ends the list of filters: Envoy refuses to start, or no request reaches the filter",
        "move the router to the end of the list";
    ROUTE_BY_AUTHORIZATION = "route-by-authorization", Error,
        "Envoy chooses the route again once the token is removed: a checked request gets 404, or \
         reaches another backend than the one for which it was checked",
        "set \"block_authorization_header\": false, and remove the header by \
         request_headers_to_remove of the route; or match on something else";
    IDENTITY_OVERWRITTEN = "identity-overwritten", Error,
        "it is written behind the filter: the backend gets what the client, or another filter, says \
         in a header that it trusts",
        "write the value to a header with another name, or remove the change";
    TOKEN_FOR_ALL = "token-for-all", Error,
        "requests without a token of their own pass, with the gateway's identity",
        "move the filter that writes the credential behind the filter and the guard";
    TOKEN_LOST_BEFORE = "token-lost-before", Error,
        "the filter finds no token: every request is refused",
        "leave Authorization as it is before the filter: `forward: true` for the provider of jwt_authn, \
         forward_bearer_token for oauth2; move other filters behind it, or remove the change";
    TOKEN_NEEDED_BEHIND = "token-needed-behind", Error,
        "it does not find what it wants: every request that the filter lets pass is refused",
        "move it before the filter, with `forward: true`, as docs/recipes.md shows; or set \
         \"block_authorization_header\": false, and remove the header by request_headers_to_remove";
    TOKEN_LOGGED = "token-logged", Error,
        "anybody who can read the log or the trace can use its tokens: those of refused requests, and those of \
         all requests where the filter forwards Authorization",
        "remove it; the subject is in a header of inject_headers, or in filter_state";
    ADMIN_ROUTED = "admin-routed", Error,
        "a client that reaches the admin interface can read the configuration with its secrets, change \
         settings and stop Envoy",
        "remove the route, or match the exact path /stats/prometheus";
    ROUTE_CONFIG_REFUSED = "route-config-refused", Error,
        "Envoy has no per-route configuration for Wasm filters and refuses to start",
        "use a FilterConfig with `disabled: true` or `config: {}`, and an instance of its own for \
         another configuration";
    FAIL_OPEN = "fail-open", Error,
        "once the module has failed, requests pass unchecked",
        "set failure_policy: FAIL_RELOAD";
    CAPABILITY_MISSING = "capability-missing", Error,
        "Envoy does not call a callback that is not allowed, and requests pass as if there were no \
         filter; a host call that is not allowed fails",
        "remove capability_restriction_config, or add what the module exports and imports";
    VM_ID_SHARED = "vm-id-shared", Error,
        "modules with the same vm_id read and write each other's shared data, which holds cached \
         verdicts",
        "give this module a vm_id of its own; only instances with the same code may share one";
    GUARD_REFUSES = "guard-refuses", Error,
        "Envoy's RBAC filter answers 403 to requests that it should let pass",
        "set \"access_log_state\": true, let the guard accept the prefix `pass;` (and `preflight;` \
         with \"preflight\": \"pass\", `anonymous;` with \"credentials\": \"optional\") behind every \
         instance, and switch it off on public routes";
    VARIABLE_MISSING = "variable-missing", Error,
        "the VM gets only the variables that are listed: without this one the filter does not load",
        "list it in vm_config.environment_variables.host_env_keys, and set it for Envoy's own process";
    ROUTE_CONFIG_IGNORED = "route-config-ignored", Warning,
        "Envoy silently ignores an optional per-route configuration of a Wasm filter",
        "remove is_optional, and use an instance of its own for another configuration";
    INSTANCE_OPTIONAL = "instance-optional", Warning,
        "an Envoy without Wasm support starts without it, and lets every request pass",
        "remove is_optional from its entry in http_filters";
    NO_GUARD = "no-guard", Warning,
        "Envoy leaves a Wasm filter out on a worker whose VM it cannot create, whatever \
         failure_policy says: there every request passes, with identity headers of its own",
        "put Envoy's RBAC filter behind it, which lets pass only what wasm.oidc_outcome says \
         that the filter let pass, as envoy/envoy.yaml does";
    GUARD_NOT_COUNTED = "guard-not-counted", Warning,
        "its refusals count together with those of every other RBAC filter: the alert \
         OidcGuardDenied never fires, so nobody sees that Envoy leaves the filter out",
        "set \"rules_stat_prefix\": \"oidc_token_connector_guard\" beside its rules, as \
         envoy/envoy.yaml does";
    GUARD_TOO_WIDE = "guard-too-wide", Warning,
        "if an instance is given that setting by mistake, nothing behind it holds such requests back",
        "remove the principal with that prefix from the guard";
    NO_DEFAULT_INSTANCE = "no-default-instance", Warning,
        "the next route that is added is unprotected, without a warning",
        "remove `disabled` from one instance, and switch it off where another one is on";
    ROUTE_FILTER_UNKNOWN = "route-filter-unknown", Warning,
        "Envoy ignores a FilterConfig for a filter that does not exist",
        "write the name as in http_filters";
    ROUTE_WITH_TWO_INSTANCES = "route-with-two-instances", Warning,
        "each instance calls its provider, and the first may remove the token before the second",
        "switch the default instance off where another one is switched on";
    ROUTE_BY_IDENTITY_HEADER = "route-by-identity-header", Warning,
        "the route is first chosen with the client's own header, and again after the edit",
        "match on something that only the gateway decides";
    BACKEND_SHARED = "backend-shared", Warning,
        "an instance strips only the headers that it injects: here a client can set them",
        "lead the two to different backends, or add the header to request_headers_to_remove";
    PROXY_NOWHERE = "proxy-nowhere", Warning,
        "no call arrives: every request that needs it is answered as unavailable",
        "replace it with the forward proxy's address";
    PROXY_DIFFERS = "proxy-differs", Warning,
        "the cluster decides where calls go; http_proxy_port is informative",
        "use the same port in both";
    ENDPOINT_IN_CLEAR = "endpoint-in-clear", Warning,
        "tokens and claims, and with introspection the gateway's own secret, cross the network \
         unencrypted",
        "use https:// and a cluster with TLS";
    SUBJECT_NOT_REQUIRED = "subject-not-required", Warning,
        "any page that answers 200 with a JSON object validates every token",
        "set \"require_subject\": true";
    SECRET_IN_CLEAR = "secret-in-clear", Warning,
        "everybody who can read the configuration, also by Envoy's config_dump, can ask the provider \
         about tokens as this client",
        "set client_secret_env, and list the variable in \
         vm_config.environment_variables.host_env_keys";
    HEADERS_FOR_SEVERAL = "headers-for-several", Warning,
        "fixed headers go to every region and issuer: a key of one provider is shown to the others",
        "remove them from userinfo_headers where they are secret, and let the provider's cluster or an \
         instance of its own send them";
    ENVIRONMENT_DIFFERS = "environment-differs", Warning,
        "Envoy makes VMs of their own for them: each has its own caches, limits and site health",
        "list the same environment_variables for all instances of the module";
    RESOURCE_WITHOUT_AUDIENCE = "resource-without-audience", Warning,
        "a token that was issued for another resource is accepted here too; MCP requires this check",
        "set \"require_audience\" to what the provider writes into `aud` for this resource";
    SERVER_REFUSED = "server-refused", Warning,
        "clients are sent to an issuer whose tokens the filter refuses; a slash at the end counts",
        "write the issuer in both places exactly as the provider names itself";
    SCOPE_NOT_ADVERTISED = "scope-not-advertised", Warning,
        "clients that request the scopes of the metadata get a token that is refused with \
         insufficient_scope",
        "add the scope to scopes_supported, or remove it from require_scope";
    RESOURCE_ELSEWHERE = "resource-elsewhere", Warning,
        "clients are told of a resource at which this instance is not",
        "correct `resource`: host and path as clients call them, with or without a slash at the end; \
         or switch the instance on for that route";
    METADATA_UNREACHABLE = "metadata-unreachable", Warning,
        "clients that follow the challenge get no metadata, and find no provider",
        "add a route for that path on which the instance is on, as docs/configuration.md shows";
    INTERNAL_REDIRECT = "internal-redirect", Warning,
        "Envoy sends the redirected request through the filters again, without the token: a good client \
         gets 401",
        "remove internal_redirect_policy, so that the client follows the redirect with its token; or \
         set \"block_authorization_header\": false";
    ISSUER_NOT_TOLD = "issuer-not-told", Warning,
        "subjects of two issuers may be equal: the backend takes one user for another",
        "set \"region_header\", and join the subject with it in the backend";
    REGION_WITHOUT_HEADERS = "region-without-headers", Warning,
        "the backend gets requests of its users without any identity header",
        "add a map for it to inject_headers, or a default; an empty one, {}, if that is intended";
    ITERATION_ALLOWED = "iteration-allowed", Warning,
        "request bodies are buffered while a request waits, large ones are answered 413, and \
         before Envoy 1.39 data after the verdict is lost",
        "remove allow_on_headers_stop_iteration";
    VM_ID_MISSING = "vm-id-missing", Warning,
        "all modules without a vm_id share their data",
        "set vm_config.vm_id, for example oidc-token-connector";
    SHARED_CACHE_WITHOUT_VM_ID = "shared-cache-without-vm-id", Warning,
        "every other module without a vm_id can read and write the cached verdicts",
        "set vm_config.vm_id, or remove \"shared\" from cache";
    CORS_AFTER_FILTER = "cors-after-filter", Warning,
        "preflights carry no token and are refused, and pages cannot read the filter's replies",
        "move the CORS filter in front, or set \"preflight\": \"pass\"";
    CORS_WITHOUT_POLICY = "cors-without-policy", Warning,
        "Envoy's CORS filter does nothing without a policy: preflights reach the next filter and are \
         refused, and pages of other origins cannot read the replies",
        "add a CorsPolicy to typed_per_filter_config of the virtual host, as envoy/envoy.yaml does; or \
         remove the CORS filter";
    SNI_MISSING = "sni-missing", Warning,
        "servers with several names refuse the connection or show another certificate: every call \
         fails",
        "set sni to the provider's host name";
    SAN_DIFFERS = "san-differs", Warning,
        "unless the provider's certificate has that name as well, every call fails",
        "set match_typed_subject_alt_names to the provider's host name";
    TLS_WEAK = "tls-weak", Warning,
        "an attacker who has an old key of the provider or the keys of a connection, or breaks an old \
         protocol, can read the tokens",
        "remove the setting: Envoy's default is stricter";
    NO_STREAM_IDLE_TIMEOUT = "no-stream-idle-timeout", Warning,
        "if the module fails, its waiting requests hang for 5 minutes, or forever",
        "set stream_idle_timeout, for example 30s";
    TIMEOUTS_DO_NOT_NEST = "timeouts-do-not-nest", Warning,
        "Envoy ends requests with a bare 504 before the filter can answer them",
        "decrease timeout and deadline, or increase Envoy's timeout";
    NO_UPSTREAM_IDLE_TIMEOUT = "no-upstream-idle-timeout", Warning,
        "Envoy keeps idle connections for an hour, the provider closes them earlier, and a call \
         sent at that moment is lost",
        "set common_http_protocol_options.idle_timeout in the cluster's HttpProtocolOptions below \
         the provider's keep-alive: 4s if that is unknown (Node.js closes after 5 s; starman \
         after 1 s needs less)";
    CONNECTION_SHARED = "connection-shared", Warning,
        "if one caller's request makes the provider close the connection, all calls on it fail",
        "use HTTP/1.1, explicit_http_config: { http_protocol_options: {} }, or set \
         max_concurrent_streams: 1 in http2_protocol_options";
    CALL_LIMIT_TOO_LOW = "call-limit-too-low", Warning,
        "Envoy refuses or delays calls that the filter makes, also those for known users",
        "set max_connections, max_pending_requests and max_requests in the cluster's \
         circuit_breakers.thresholds to workers × max_in_flight or more, for example 16384, or \
         decrease max_in_flight";
    MAXIMA_EXCEED_WORKER = "maxima-exceed-worker", Warning,
        "a worker refuses requests, with too_many_waiting, before these maxima are reached",
        "decrease max_in_flight or max_token_bytes";
    ANSWER_LIMIT_TOO_LOW = "answer-limit-too-low", Warning,
        "responses within max_userinfo_bytes reach the filter as a failed call",
        "set http.async_response_buffer_limit above max_userinfo_bytes";
    ADMIN_REACHABLE = "admin-reachable", Warning,
        "a client that reaches the admin interface can read the configuration with its secrets, change \
         settings and stop Envoy",
        "bind it to 127.0.0.1, or list in admin.allow_paths the pages that others need";
    RUNTIME_OVERRIDES = "runtime-overrides", Warning,
        "for a part of the requests Envoy leaves %2F in the path, whatever the connection manager says",
        "remove the setting";
    LABELS_MISSING = "labels-missing", Warning,
        "no alert of deploy/ ever fires, and most panels of the dashboard stay empty",
        "copy stats_config from envoy/envoy.yaml";
    NO_INSTANCE = "no-instance", Warning,
        "nothing was checked",
        "give the file that holds the filter; a Wasm filter counts if its code's name, its own \
         name or its configuration is this filter's";
    NO_RELOAD = "no-reload", Note,
        "once the module has failed, a worker answers 503 until Envoy is restarted",
        "set failure_policy: FAIL_RELOAD";
    VALUE_IGNORED = "value-ignored", Note,
        "the filter accepts it, as the source system did, and ignores it",
        "write one of the allowed values, or remove the key";
    UNAVAILABLE_AS_401 = "unavailable-as-401", Note,
        "clients discard valid tokens when the provider is down",
        "set \"userinfo_unavailable\": { \"status\": 503, \"retry_after\": \"5s\" }";
    ANONYMOUS_PASSES = "anonymous-passes", Note,
        "requests without credentials reach the backend, which alone decides what they may do",
        "nothing, if the backend requires an identity where it has to; else remove \"credentials\", \
         and the guard's principal with the prefix `anonymous;`";
    AUDIENCE_NOT_REQUIRED = "audience-not-required", Note,
        "a token that the provider issued for another API is accepted here too",
        "set \"require_audience\", if the provider has other APIs";
    SCOPE_NOT_REQUIRED = "scope-not-required", Note,
        "a token with any scope is accepted",
        "set \"require_scope\", if the backend does not look at scopes itself";
    RESOURCE_NOT_IN_AUDIENCE = "resource-not-in-audience", Note,
        "clients request tokens for `resource` (RFC 8707), and most providers write that into `aud`: \
         then every token is refused",
        "nothing, if the provider writes another name into `aud`; else add `resource` to \
         require_audience";
    RULE_NEEDS_JWT = "rule-needs-jwt", Note,
        "these rules read the payload of the token itself: every opaque token is refused",
        "nothing, if the provider's tokens are JWTs; else use introspection, and rules that read its \
         response";
    GUARD_NOT_SEEN = "guard-not-seen", Note,
        "Envoy leaves a Wasm filter out on a worker whose VM it cannot create, and then only a \
         second filter behind it can refuse requests",
        "give the manifest with the guard as well, or write one as deploy/ has it";
    PREFLIGHT_REFUSED = "preflight-refused", Note,
        "a preflight carries no token and is refused: pages of other origins cannot call the API",
        "set \"preflight\": \"pass\", if pages of other origins should call the API";
    UNDERSCORES_PASS = "underscores-pass", Note,
        "backends take x_user_id for x-user-id; the filter strips both of its own headers only",
        "set headers_with_underscores_action: REJECT_REQUEST";
    ANSWER_LIMIT_MISSING = "answer-limit-missing", Note,
        "Envoy holds up to 32 MiB of one provider answer",
        "set http.async_response_buffer_limit in layered_runtime, above max_userinfo_bytes";
    ROUTE_PUBLIC = "route-public", Note,
        "the file marks it as public",
        "nothing, if that is intended";
    PLAIN_CLUSTER = "plain-cluster", Note,
        "no filter in these files shows whether it is a provider's cluster",
        "give the filter's file as well";
    PROXY_REQUIRED = "proxy-required", Note,
        "http_proxy_server routes nothing by itself",
        "compare the cluster with envoy/forward-proxy.yaml";
    FILTER_NOT_JUDGED = "filter-not-judged", Note,
        "its own code decides what it writes, or check does not know this kind of filter: it was not checked",
        "make sure that before the filter it leaves Authorization and the path as they are, and that \
         behind it it writes no identity header of what the client sends";
    VARIABLE_NOT_SEEN = "variable-not-seen", Note,
        "without it every call of introspection is refused by the provider, and so is every request",
        "set it in provider.kubernetes.envoyDeployment.container.env of an EnvoyProxy, and name that in \
         infrastructure.parametersRef of the Gateway (or by its GatewayClass)";
    PATCH_NOT_JUDGED = "patch-not-judged", Note,
        "it changes what is generated for the same gateway, in a way that this check did not look into",
        "make sure that every request still meets the filter and then the guard, and that the \
         provider's cluster keeps its TLS";
    NOT_JUDGED = "not-judged", Note,
        "this check does not know what it does: it may lead past the filter, or undo what that does",
        "make sure that no request reaches a protected backend by it without a token, and that it writes \
         nothing that the filter or the guard sets";
    CLUSTER_NOT_SEEN = "cluster-not-seen", Note,
        "its existence and its TLS trust were not checked",
        "give the file that holds the cluster as well";
    TLS_NOT_SEEN = "tls-not-seen", Note,
        "the check of the certificate's name was not verified",
        "name the provider in match_typed_subject_alt_names beside the secret, by \
         combined_validation_context, or give the file that holds the secret as well";
    ROUTES_NOT_SEEN = "routes-not-seen", Note,
        "the protection of the routes was not checked",
        "give the file that holds the routes as well";
    SURROUNDINGS_NOT_SEEN = "surroundings-not-seen", Note,
        "the safety of the filter depends on the configuration around it, which is not in these \
         files",
        "check Envoy's own configuration as well, or follow docs/security.md";
}

/// The code of that name.
pub(crate) fn named(name: &str) -> Option<&'static Code> {
    ALL.iter().copied().find(|code| code.name == name)
}
