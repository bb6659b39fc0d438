//! Tests: every reply, to the letter.
use crate::reply::LocalReply;
use crate::sim::World;

const STANDARD: &str = "Error Response retrieved from UserInfo endpoint. Response Code - ";

/// The reply to a provider's error, with this configuration.
#[track_caller]
fn refused(config: &str, status: &str, answer: &[(&str, &str)], body: &str) -> LocalReply {
    let reply = World::new(config).asked(&[], status, answer, body.as_bytes()).replied();
    assert_eq!(reply.status.to_string(), status);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    reply
}

const IN_HEADER: &str =
    r#""error_metadata_location": "ResponseHeaders", "error_header_name": "WWW-Authenticate""#;
const JSON: (&str, &str) = ("content-type", "application/json");

fn in_payload(path: &str) -> String {
    format!(r#""error_metadata_location": "ResponsePayload", "error_payload_location": "{path}""#)
}

#[test]
fn the_nine_scenarios() {
    let expired = r#"error="invalid_token" , error_description="The Access Token expired""#;
    let reply = refused(IN_HEADER, "401", &[("www-authenticate", expired)], "");
    assert_eq!((reply.body.as_str(), reply.header("content-type")), (expired, Some("text/plain")));

    let scope = r#"Bearer error="insufficient_scope", error_description="More please""#;
    let reply = refused(IN_HEADER, "403", &[("www-authenticate", scope)], "");
    assert_eq!(reply.body, scope);

    let body = r#"{"error":"invalid_token","errorMessage":"The access token expired"}"#;
    let reply = refused(&in_payload("$.errorMessage"), "401", &[JSON], body);
    assert_eq!(reply.body, "The access token expired");
    assert_eq!(reply.header("content-type"), Some("text/plain"));

    let no_name = r#""error_metadata_location": "ResponseHeaders""#;
    let reply = refused(no_name, "401", &[("www-authenticate", expired)], "");
    assert_eq!(reply.body, format!("{STANDARD}401"));

    let whole = r#""error_metadata_location": "ResponsePayload""#;
    let json = [("content-type", "application/json; charset=utf-8")];
    let reply = refused(whole, "403", &json, r#"{ "error": "no" }"#);
    assert_eq!(reply.body, r#"{ "error": "no" }"#);
    assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"));

    for location in
        ["", r#""error_metadata_location": """#, r#""error_metadata_location": "QueryParameter""#]
    {
        let reply = refused(location, "400", &[JSON], body);
        assert_eq!(reply.body, format!("{STANDARD}400"));
    }

    let other =
        r#""error_metadata_location": "ResponseHeaders", "error_header_name": "ErrorHeader""#;
    let reply = refused(other, "403", &[("www-authenticate", scope)], "");
    assert_eq!(reply.body, format!("{STANDARD}403"));

    let reply = refused(&in_payload("$.message"), "401", &[JSON], body);
    assert_eq!(reply.body, format!("{STANDARD}401"));

    let reply = refused(whole, "500", &[], "");
    assert_eq!(reply.body, format!("{STANDARD}500"));
}

#[test]
fn unusable_text_gives_the_standard_body() {
    let whole = r#""error_metadata_location": "ResponsePayload""#;
    let long = "x".repeat(8 * 1024 + 1);
    let standard = format!("{STANDARD}403");
    assert_eq!(refused(whole, "403", &[JSON], &long).body, standard);
    assert_eq!(refused(whole, "403", &[JSON], &long[1..]).body, long[1..]);
    assert_eq!(refused(whole, "403", &[JSON, ("content-encoding", "gzip")], "{}").body, standard);
    assert_eq!(refused(whole, "403", &[JSON], "a\u{0}b").body, standard);
    assert_eq!(refused(whole, "403", &[JSON], "a\u{1b}[2Jb").body, standard);
    assert_eq!(refused(whole, "403", &[JSON], "a\r\n\tb").body, "a\r\n\tb");
    let reply = World::new(whole).asked(&[], "403", &[JSON], b"\xff").replied();
    assert_eq!(reply.body, standard);
}

#[test]
fn web_page_is_relayed_as_plain_text() {
    let whole = r#""error_metadata_location": "ResponsePayload""#;
    for content_type in ["text/html", "text/plain,text/html", "image/svg+xml"] {
        let reply = refused(whole, "404", &[("content-type", content_type)], "<script>");
        assert_eq!(reply.header("content-type"), Some("text/plain"), "{content_type}");
    }
}

#[test]
fn challenges_of_refused_tokens() {
    let challenge = |status, answer: &[(&str, &str)], body| {
        refused("", status, answer, body).header("www-authenticate").map(str::to_owned)
    };
    let bearer = |rest: &str| Some(format!("Bearer realm=\"api\"{rest}"));
    let said = [("www-authenticate", r#"Bearer error="invalid_request", error_description="d""#)];
    assert_eq!(challenge("401", &[], ""), bearer(r#", error="invalid_token""#));
    assert_eq!(
        challenge("401", &said, ""),
        bearer(r#", error="invalid_token", error_description="d""#)
    );
    let scope = r#"{"error":"insufficient_scope","scope":"orders:read"}"#;
    assert_eq!(
        challenge("403", &[JSON], scope),
        bearer(r#", error="insufficient_scope", scope="orders:read""#)
    );
    assert_eq!(challenge("400", &[], ""), None);
    assert_eq!(
        challenge("400", &said, ""),
        bearer(r#", error="invalid_request", error_description="d""#)
    );
    for status in ["429", "500", "503", "599"] {
        assert_eq!(challenge(status, &said, ""), None, "{status}");
    }
}

/// A firewall's 403 is no matter of scopes, and no challenge can mend it.
#[test]
fn a_403_has_a_challenge_only_with_the_providers_error() {
    for said in ["", "Bearer", "Basic", r#"Bearer error="teapot""#, r#"Bearer scope="a""#] {
        let reply = refused("", "403", &[("www-authenticate", said)], "");
        assert_eq!(reply.header("www-authenticate"), None, "{said}");
    }
    let reply = refused("", "403", &[("www-authenticate", "Bearer error=invalid_request")], "");
    assert_eq!(reply.header("www-authenticate"), None);
    for code in ["invalid_token", "insufficient_scope", "insufficient_user_authentication"] {
        let said = format!("Bearer error={code}");
        let reply = refused("", "403", &[("www-authenticate", &said)], "");
        let ours = format!(r#"Bearer realm="api", error="{code}""#);
        assert_eq!(reply.header("www-authenticate"), Some(&*ours));
    }
}

/// RFC 6750 §3.1 gives a 401 one code, and RFC 9470 §3 another.
#[test]
fn error_unsuitable_for_401_becomes_invalid_token() {
    for (said, ours) in [
        (
            r#"Bearer error="insufficient_scope", error_description="d", scope="a""#,
            r#"error="invalid_token", error_description="d", scope="a""#,
        ),
        ("Bearer error=invalid_request", r#"error="invalid_token""#),
        ("Bearer error=teapot, max_age=5", r#"error="invalid_token""#),
        (
            r#"Bearer error="insufficient_user_authentication", acr_values="phr", max_age=5"#,
            r#"error="insufficient_user_authentication", acr_values="phr", max_age="5""#,
        ),
    ] {
        let reply = refused("", "401", &[("www-authenticate", said)], "");
        let ours = format!(r#"Bearer realm="api", {ours}"#);
        assert_eq!(reply.header("www-authenticate"), Some(&*ours), "{said}");
    }
}

/// django-oauth-toolkit says `text/html` of it.
#[test]
fn json_error_is_read_with_any_content_type() {
    let body = r#"{"error":"invalid_token","error_description":"gone","scope":"a"}"#;
    let ours = r#"Bearer realm="api", error="invalid_token", error_description="gone", scope="a""#;
    for content_type in ["text/html", "text/html; charset=utf-8", "text/plain", "image/png"] {
        let fields = [("content-type", content_type)];
        let reply = refused(&in_payload("$.error_description"), "403", &fields, body);
        assert_eq!(reply.body, "gone");
        assert_eq!(reply.header("content-type"), Some("text/plain"), "{content_type}");
        assert_eq!(reply.header("www-authenticate"), Some(ours), "{content_type}");
        // One object, strictly, and as it is.
        for wrong in [
            format!("[{body}]"),
            format!("{body}{body}"),
            format!("<p>{body}</p>"),
            body.replace(',', r#","error":"invalid_token","#),
        ] {
            let reply = refused(&in_payload("$..error_description"), "403", &fields, &wrong);
            assert_eq!(reply.body, format!("{STANDARD}403"), "{wrong}");
            assert_eq!(reply.header("www-authenticate"), None, "{wrong}");
        }
        let encoded = [fields[0], ("content-encoding", "gzip")];
        let reply = refused(&in_payload("$.error_description"), "403", &encoded, body);
        assert_eq!(reply.body, format!("{STANDARD}403"));
        assert_eq!(reply.header("www-authenticate"), None);
    }
    // A body with a JSON content type may also be a list.
    let list = refused(&in_payload("$[0].error"), "403", &[JSON], &format!("[{body}]"));
    assert_eq!(list.body, "invalid_token");
    // The whole body goes on as what it says it is, or as plain text.
    let whole = r#""error_metadata_location": "ResponsePayload""#;
    let reply = refused(whole, "403", &[("content-type", "text/html")], body);
    assert_eq!(reply.header("content-type"), Some("text/plain"));
}

#[test]
fn challenge_or_body_gives_the_error() {
    let body = r#"{"error":"insufficient_scope","scope":"b"}"#;
    for (said, ours) in [
        (r#"Bearer error="invalid_token""#, r#", error="invalid_token""#),
        (r#"Bearer scope="a""#, r#", error="insufficient_scope", scope="b""#),
        (r#"DPoP error="invalid_token""#, r#", error="insufficient_scope", scope="b""#),
        (r#"Bearer realm="x""#, r#", error="insufficient_scope", scope="b""#),
    ] {
        let reply = refused("", "403", &[("www-authenticate", said), JSON], body);
        let ours = format!(r#"Bearer realm="api"{ours}"#);
        assert_eq!(reply.header("www-authenticate"), Some(&*ours), "{said}");
    }
    let said = [("www-authenticate", r#"Bearer scope="a""#), JSON];
    let reply = refused("", "401", &said, r#"{"error_description":"d"}"#);
    let ours = r#"Bearer realm="api", error="invalid_token", scope="a""#;
    assert_eq!(reply.header("www-authenticate"), Some(ours));
}

#[test]
fn the_code_for_401_only() {
    let code =
        |status| refused("", status, &[], "").header("x-mashery-error-code").map(str::to_owned);
    assert_eq!(code("401"), Some("ERR_401_UNAUTHORIZED".to_owned()));
    assert_eq!(code("403"), None);
    assert_eq!(code("500"), None);
}

#[test]
fn well_formed_retry_after_is_relayed() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let cases = [
        ("429", "120", true),
        ("503", date, true),
        ("503", "soon", false),
        ("503", "12345678901", false),
        ("503", "", false),
        ("503", "1\r\nx-evil: 1", false),
        ("503", "Sun, 06 Nov 1994 08:49:37 UTC", false),
        ("401", "120", false),
    ];
    for (status, value, expected) in cases {
        let reply = refused("", status, &[("retry-after", value)], "");
        assert_eq!(reply.header("retry-after").is_some(), expected, "{status} {value:?}");
    }
}

#[test]
fn connector_errors_to_the_letter() {
    let check = |mut world: World, headers: &[(&str, &str)], name: &str, challenge: &str| {
        let reply = world.decided(headers).replied();
        assert_eq!(reply.status, 401);
        assert!(
            reply.body.starts_with(&format!("{{\"error\":\"{name}\",\"error_description\":\""))
        );
        assert!(crate::claims::json::parse(reply.body.as_bytes()).is_ok());
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("www-authenticate"), Some(challenge));
        assert_eq!(reply.header("x-mashery-error-code"), Some("ERR_401_UNAUTHORIZED"));
    };
    let bare = r#"Bearer realm="api""#;
    let bearer = ("authorization", "Bearer t");
    check(World::new(""), &[], "InvalidAuthorizationHeaderValue", bare);
    check(
        World::new(r#""realm": "shop \"1\"""#),
        &[("authorization", "Bearer a b")],
        "InvalidAuthorizationHeaderValue",
        r#"Bearer realm="shop \"1\"", error="invalid_request""#,
    );
    check(World::of("{}"), &[bearer], "InvalidPreInputConfigurationForUserInfoEndpointURI", bare);
    check(
        World::of(r#"{"userinfo_endpoint": {}}"#),
        &[bearer],
        "DefaultUserInfoURINotPresent",
        bare,
    );
    check(
        World::new(r#""unknown_region": "reject""#),
        &[bearer, ("x-region", "zz")],
        "InvalidRegionCode",
        bare,
    );
    // Credentials are looked at before anything about endpoints.
    check(World::of("{}"), &[], "InvalidAuthorizationHeaderValue", bare);
}

#[test]
fn error_set_replaces_only_connector_errors() {
    for on in [r#""true""#, r#""TRUE""#, "true"] {
        let config = format!(
            r#""enable_error_set": {on}, "error_set": {{"code": 451, "detail_header": "Go away",
                "response_body": "<no/>", "content_type": "application/xml"}}"#
        );
        let mut world = World::new(&config);
        let reply = world.decided(&[]).replied();
        assert_eq!((reply.status, reply.body.as_str()), (451, "<no/>"));
        assert_eq!(reply.header("content-type"), Some("application/xml"));
        assert_eq!(reply.header("x-error-detail-header"), Some("Go away"));
        assert_eq!(reply.header("x-mashery-error-code"), Some("ERR_403_NOT_AUTHORIZED"));
        assert_eq!(reply.header("www-authenticate"), None);
        assert_eq!(world.asked(&[], "401", &[], b"").replied().body, format!("{STANDARD}401"));
        assert_eq!(world.asked(&[], "204", &[], b"").replied().status, 451);
    }
    for off in [r#""yes""#, "false", r#""false""#, "1"] {
        let reply = World::new(&format!(r#""enable_error_set": {off}"#)).decided(&[]).replied();
        assert_eq!(reply.status, 401, "{off}");
    }
    let reply = World::new(r#""enable_error_set": true"#).decided(&[]).replied();
    assert_eq!((reply.status, reply.body.as_str()), (403, ""));
    assert_eq!(reply.header("x-error-detail-header"), Some("Not Authorized"));
    let set_401 = r#""enable_error_set": true, "error_set": {"code": 401}"#;
    let reply = World::new(set_401).decided(&[]).replied();
    assert_eq!(reply.header("www-authenticate"), Some(r#"Bearer realm="api""#));
}

#[test]
fn an_unavailable_provider() {
    let reply = |config| World::new(config).asked(&[], "204", &[], b"").replied();
    let plain = reply("");
    assert_eq!(plain.status, 401);
    assert!(plain.body.starts_with(r#"{"error":"TargetEndpointError""#));
    assert_eq!(plain.header("www-authenticate"), Some(r#"Bearer realm="api""#));
    let wins = r#""enable_error_set": true, "userinfo_unavailable": {"status": 401}"#;
    assert_eq!(reply(wins), plain);
    let busy = reply(
        r#""enable_error_set": true,
        "userinfo_unavailable": {"status": 503, "retry_after": "2m"}"#,
    );
    assert_eq!((busy.status, busy.header("retry-after")), (503, Some("120")));
    assert_eq!(busy.body, plain.body);
    assert_eq!(busy.header("www-authenticate"), None);
    assert_eq!(busy.header("x-mashery-error-code"), None);
}

#[test]
fn grpc_clients_get_a_fixed_message_and_no_content_type() {
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let mut world = World::new(r#""error_metadata_location": "ResponsePayload""#);
        let grpc = ("content-type", content_type);
        let reply = world.asked(&[grpc], "401", &[JSON], b"{\"secret\":1}").replied();
        assert_eq!(reply.body, "The UserInfo endpoint refused the token.");
        assert_eq!(reply.header("content-type"), None);
        assert!(reply.header("www-authenticate").is_some());
    }
    // Envoy answers these as plain HTTP.
    for content_type in ["application/grpc-web", "application/grpc;x", "Application/grpc"] {
        let reply = World::new("").decided(&[("content-type", content_type)]).replied();
        assert_eq!(reply.header("content-type"), Some("application/json"), "{content_type}");
    }
}

#[test]
fn details_have_the_reason() {
    let mut world = World::new("");
    let details = |world: &mut World, status, body: &[u8]| {
        world.asked(&[], status, &[], body).replied().details
    };
    assert_eq!(world.decided(&[]).replied().details, "oidc_token_connector{no_credentials:absent}");
    assert_eq!(
        world.decided(&[("authorization", "Bearer")]).replied().details,
        "oidc_token_connector{malformed:no_token}"
    );
    assert_eq!(details(&mut world, "401", b""), "oidc_token_connector{invalid_token:provider_4xx}");
    assert_eq!(
        details(&mut world, "200", b"[]"),
        "oidc_token_connector{unusable:not_a_json_object}"
    );
}

/// The details of every reason, and the message for gRPC clients instead of the body.
#[test]
fn every_reason_has_details_and_a_grpc_message() {
    use crate::refusal::EndpointFault::*;
    use crate::refusal::{NoAnswer::*, Refusal, Unusable::*};
    use crate::reply::{Dialect, reply};
    use crate::request::bearer::CredentialFault::*;

    const TOKEN: &str = "The Authorization header is missing, empty or not one Bearer token.";
    const NONE: &str = "No usable response from the UserInfo endpoint.";
    let policy = crate::policy::read(b"{}").unwrap().policy.replies;
    let credentials = [
        (Absent, "no_credentials:absent"),
        (Empty, "no_credentials:empty"),
        (OtherScheme, "no_credentials:other_scheme"),
        (NoToken, "malformed:no_token"),
        (NotAToken, "malformed:not_a_token"),
        (TooLong, "malformed:too_long"),
        (Several, "malformed:several"),
    ];
    let endpoints = [
        (
            NotConfigured,
            "misconfigured:no_userinfo_endpoint",
            "The UserInfo endpoint is not configured.",
        ),
        (NoDefault, "misconfigured:no_default_uri", "No default UserInfo endpoint is configured."),
        (UnknownRegion, "unknown_region:unknown_code", "The region code is not configured."),
    ];
    let unavailable = [
        (NotSent, "unavailable:not_sent"),
        (CutOff, "unavailable:cut_off"),
        (Unreachable { bytes_came: false }, "unavailable:unreachable"),
        (Unreachable { bytes_came: true }, "unavailable:unreachable"),
        (TimedOut, "unavailable:timed_out"),
        (Redirect, "unavailable:redirect"),
        (UnexpectedStatus, "unavailable:unexpected_status"),
        (Crowded, "unavailable:too_many_waiting"),
        (BreakerOpen, "unavailable:breaker_open"),
    ];
    let unusable = [
        (TooLarge, "unusable:too_large"),
        (Encoded, "unusable:encoded"),
        (Jwt, "unusable:jwt"),
        (NotAnObject, "unusable:not_a_json_object"),
    ];
    let rows = credentials
        .map(|(fault, words)| (Refusal::Credentials(fault), words, TOKEN))
        .into_iter()
        .chain(endpoints.map(|(fault, words, text)| (Refusal::Endpoint(fault), words, text)))
        .chain(unavailable.map(|(why, words)| (Refusal::Unavailable(why), words, NONE)))
        .chain(unusable.map(|(why, words)| (Refusal::Unusable(why), words, NONE)));
    for (refusal, words, message) in rows {
        let http = reply(&refusal, &policy, Dialect::Http);
        let grpc = reply(&refusal, &policy, Dialect::Grpc);
        assert_eq!(http.details, format!("oidc_token_connector{{{words}}}"));
        assert_eq!((grpc.body.as_str(), &grpc.details), (message, &http.details));
        assert!(http.body.contains(&format!("\"error_description\":\"{message}\"")));
    }
}

#[test]
fn provider_error_is_counted_by_status() {
    let details = |status: &str| World::new("").asked(&[], status, &[], b"").replied().details;
    for (status, words) in [
        ("400", "provider_error:provider_4xx"),
        ("403", "forbidden:provider_4xx"),
        ("499", "provider_error:provider_4xx"),
        ("500", "provider_error:provider_5xx"),
        ("599", "provider_error:provider_5xx"),
    ] {
        assert_eq!(details(status), format!("oidc_token_connector{{{words}}}"));
    }
}

const UNAVAILABLE: &str = r#""userinfo_unavailable": {"status": 503, "retry_after": "5s"}"#;

/// The provider's status and further headers, and the client's reply under `map`: status,
/// challenge, `Retry-After`, and the name in the body.
#[test]
fn map_gives_the_clients_status() {
    let invalid = Some("Bearer realm=\"api\", error=\"invalid_token\"");
    let scope = Some("Bearer realm=\"api\", error=\"insufficient_scope\"");
    let step_up = Some("Bearer realm=\"api\", error=\"insufficient_user_authentication\"");
    let says = |error: &str| format!("Bearer error=\"{error}\"");
    let rows = [
        ("401", "", 401, invalid, None, "invalid_token"),
        ("401", "insufficient_scope", 401, invalid, None, "invalid_token"),
        ("400", "invalid_token", 401, invalid, None, "invalid_token"),
        ("403", "invalid_token", 401, invalid, None, "invalid_token"),
        ("403", "insufficient_scope", 403, scope, None, "insufficient_scope"),
        ("400", "insufficient_scope", 403, scope, None, "insufficient_scope"),
        ("403", "insufficient_user_authentication", 401, step_up, None, "invalid_token"),
        ("403", "", 403, None, None, "access_denied"),
        ("404", "", 403, None, None, "access_denied"),
        ("410", "", 403, None, None, "access_denied"),
        ("400", "", 503, None, Some("5"), "TargetEndpointError"),
        ("400", "invalid_request", 503, None, Some("5"), "TargetEndpointError"),
        ("405", "", 503, None, Some("5"), "TargetEndpointError"),
        ("407", "", 503, None, Some("5"), "TargetEndpointError"),
        ("421", "", 503, None, Some("5"), "TargetEndpointError"),
        ("429", "", 503, None, Some("7"), "TargetEndpointError"),
        ("500", "", 503, None, Some("5"), "TargetEndpointError"),
        ("502", "", 503, None, Some("5"), "TargetEndpointError"),
        ("503", "", 503, None, Some("7"), "TargetEndpointError"),
    ];
    for error_set in ["", r#", "enable_error_set": true"#] {
        for (provider, error, status, challenge, retry_after, name) in rows {
            let members = format!(r#"{UNAVAILABLE}, "provider_errors": "map"{error_set}"#);
            let said = says(error);
            let headers = [("www-authenticate", &*said), ("retry-after", "7")];
            let headers = if error.is_empty() { &headers[1..] } else { &headers };
            let reply = World::new(&members).asked(&[], provider, headers, b"").replied();
            let row = format!("{provider} {error}{error_set}");
            assert_eq!(reply.status, status, "{row}");
            assert_eq!(reply.header("www-authenticate"), challenge, "{row}");
            assert_eq!(reply.header("retry-after"), retry_after, "{row}");
            assert!(reply.body.starts_with(&format!("{{\"error\":\"{name}\"")), "{row}: {reply:?}");
            let mashery = (status == 401).then_some("ERR_401_UNAUTHORIZED");
            assert_eq!(reply.header("x-mashery-error-code"), mashery, "{row}");
        }
    }
}

/// The provider's text about the token is still relayed.
#[test]
fn map_relays_the_providers_text_about_a_token() {
    let members = format!(
        r#"{UNAVAILABLE}, "provider_errors": "map", "error_metadata_location": "ResponseHeaders",
           "error_header_name": "X-Why""#
    );
    let why = [("x-why", "revoked at noon"), ("www-authenticate", "Bearer error=invalid_token")];
    let reply = World::new(&members).asked(&[], "400", &why, b"").replied();
    assert_eq!((reply.status, reply.body.as_str()), (401, "revoked at noon"));
    let reply = World::new(&members).asked(&[], "404", &why[..1], b"").replied();
    assert!(reply.status == 403 && !reply.body.contains("noon"), "{reply:?}");
}

/// 401 becomes UNAUTHENTICATED, 403 PERMISSION_DENIED, 503 UNAVAILABLE; Envoy would make
/// UNIMPLEMENTED of a 404, INTERNAL of a 400 and UNKNOWN of a 500.
#[test]
fn grpc_status_follows_the_mapped_status() {
    let refused = "The UserInfo endpoint refused the token.";
    let denied = "The UserInfo endpoint denied the token.";
    let none = "The UserInfo endpoint gave no verdict on the token.";
    let grpc = ("content-type", "application/grpc");
    let token = ("www-authenticate", "Bearer error=invalid_token");
    for (provider, headers, status, message) in [
        ("401", &[][..], 401, refused),
        ("400", &[token], 401, refused),
        ("403", &[token], 403, refused),
        ("403", &[], 403, denied),
        ("404", &[], 503, none),
        ("404", &[token], 503, none),
        ("400", &[], 503, none),
        ("429", &[], 503, none),
        ("500", &[], 503, none),
        ("503", &[], 503, none),
    ] {
        let reply = World::new("").asked(&[grpc], provider, headers, b"").replied();
        assert_eq!((reply.status, reply.body.as_str()), (status, message), "{provider}");
        let challenged = reply.header("www-authenticate").is_some();
        assert_eq!(challenged, message == refused, "{provider}: {reply:?}");
    }
}

/// A reply that a retry cannot change has no `Retry-After`.
#[test]
fn unusable_answer_is_bad_gateway() {
    for (members, status) in [
        (UNAVAILABLE, 502),
        (r#""userinfo_unavailable": {"status": 401}"#, 401),
        ("", 401),
        (r#""enable_error_set": true"#, 403),
    ] {
        let reply = World::new(members).asked(&[], "200", &[JSON], b"[]").replied();
        assert_eq!((reply.status, reply.header("retry-after")), (status, None), "{members}");
        let named = reply.body.contains("TargetEndpointError");
        assert_eq!(named, status != 403, "{members}: {reply:?}");
    }
}

#[test]
fn missing_subject_is_always_an_invalid_token() {
    for members in [
        r#""require_subject": true"#,
        r#""require_subject": "$.data.sub", "enable_error_set": true"#,
    ] {
        let reply = World::new(members).asked(&[], "200", &[JSON], b"{\"sub\":null}").replied();
        let challenge = reply.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"api\", error=\"invalid_token\""), "{members}");
        assert!(reply.status == 401 && reply.body.starts_with("{\"error\":\"invalid_token\""));
        assert_eq!(reply.details, "oidc_token_connector{invalid_token:no_subject}");
    }
}

/// With UserInfo the texts are the source system's; with introspection they name what was asked.
#[test]
fn texts_name_the_endpoint_that_was_asked() {
    let asked = |more: &str, head: &[(&str, &str)], status: &str, body: &str| {
        let mut world = World::of(&format!(
            r#"{{"introspection_endpoint": {{"regionCodeHeader": "X-Region",
                    "regionCodeValue": {{"FR": "https://idp.example/i"}}}},
                "introspection_client": {{"client_id": "gateway", "client_secret": "s"}}{more}}}"#
        ));
        let head = [&[("x-region", "FR")], head].concat();
        world.asked(&head, status, &[JSON], body.as_bytes()).replied().body
    };
    let http = |more: &str, status, body| asked(more, &[], status, body);
    let named = |name: &str, text: &str| {
        format!("{{\"error\":\"{name}\",\"error_description\":\"{text}\"}}")
    };
    let relayed = "Error Response retrieved from introspection endpoint. Response Code - 429";
    assert_eq!(http("", "429", ""), relayed);
    let unusable = "No usable response from the introspection endpoint.";
    let map = r#", "userinfo_unavailable": {"status": 503}, "provider_errors": "map""#;
    for (more, status, body) in
        [("", "401", "{}"), (map, "401", "{}"), ("", "200", "{}"), (map, "429", "")]
    {
        assert_eq!(http(more, status, body), named("TargetEndpointError", unusable), "{status}");
    }
    let grpc =
        |more, status, body| asked(more, &[("content-type", "application/grpc")], status, body);
    assert_eq!(grpc("", "401", "{}"), unusable);
    assert_eq!(grpc("", "500", ""), "The introspection endpoint gave no verdict on the token.");
    // A machine's token is good, and has no subject.
    let subject = "The provider does not name a subject of the access token, which this resource \
                   requires.";
    let machine = r#"{"active":true,"client_id":"m"}"#;
    let required = r#", "require_subject": true"#;
    assert_eq!(http(required, "200", machine), named("invalid_token", subject));
    assert_eq!(grpc(required, "200", machine), subject);
    let inactive = named("invalid_token", "The provider does not vouch for the access token.");
    assert_eq!(http(required, "200", r#"{"active":false}"#), inactive);

    let mut world = World::of(
        r#"{"introspection_endpoint": {"regionCodeHeader": "X-Region",
                "regionCodeValue": {"FR": "https://idp.example/i"}, "defaultURI": ""},
            "introspection_client": {"client_id": "gateway", "client_secret": "s"}}"#,
    );
    let text = "No default introspection endpoint is configured.";
    let reply = world.decided(&[("authorization", "Bearer t")]).replied();
    assert_eq!(reply.body, named("DefaultUserInfoURINotPresent", text));
}
