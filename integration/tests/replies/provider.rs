//! The provider's own errors: the nine scenarios to the letter, which of its texts are relayed, and
//! the result of each status with `provider_errors: "map"`.

use super::*;

#[tokio::test]
async fn the_nine_scenarios_of_provider_errors() {
    let gw = gateway().await;
    let json_utf8 = ("content-type", "application/json;charset=UTF-8");
    let (e400, e401, e403) = (standard(400), standard(401), standard(403));
    let s5 = r#"{"error":"insufficient_scope","for":"Rosenlöf"}"#;
    let cases = [
        ("1", "/header", "s1", 401, vec![TEXT, EXPIRED_CHALLENGE, ERR_401], EXPIRED),
        (
            "1 with the error set",
            "/header-set",
            "s1",
            401,
            vec![TEXT, EXPIRED_CHALLENGE, ERR_401],
            EXPIRED,
        ),
        ("2", "/header", "s2", 403, vec![TEXT, SCOPE_CHALLENGE], SCOPE),
        (
            "3",
            "/payload-at",
            "s3",
            401,
            vec![TEXT, INVALID_TOKEN, ERR_401],
            "The access token expired",
        ),
        ("4, absent", "/header-unnamed", "s1", 401, vec![TEXT, EXPIRED_CHALLENGE, ERR_401], &e401),
        ("4, empty", "/header-empty", "s1", 401, vec![TEXT, EXPIRED_CHALLENGE, ERR_401], &e401),
        ("5, absent", "/payload", "s5", 403, vec![json_utf8, INSUFFICIENT], s5),
        ("5, empty", "/payload-empty", "s5", 403, vec![json_utf8, INSUFFICIENT], s5),
        ("6, unknown", "/nowhere", "s6", 400, vec![TEXT], &e400),
        ("6, empty", "/nowhere-empty", "s6", 400, vec![TEXT], &e400),
        ("6, absent", "/u503", "s6", 400, vec![TEXT], &e400),
        (
            "6, with one of the three codes",
            "/nowhere",
            "s6-code",
            400,
            vec![TEXT, INVALID_REQUEST],
            &e400,
        ),
        ("7", "/header-other", "s2", 403, vec![TEXT, SCOPE_CHALLENGE], &e403),
        ("8", "/payload-miss", "s3", 401, vec![TEXT, INVALID_TOKEN, ERR_401], &e401),
        ("9", "/payload", "s9", 500, vec![TEXT], &standard(500)),
        ("9, with a path", "/payload-at", "s9", 500, vec![TEXT], &standard(500)),
    ];
    for (number, path, token, status, headers, body) in cases {
        let r = both(gw.get(path).bearer(token)).await;
        let what = format!("scenario {number}");
        assert_reply(&r, status, &[headers, vec![NOSNIFF]].concat(), body, &what);
    }
    gw.upstream.assert_untouched();
    gw.envoy.assert_no_vm_restart().await;
}

#[tokio::test]
async fn provider_429_and_5xx_are_relayed_without_challenge() {
    let gw = gateway().await;
    let retry = |value| ("retry-after", value);
    for (path, token, status, more, body) in [
        ("/payload", BUSY, 429, vec![retry("120")], "slow down".to_owned()),
        ("/nowhere", BUSY, 429, vec![retry("120")], standard(429)),
        ("/payload", "limited", 429, vec![], "slow down".to_owned()),
        ("/nowhere", "limited-date", 429, vec![retry(PAST)], standard(429)),
        ("/nowhere", "limited-odd", 429, vec![], standard(429)),
        ("/u503-set", "resting", 503, vec![retry(PAST)], standard(503)),
        ("/nowhere", "broken", 500, vec![], standard(500)),
        ("/u503-set", "s502", 502, vec![], standard(502)),
        ("/u503-set", "s503", 503, vec![], standard(503)),
        ("/header", "s504", 504, vec![], EXPIRED.to_owned()),
        ("/nowhere", "s599", 599, vec![], standard(599)),
        ("/nowhere", "s404", 404, vec![], standard(404)),
        ("/nowhere", "s410", 410, vec![], standard(410)),
        ("/u503-set", "s405", 405, vec![], standard(405)),
        ("/u503-set", "s408", 408, vec![], standard(408)),
    ] {
        let r = both_of([(); 2].map(|()| asking(gw.get(path), token))).await;
        assert_reply(&r, status, &[vec![TEXT, NOSNIFF], more].concat(), &body, token);
    }
}

#[tokio::test]
async fn only_safe_provider_text_is_relayed() {
    let gw = gateway().await;
    let html = "<script>1</script>";
    let at_8k = "n".repeat(8 << 10);
    let (e401, e403) = (standard(401), standard(403));
    let bearer = |said: &str| Some(format!("Bearer realm=\"api\", {said}"));
    let invalid = |more: &str| bearer(&format!("error=\"invalid_token\"{more}"));
    for (path, token, status, challenge, body) in [
        ("/nowhere", "bare-401", 401, invalid(""), e401.as_str()),
        ("/nowhere", "bare-403", 403, None, &e403),
        ("/nowhere", "teapot", 401, invalid(r#", error_description="brew""#), &e401),
        ("/nowhere", "evil", 401, invalid(""), &e401),
        ("/nowhere", "schemes", 401, invalid(r#", scope="travel""#), &e401),
        (
            "/nowhere",
            "login",
            401,
            bearer(&LOGIN.replace("\n", "")["Bearer ".len()..].replace("=300", "=\"300\"")),
            &e401,
        ),
        (
            "/nowhere",
            "scope-401",
            401,
            invalid(r#", error_description="Needs the scope travel""#),
            &e401,
        ),
        ("/nowhere", "firewall", 403, None, &e403),
        ("/payload-miss", "html-json", 403, bearer(r#"error="insufficient_scope""#), "Not yours"),
        ("/payload", "zipped", 403, None, &e403),
        // Never as HTML: a page of the provider must not run under the gateway's name.
        ("/payload", "html", 403, None, html),
        ("/payload", "untyped", 403, None, "no\tno\r\nno"),
        ("/payload", "control", 403, None, &e403),
        ("/payload", "not-utf8", 403, None, &e403),
        ("/payload", "at-8k", 403, None, &at_8k),
        ("/payload", "over-8k", 403, None, &e403),
        ("/payload", "over-max", 403, None, &e403),
    ] {
        let r = both(gw.get(path).bearer(token)).await;
        let mut headers = vec![TEXT, NOSNIFF];
        headers.extend(challenge.as_ref().map(|value| ("www-authenticate", value.as_str())));
        headers.extend((status == 401).then_some(ERR_401));
        assert_reply(&r, status, &headers, body, token);
    }
    gw.envoy.assert_no_vm_restart().await;
}

/// Under `map` a client learns what the provider's answer means here: it never called the provider.
/// The error set does not replace that.
#[tokio::test]
async fn mapped_provider_error_has_the_clients_status() {
    let gw = gateway().await;
    let retry = |value| ("retry-after", value);
    let refused = |challenge| vec![JSON, challenge, ERR_401];
    let acr = LOGIN.replace('\n', "").replace("=300", "=\"300\"");
    let acr = format!("Bearer realm=\"api\", {}", &acr["Bearer ".len()..]);
    let login = ("www-authenticate", acr.as_str());
    let unavailable = |after| vec![JSON, retry(after)];
    for (token, status, headers, body) in [
        // About the token, whatever the provider's status.
        ("s1", 401, refused(EXPIRED_CHALLENGE), NO_SUBJECT),
        ("s3", 401, refused(INVALID_TOKEN), NO_SUBJECT),
        ("bare-401", 401, refused(INVALID_TOKEN), NO_SUBJECT),
        ("s400-token", 401, refused(EXPIRED_CHALLENGE), NO_SUBJECT),
        ("s403-token", 401, refused(EXPIRED_CHALLENGE), NO_SUBJECT),
        ("login", 401, refused(login), NO_SUBJECT),
        ("s403-login", 401, refused(login), NO_SUBJECT),
        ("s2", 403, vec![JSON, SCOPE_CHALLENGE], NO_SCOPE),
        ("s400-scope", 403, vec![JSON, SCOPE_CHALLENGE], NO_SCOPE),
        // A no without a reason.
        ("bare-403", 403, vec![JSON], DENIED),
        ("firewall", 403, vec![JSON], DENIED),
        ("s404", 403, vec![JSON], DENIED),
        ("s404-token", 403, vec![JSON], DENIED),
        ("s410", 403, vec![JSON], DENIED),
        // An error in the gateway's call is not the client's.
        ("s6", 503, unavailable("5"), NO_ANSWER),
        ("s6-code", 503, unavailable("5"), NO_ANSWER),
        ("s405", 503, unavailable("5"), NO_ANSWER),
        ("s408", 503, unavailable("5"), NO_ANSWER),
        ("s409", 503, unavailable("5"), NO_ANSWER),
        ("s421", 503, unavailable("5"), NO_ANSWER),
        // Nor is how the provider does; when to come again, is.
        (BUSY, 503, unavailable("120"), NO_ANSWER),
        ("limited", 503, unavailable("5"), NO_ANSWER),
        ("limited-date", 503, unavailable(PAST), NO_ANSWER),
        ("limited-odd", 503, unavailable("5"), NO_ANSWER),
        ("resting", 503, unavailable(PAST), NO_ANSWER),
        ("broken", 503, unavailable("5"), NO_ANSWER),
        ("s9", 503, unavailable("5"), NO_ANSWER),
        ("s502", 503, unavailable("5"), NO_ANSWER),
        ("s503", 503, unavailable("5"), NO_ANSWER),
        ("s504", 503, unavailable("5"), NO_ANSWER),
        ("s599", 503, unavailable("5"), NO_ANSWER),
        // No error of the provider's: as without `map`.
        ("reset", 503, unavailable("5"), NO_ANSWER),
        ("no-content", 503, unavailable("5"), NO_ANSWER),
        ("page", 502, vec![JSON], NO_ANSWER),
    ] {
        let r = both_of([(); 2].map(|()| asking(gw.get("/map"), token))).await;
        assert_reply(&r, status, &headers, body, token);
    }
    gw.upstream.assert_untouched();
    gw.envoy.assert_no_vm_restart().await;
}

/// The text goes with a refusal of the token, and with nothing else.
#[tokio::test]
async fn mapped_refusal_keeps_the_configured_text() {
    let gw = gateway().await;
    let unavailable = vec![JSON, ("retry-after", "5")];
    let json_utf8 = ("content-type", "application/json;charset=UTF-8");
    let s5 = r#"{"error":"insufficient_scope","for":"Rosenlöf"}"#;
    for (path, token, status, headers, body) in [
        ("/map-header", "s1", 401, vec![TEXT, EXPIRED_CHALLENGE, ERR_401, NOSNIFF], EXPIRED),
        (
            "/map-header",
            "s400-token",
            401,
            vec![TEXT, EXPIRED_CHALLENGE, ERR_401, NOSNIFF],
            EXPIRED,
        ),
        ("/map-header", "s2", 403, vec![TEXT, SCOPE_CHALLENGE, NOSNIFF], SCOPE),
        ("/map-payload", "s5", 403, vec![json_utf8, INSUFFICIENT, NOSNIFF], s5),
        ("/map-payload", "html", 403, vec![JSON], DENIED),
        ("/map-header", "s410", 403, vec![JSON], DENIED),
        ("/map-header", "s504", 503, unavailable.clone(), NO_ANSWER),
        ("/map-payload", "s6", 503, unavailable, NO_ANSWER),
    ] {
        let r = both(gw.get(path).bearer(token)).await;
        assert_reply(&r, status, &headers, body, &format!("{path} {token}"));
    }
}
