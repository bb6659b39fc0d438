//! Documents from which no safe configuration follows, with the remedy.

use super::*;

/// Every problem at once, with what was found, what is expected, and what to do.
#[test]
fn unsafe_documents_are_refused() {
    let http = Options { allow_http: true, ..Options::default() };
    let document =
        |issuer: &str, endpoint: &str| json!({"issuer": issuer, "userinfo_endpoint": endpoint});
    let (issuer, endpoint) = ("https://idp.example", "https://idp.example/me");
    let plain = Options::default();
    for (document, asked, options, said) in [
        (
            json!([]),
            None,
            &plain,
            &["the discovery document: got a list, expected a JSON object"][..],
        ),
        (json!({}), None, &plain, &["issuer: got nothing, expected a URL", "has neither"]),
        (
            json!({"issuer": 1, "userinfo_endpoint": []}),
            None,
            &plain,
            &[
                "issuer: got a number, expected a URL as text",
                "userinfo_endpoint: got a list, expected a URL as text",
            ],
        ),
        (
            document("https://other.example", endpoint),
            Some(issuer),
            &plain,
            &[
                "issuer: got \"https://other.example\", expected \"https://idp.example\", which --issuer \
             says (OpenID Connect Discovery 1.0 §4.3); give that issuer if it is your provider",
            ],
        ),
        (
            document("https://idp.example/", endpoint),
            Some(issuer),
            &plain,
            &["the slash at the end"],
        ),
        (
            document("http://idp.example", "http://idp.example/me"),
            None,
            &plain,
            &[
                "issuer: got \"http://idp.example\", expected https://; --allow-http accepts",
                "userinfo_endpoint: got \"http://idp.example/me\", expected https://; --allow-http",
            ],
        ),
        (
            document("http://idp.example", "http://idp.example/me"),
            None,
            &http,
            &[
                "expected https://, or http:// on loopback",
                "expected https://, or http:// on loopback",
            ],
        ),
        (
            document("https://u:s3cret@idp.example", "http://u:s3cret@idp.example"),
            None,
            &plain,
            &[
                "issuer: got a URL with more than that, expected host, port and path alone",
                "userinfo_endpoint: got another URL, expected https://",
            ],
        ),
        (document("https://idp.example?a", endpoint), None, &plain, &["host, port and path alone"]),
        (document("idp.example", endpoint), None, &plain, &["expected a URL with https://"]),
        (
            document("https://idp.example.", "https://idp.example.:443/me"),
            None,
            &plain,
            &[
                "issuer: got \"idp.example.\" with a dot at the end",
                "userinfo_endpoint: got \"idp.example.\" with a dot at the end",
            ],
        ),
        (
            document("https://i_dp.example", "https://idp..example/me"),
            None,
            &plain,
            &[
                "issuer: got \"i_dp.example\" with `_`",
                "userinfo_endpoint: got \"\" as a part of the host",
            ],
        ),
        (
            document("https://::1", "https://::1/me"),
            None,
            &plain,
            &[
                "issuer: got the IPv6 address ::1 without",
                "userinfo_endpoint: got the IPv6 address ::1",
            ],
        ),
        (
            document("https://login.example/{tenantid}/v2.0", endpoint),
            None,
            &plain,
            &["expected a URL without a placeholder in braces; give the issuer of your own tenant"],
        ),
        (
            document("https://idp.example/a|b", endpoint),
            None,
            &plain,
            &["expected a URL with a host"],
        ),
        (
            document("https://idp.example/a`b", endpoint),
            None,
            &plain,
            &["expected a URL with a host"],
        ),
        (
            document(issuer, "https://idp.example/a b"),
            None,
            &plain,
            &["userinfo_endpoint: invalid endpoint URI: got space"],
        ),
        (
            document(issuer, "https://u:s3cret@idp.example/me"),
            None,
            &plain,
            &["userinfo_endpoint: invalid endpoint URI: got"],
        ),
        (
            document(issuer, "https://idp.example"),
            None,
            &plain,
            &["userinfo_endpoint: invalid endpoint URI: got"],
        ),
    ] {
        let why = refused(&document, asked, options);
        assert_eq!(why.len(), said.len(), "{why:#?}");
        for (why, said) in why.iter().zip(said) {
            assert!(why.contains(said) && why.contains("; "), "{why}\nlacks\n{said}");
            assert!(!why.contains("s3cret"), "{why}");
        }
    }
    let why = files("<html>", None, &plain).unwrap_err();
    assert!(why[0].contains("got no JSON") && why[0].contains("not a page around it"), "{why:?}");

    // The filter would ask the second, and another reader of the document the first.
    let twice = r#"{"issuer": "https://idp.example", "userinfo_endpoint": "https://idp.example/me",
        "userinfo_endpoint": "https://other.example/me"}"#;
    let why = files(twice, None, &plain).unwrap_err();
    let said =
        "\"userinfo_endpoint\": got it more than once, expected it once; correct the document";
    assert_eq!(why, [said]);
}

/// A private authority may vouch for a name that no public one does; Istio and Envoy Gateway refuse it.
#[test]
fn underscore_needs_an_authority_of_its_own() {
    let document = json!({"issuer": "https://id_p", "userinfo_endpoint": "https://id_p/me"});
    let own = Options { ca: Some("/ca.pem".to_owned()), ..Options::default() };
    assert!(files(&document.to_string(), None, &own).is_ok());
    for platform in [Platform::Istio, Platform::EnvoyGateway] {
        let why = refused(&document, None, &on(platform, own.clone()));
        assert!(why[0].contains("with `_`") && why[1].contains("with `_`"), "{why:?}");
    }
}

/// What `check` would find in a file is told instead of written.
#[test]
fn findings_of_check_are_refused() {
    let options = Options { allow_http: true, ..Options::default() };
    let document = json!({"issuer": "http://[::1]:1", "userinfo_endpoint": "http://[::1]:1/me"});
    let [(name, text), _] =
        <[File; 2]>::try_from(files(&document.to_string(), None, &options).unwrap()).unwrap();
    let why = found(&(name.clone(), text.clone()), &Options::default());
    let said = "envoy.yaml would not pass `oidc-connector check`: endpoint-in-clear: ";
    assert!(why.len() == 1 && why[0].starts_with(said) && why[0].contains("; "), "{why:?}");
    let why = found(&(name, "a: [".to_owned()), &options);
    assert!(why.len() == 1 && why[0].contains("report this as a fault"), "{why:?}");
}

#[test]
fn plain_http_is_for_loopback_and_on_demand() {
    let options = Options { allow_http: true, ..Options::default() };
    let document = json!({
        "issuer": "http://127.0.0.1:8080",
        "userinfo_endpoint": "http://127.0.0.1:8080/me",
    });
    let (envoy, next) = made(&document.to_string(), &options);
    let cluster = yaml(&envoy)["static_resources"]["clusters"][1].take();
    assert_eq!(cluster.get("transport_socket"), None);
    assert!(next.contains("**without TLS**: for trials alone"), "{next}");
    for host in ["localhost", "[::1]:1", "127.1.2.3"] {
        assert_eq!(discovery::wrong_issuer(&format!("http://{host}/a"), &options), None, "{host}");
    }
    for host in ["localhost.example", "[::2]", "128.0.0.1", "127.0.0.1.example"] {
        assert!(discovery::wrong_issuer(&format!("http://{host}/a"), &options).is_some(), "{host}");
    }
}
