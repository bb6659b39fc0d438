//! The introspection call, and what each response to it means.

use std::rc::Rc;

use super::client::{AuthMethod, Client};
use super::*;
use crate::claims::jsonpath::JsonPath;
use crate::provider::error_text::ProviderText;
use crate::provider::response::{Answer, Body};
use crate::provider::subject::SubjectPath;
use crate::request::bearer;
use crate::request::headers::HeaderView;
use crate::sim::{START, call_policy, head};
use crate::verdict;

const JSON: &[(&str, &str)] = &[
    (":status", "200"),
    ("content-type", "application/json"),
    ("x-envoy-upstream-service-time", "3"),
];

fn method(success: Success) -> Introspection {
    Introspection {
        client: Client::new("gateway", AuthMethod::Post, "s3cret"),
        success: Rc::new(success),
    }
}

#[track_caller]
fn judged(success: Success, pairs: &[(&str, &str)], body: &str) -> Result<(), Refusal> {
    let answer = Answer::Whole { head: head(pairs), body: Body::Read(body.as_bytes()) };
    let endpoint = crate::sim::endpoint(Rc::new(method(success)));
    verdict::judge(&endpoint, &ProviderText::Withheld, &answer, START).map(drop)
}

#[test]
fn the_call_is_a_form_with_the_token_in_it() {
    let site = Site {
        cluster: "idp".into(),
        authority: "idp.example".into(),
        path: "/introspect".into(),
        scheme: "https",
    };
    let head = HeaderView::new(vec![(b"x-request-id", b"7b1c"), (b"cookie", b"c")]);
    let policy = call_policy();
    let token = bearer::of("t0k+/=");
    let correlation = Correlation::of(&head);
    let method = method(Success::Object);
    let call = method.request(&policy, &site, &token, &correlation, Duration::from_secs(2));
    let agent = format!("oidc-token-connector/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        call.headers.iter().collect::<Vec<_>>(),
        [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "idp.example"),
            (":path", "/introspect"),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", &agent),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-request-id", "7b1c"),
        ]
    );
    let body =
        "token=t0k%2B%2F%3D&token_type_hint=access_token&client_id=gateway&client_secret=s3cret";
    assert_eq!(String::from_utf8(call.body).unwrap(), body);
    // A probe is about no token, and of no client.
    let probe = method.probe(&policy, &site, Duration::from_secs(2));
    assert!(probe.body.is_empty() && probe.headers.iter().all(|(name, _)| name != "authorization"));
}

#[test]
fn only_an_active_access_token_of_a_bearer_is_vouched_for() {
    use NotVouched::*;
    let no = |why| Err(Refusal::NotVouched(why));
    let unusable = |why| Err(Refusal::Unusable(why));
    let now = START.0;
    let dated = |name: &str, date: u64| format!(r#""active": true, "{name}": {date}"#);
    let cases: Vec<(String, Result<(), Refusal>)> = [
        (r#""active": true"#, Ok(())),
        (r#""active": true, "token_type": "Bearer", "sub": "a""#, Ok(())),
        (r#""active": true, "token_type": "bearer""#, Ok(())),
        (r#""active": true, "token_type": null, "cnf": null, "exp": null, "typ": null"#, Ok(())),
        (r#""active": true, "token_use": "access_token", "typ": "at+jwt""#, Ok(())),
        (r#""active": true, "typ": "JWT""#, Ok(())),
        (r#""active": true, "typ": "Bearer", "token_use": "access""#, Ok(())),
        (r#""active": false"#, no(Inactive)),
        (r#""active": false, "sub": "a""#, no(Inactive)),
        ("", unusable(Unusable::NoActive)),
        (r#""active": "true""#, unusable(Unusable::NoActive)),
        (r#""active": 1"#, unusable(Unusable::NoActive)),
        (r#""active": null"#, unusable(Unusable::NoActive)),
        (r#""active": true, "active": false"#, unusable(Unusable::NotAnObject)),
        (r#""active": true, "token_type": "DPoP""#, no(OtherKind)),
        (r#""active": true, "token_type": "N_A""#, no(OtherKind)),
        (r#""active": true, "token_type": ["Bearer"]"#, no(OtherKind)),
        (r#""active": true, "token_type": "refresh_token""#, no(OtherKind)),
        (r#""active": true, "token_use": "refresh_token""#, no(OtherKind)),
        (r#""active": true, "token_use": "id""#, no(OtherKind)),
        (r#""active": true, "typ": "Refresh""#, no(OtherKind)),
        (r#""active": true, "typ": "Offline""#, no(OtherKind)),
        (r#""active": true, "typ": "ID""#, no(OtherKind)),
        (r#""active": true, "typ": "logout+jwt""#, no(OtherKind)),
        (r#""active": true, "typ": "RefreshToken""#, no(OtherKind)),
        (r#""active": true, "token_use": "idToken""#, no(OtherKind)),
        (r#""active": true, "typ": "application/rt+jwt""#, no(OtherKind)),
        (r#""active": true, "typ": "Serialized-ID""#, no(OtherKind)),
        (r#""active": true, "typ": "identity""#, Ok(())),
        (r#""active": true, "exp": "inf""#, no(Expired)),
        (r#""active": true, "exp": 1e99"#, no(Expired)),
        (r#""active": true, "typ": ["at+jwt"]"#, no(OtherKind)),
        (r#""active": true, "cnf": {"jkt": "x"}"#, no(KeyBound)),
        (r#""active": true, "cnf": {}"#, no(KeyBound)),
        (r#""active": true, "exp": "soon""#, no(Expired)),
        (r#""active": true, "exp": 0"#, no(Expired)),
        (r#""active": true, "nbf": "later""#, no(NotYetValid)),
    ]
    .into_iter()
    .map(|(members, expected)| (members.to_owned(), expected))
    .chain([
        (dated("exp", now), no(Expired)),
        (dated("exp", now - 1), no(Expired)),
        (dated("exp", now + 1), Ok(())),
        (dated("nbf", now + 60), Ok(())),
        (dated("nbf", now + 61), no(NotYetValid)),
    ])
    .collect();
    for (members, expected) in cases {
        assert_eq!(judged(Success::Object, JSON, &format!("{{{members}}}")), expected, "{members}");
    }
}

/// Providers say `"active": true` of all that they issue, each in words of its own.
#[test]
fn a_kind_of_token_is_known_by_any_spelling() {
    let access = [
        "access_token",
        "access",
        "AccessToken",
        "at+jwt",
        "application/at+jwt",
        "JWT",
        "Bearer",
        "OAuth2AccessToken",
        "oauth_access_token",
        "user_access_token",
        "urn:ietf:params:oauth:token-type:access_token",
        "urn:ietf:params:oauth:token-type:jwt",
        "identity",
        "client_credentials",
        "service_account",
    ];
    let other = [
        "refresh_token",
        "urn:ietf:params:oauth:token-type:refresh_token",
        "URN:IETF:params:oauth:token-type:id_token",
        "oauth_refresh_token",
        "OAuth2RefreshToken",
        "user_refresh",
        "rt+jwt",
        "application/rt+jwt",
        "Offline",
        "id",
        "id_token",
        "id_token+jwt",
        "id+jwt",
        "identity_token",
        "OIDCIdToken",
        "logout+jwt",
        "backchannel_logout",
        "RegistrationAccessToken",
        "InitialAccessToken",
        "secevent+jwt",
        "application/secevent+jwt",
        "authorization_code",
        "code",
        "device_code",
        "urn:ietf:params:oauth:grant-type:device_code",
    ];
    for (kinds, expected) in
        [(&access[..], Ok(())), (&other, Err(Refusal::NotVouched(NotVouched::OtherKind)))]
    {
        for (name, kind) in
            ["typ", "token_use"].into_iter().flat_map(|n| kinds.iter().map(move |k| (n, k)))
        {
            let body = format!(r#"{{"active": true, "{name}": "{kind}"}}"#);
            assert_eq!(judged(Success::Object, JSON, &body), expected, "{body}");
        }
    }
}

#[test]
fn a_required_subject_has_to_be_there() {
    let machine = r#"{"active": true, "client_id": "cron"}"#;
    assert_eq!(judged(Success::Object, JSON, machine), Ok(()));
    let none = Err(Refusal::NotVouched(NotVouched::NoSubject));
    assert_eq!(judged(Success::ObjectWithSubject, JSON, machine), none);
    let path = JsonPath::compile("$.client_id").unwrap();
    let at = SubjectPath { text: "$.client_id".into(), path };
    assert_eq!(judged(Success::ObjectWithSubjectAt(at), JSON, machine), Ok(()));
}

/// What an introspection endpoint refuses is the gateway, never the token.
#[test]
fn invalid_token_with_an_error_status_is_no_verdict() {
    let real = ("x-envoy-upstream-service-time", "3");
    for status in 100..=599_u16 {
        let text = status.to_string();
        let pairs = [
            (":status", text.as_str()),
            ("www-authenticate", r#"Bearer error="invalid_token""#),
            real,
        ];
        let refusal = judged(Success::Object, &pairs, r#"{"error":"invalid_token"}"#).err();
        let outcome = refusal.as_ref().and_then(Refusal::call_outcome);
        match status {
            200 => assert_eq!(refusal, Some(Refusal::Unusable(Unusable::NoActive))),
            400..=499 if ![408, 421, 425, 429].contains(&status) => {
                assert_eq!(refusal, Some(Refusal::Unavailable(NoAnswer::ClientRefused)));
            }
            _ => assert!(outcome.is_some(), "{status}"),
        }
        let ends_good = outcome.is_some_and(|outcome| outcome.consequences().ends_good);
        assert!(!ends_good, "{status}");
    }
}

/// What a provider says is said to the gateway's client: it may be a debug page that repeats the form.
#[test]
fn no_text_of_the_provider_is_handed_on() {
    let leak = r#"{"error":"invalid_token","error_description":"s3cret"}"#;
    for status in ["408", "429", "500", "503"] {
        let pairs = [
            (":status", status),
            JSON[1],
            JSON[2],
            ("www-authenticate", r#"Bearer error="invalid_token", error_description="s3cret""#),
        ];
        let answer = Answer::Whole { head: head(&pairs), body: Body::Read(leak.as_bytes()) };
        let endpoint = crate::sim::endpoint(Rc::new(method(Success::Object)));
        let judged = verdict::judge(&endpoint, &ProviderText::Payload, &answer, START);
        assert!(!format!("{judged:?}").contains("s3cret"), "{judged:?}");
        let Err(Refusal::Provider(error)) = judged else { panic!("{status}") };
        assert!(error.text.is_none() && error.challenge.is_none());
    }
}

/// What one caller can cause is no fault of the gateway's client.
#[test]
fn an_unsupported_token_is_refused() {
    let pairs = [(":status", "400"), JSON[1], JSON[2]];
    let refused = judged(Success::Object, &pairs, r#"{"error":"unsupported_token_type"}"#);
    assert_eq!(refused, Err(Refusal::NotVouched(NotVouched::OtherKind)));
    for body in [r#"{"error":"invalid_request"}"#, "", r#"["unsupported_token_type"]"#] {
        let refused = judged(Success::Object, &pairs, body);
        assert_eq!(refused, Err(Refusal::Unavailable(NoAnswer::ClientRefused)), "{body}");
    }
    let other = [(":status", "401"), JSON[1], JSON[2]];
    let refused = judged(Success::Object, &other, r#"{"error":"unsupported_token_type"}"#);
    assert_eq!(refused, Err(Refusal::Unavailable(NoAnswer::ClientRefused)));
}

#[test]
fn a_signed_or_foreign_response_is_not_read() {
    let typed = |t| vec![(":status", "200"), ("content-type", t), JSON[2]];
    let body = r#"{"active": true}"#;
    for (content_type, why) in [
        ("application/token-introspection+jwt", Unusable::Jwt),
        ("application/jwt", Unusable::Jwt),
        ("text/html", Unusable::NotAnObject),
    ] {
        let judged = judged(Success::Object, &typed(content_type), body);
        assert_eq!(judged, Err(Refusal::Unusable(why)), "{content_type}");
    }
    for body in ["[]", "true", "", "{"] {
        let judged = judged(Success::Object, JSON, body);
        assert_eq!(judged, Err(Refusal::Unusable(Unusable::NotAnObject)), "{body}");
    }
}
