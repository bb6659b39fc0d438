//! Configurations that several test files start from, and how they read an echo. It must hold no
//! test and no expectation.

use integration::Response;
pub(crate) use integration::merged;
use serde_json::{Value, json};

/// A configuration with one endpoint and one injected header, and these keys more.
pub(crate) fn one(more: Value) -> Value {
    let config = json!({
        "userinfo_endpoint": {"defaultURI": "http://idp.example/userinfo"},
        "inject_headers": {"X-User-Id": "$.sub"},
    });
    merged(with_clusters(config), more)
}

/// A configuration with three regions, each with a header map of its own, and these keys more.
pub(crate) fn regions(more: Value) -> Value {
    let config = json!({
        "userinfo_endpoint": {
            "regionCodeHeader": "X-Region",
            "regionCodeValue": {
                "FR": "http://fr.idp.example/fr/userinfo",
                "US": "http://us.idp.example:8443/userinfo?schema=openid&scope=a%20b",
                "DE": "https://de.idp.example/realms/de/userinfo",
            },
            "defaultURI": "http://idp.example/userinfo",
        },
        "inject_headers": {
            "FR": {"X-User-Id": "$.sub", "X-Roles": "$.roles[*]"},
            "US": {"X-User-Id": "$.uid", "X-Account-Number": "$.erpAccountNumber"},
            "DE": {"X-Unit-Id": "$.b2bUnitId"},
            "default": {"X-User-Id": "$.email", "X-User-Email": "$.email"},
        },
    });
    merged(with_clusters(config), more)
}

pub(crate) fn with_clusters(config: Value) -> Value {
    let clusters = json!({
        "idp.example": "idp_default",
        "fr.idp.example": "idp_fr",
        "us.idp.example:8443": "idp_us",
        "de.idp.example": "idp_de",
    });
    merged(config, json!({"clusters": clusters}))
}

/// The values of `names` at the upstream, in the order of `names`; several lines with one name stay
/// several.
pub(crate) fn upstream_saw(r: &Response, names: &[&str]) -> Vec<(String, String)> {
    let headers = r.upstream_headers();
    let all = names.iter().flat_map(|n| headers.all(n).into_iter().map(|v| ((*n).to_owned(), v)));
    all.collect()
}

pub(crate) fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}
