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
fn unusable_text_leaves_the_standard_body() {
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
fn a_web_page_is_handed_on_as_plain_text_only() {
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
    assert_eq!(challenge("403", &[], ""), bearer(r#", error="insufficient_scope""#));
    assert_eq!(
        challenge("401", &said, ""),
        bearer(r#", error="invalid_request", error_description="d""#)
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

#[test]
fn the_code_for_401_only() {
    let code =
        |status| refused("", status, &[], "").header("x-mashery-error-code").map(str::to_owned);
    assert_eq!(code("401"), Some("ERR_401_UNAUTHORIZED".to_owned()));
    assert_eq!(code("403"), None);
    assert_eq!(code("500"), None);
}

#[test]
fn retry_after_goes_along_where_it_is_well_formed() {
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
fn own_errors_to_the_letter() {
    let check = |mut world: World, headers: &[(&str, &str)], name: &str, challenge: &str| {
        let reply = world.decided(headers).replied();
        assert_eq!(reply.status, 401);
        assert!(
            reply.body.starts_with(&format!("{{\"error\":\"{name}\",\"error_description\":\""))
        );
        assert!(crate::json::parse(reply.body.as_bytes()).is_ok());
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
fn the_error_set_replaces_own_errors_only() {
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
fn details_say_the_reason() {
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
        "oidc_token_connector{unavailable:not_a_json_object}"
    );
}

/// Every reason in its own word, and what a gRPC client reads instead of the body.
#[test]
fn every_reason_has_its_word_and_its_grpc_message() {
    use crate::bearer::CredentialFault::*;
    use crate::endpoint::EndpointFault::*;
    use crate::reply::{Dialect, reply};
    use crate::verdict::{NoAnswer::*, Refusal};

    const TOKEN: &str = "The Authorization header is missing, empty or not one Bearer token.";
    const NONE: &str = "No usable answer could be had from the UserInfo endpoint.";
    let policy = crate::config::read(b"{}").unwrap().policy.replies;
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
        (Unreachable, "unavailable:unreachable"),
        (TimedOut, "unavailable:timed_out"),
        (UnexpectedStatus, "unavailable:unexpected_status"),
        (TooLarge, "unavailable:too_large"),
        (Encoded, "unavailable:encoded"),
        (NotAnObject, "unavailable:not_a_json_object"),
        (NoSubject, "unavailable:no_subject"),
    ];
    let rows = credentials
        .map(|(fault, words)| (Refusal::Credentials(fault), words, TOKEN))
        .into_iter()
        .chain(endpoints.map(|(fault, words, text)| (Refusal::Endpoint(fault), words, text)))
        .chain(unavailable.map(|(why, words)| (Refusal::Unavailable(why), words, NONE)));
    for (refusal, words, message) in rows {
        let http = reply(&refusal, &policy, Dialect::Http);
        let grpc = reply(&refusal, &policy, Dialect::Grpc);
        assert_eq!(http.details, format!("oidc_token_connector{{{words}}}"));
        assert_eq!((grpc.body.as_str(), &grpc.details), (message, &http.details));
        assert!(http.body.contains(&format!("\"error_description\":\"{message}\"")));
    }
}

#[test]
fn a_provider_error_is_counted_by_its_status() {
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
