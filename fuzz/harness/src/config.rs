//! Target: the filter's configuration. Input: its bytes, JSON or a binary Struct.

use oidc_token_connector::policy::{self, Endpoints, Policy, Problem};
use oidc_token_connector::provider::method::ValidationMethod;

/// Runs the target.
pub fn check(data: &[u8]) {
    match (policy::read(data), policy::read(data)) {
        (Ok(loaded), Ok(again)) => {
            assert_eq!(format!("{:?}", loaded.policy), format!("{:?}", again.policy));
            assert_eq!(loaded.faults, again.faults);
            loaded.faults.iter().for_each(is_one_line);
            is_sound(&loaded.policy);
        }
        (Err(problems), Err(again)) => {
            assert!(!problems.is_empty(), "refused without a problem");
            assert_eq!(problems, again);
            problems.iter().for_each(is_one_line);
        }
        _ => panic!("the same bytes were read in two ways"),
    }
}

fn is_one_line(problem: &Problem) {
    let text = problem.to_string();
    assert!(!problem.message.is_empty());
    assert!(!text.chars().any(char::is_control), "control character in {text:?}");
    let unseen = |c| matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(unseen), "turns or hides the line: {text:?}");
    assert!(text.len() <= 2048, "{} bytes of problem", text.len());
}

/// Properties that no later code checks again.
fn is_sound(policy: &Policy) {
    let graphic = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    let printable = |text: &str| text.bytes().all(|b| matches!(b, 0x20..=0x7E));
    assert!((1..=30_000).contains(&policy.call.timeout.as_millis()));
    is_method(&*policy.method);
    for (name, value) in &policy.call.headers {
        assert!(is_name(name) && printable(value), "{name:?}");
        assert!(!["host", "authorization"].contains(&name.as_str()));
    }
    assert!((1..=65_536).contains(&policy.max_token_bytes));
    assert!(printable(&policy.replies.realm));
    let own = [&policy.forward.region_header, &policy.forward.anonymous_header];
    for name in own.into_iter().flatten() {
        assert!(may_be_set(name) && policy.forward.strip.covers(name.as_bytes()), "{name:?}");
    }
    let Endpoints::Configured(table) = &policy.endpoints else { return };
    assert!(table.regions.len() <= 10);
    // Either the client or the token chooses, and never both.
    let by_issuer = table.unknown_issuer.is_some();
    assert!(!(by_issuer && table.region_header.is_some()));
    assert_eq!(table.region_header.is_some() || by_issuer, !table.regions.is_empty());
    assert!(table.regions.iter().all(|endpoint| endpoint.issuer.is_some() == by_issuer));
    if let Some(metadata) = &policy.metadata {
        assert!(metadata.path().starts_with("/.well-known/oauth-protected-resource"));
        let header =
            policy.replies.parameters.iter().find(|(name, _)| *name == "resource_metadata");
        assert_eq!(header.map(|(_, url)| url), Some(&metadata.url));
    }
    for (_, value) in &policy.replies.parameters {
        assert!(printable(value) && !value.contains(['"', '\\']), "splits a challenge: {value:?}");
    }
    for endpoint in table.regions.iter().chain(&table.default) {
        assert!(!endpoint.region.is_empty());
        is_method(&*endpoint.method);
        assert!((1..=5).contains(&endpoint.sites.len()));
        for site in &endpoint.sites {
            assert!(graphic(&site.authority) && graphic(&site.path), "{site:?}");
            assert!(!site.authority.contains(['/', '@', '?', '#', '\\']), "{site:?}");
            assert!(site.path.starts_with('/') && !site.path.contains('#'), "{site:?}");
            assert!(matches!(site.scheme, "http" | "https"));
            assert!(!site.cluster.is_empty() && !site.cluster.chars().any(char::is_control));
        }
        for (index, rule) in endpoint.rules.iter().enumerate() {
            assert!(may_be_set(&rule.name), "{:?}", rule.name);
            assert!(policy.forward.strip.covers(rule.name.as_bytes()), "{:?}", rule.name);
            assert!(endpoint.rules[..index].iter().all(|r| folded(&r.name) != folded(&rule.name)));
        }
    }
}

/// One of the two ways to validate a token; a secret shows in neither.
fn is_method(method: &dyn ValidationMethod) {
    match method.key_parts()[..] {
        ["userinfo", "GET" | "POST", ..] => {}
        ["introspection", id, how, digest, ..] => {
            assert!(!id.is_empty() && !id.chars().any(char::is_control));
            assert!(["client_secret_basic", "client_secret_post", "none"].contains(&how));
            assert_eq!(digest.len(), 64);
            assert!(!format!("{method:?}").contains(digest), "a digest of the secret is shown");
        }
        _ => panic!("{:?}", method.key_parts()),
    }
}

fn is_name(name: &str) -> bool {
    let tchar =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(tchar)
}

fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Not one of the names that would smuggle, reroute or impersonate.
fn may_be_set(name: &str) -> bool {
    const RESERVED: &[&str] = &[
        "host",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "connection",
        "upgrade",
        "keep-alive",
        "expect",
        "authorization",
        "cookie",
        "set-cookie",
        "forwarded",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-client-cert",
        "x-request-id",
    ];
    let folded = folded(name);
    is_name(name)
        && !RESERVED.contains(&folded.as_str())
        && !folded.starts_with("proxy-")
        && !folded.starts_with("x-envoy-")
}
