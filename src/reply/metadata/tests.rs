//! The metadata of a resource: who asks for it, and what is refused.

use super::*;
use crate::policy::{Policy, read as read_policy};
use crate::sim::{config, head};

const WHOLE: &str = r#""protected_resource": {
    "resource": "https://API.example.com/mcp", "authorization_servers": ["https://idp.example"],
    "scopes_supported": ["orders:read"], "resource_name": "Orders \"1\"",
    "resource_documentation": "https://docs.example/"}"#;

fn policy(members: &str) -> Policy {
    read_policy(config(members).as_bytes()).unwrap().policy
}

fn metadata(resource: &str) -> Metadata {
    let members = format!(
        r#""protected_resource": {{"resource": "{resource}",
                                   "authorization_servers": ["https://idp.example"]}}"#
    );
    policy(&members).metadata.unwrap()
}

fn answer(metadata: &Metadata, method: &str, authority: &str, path: &str) -> Option<LocalReply> {
    let pairs = [(":method", method), (":authority", authority), (":path", path)];
    metadata.answer(&head(&pairs))
}

#[test]
fn the_document_is_what_is_configured() {
    let metadata = policy(WHOLE).metadata.unwrap();
    let path = "/.well-known/oauth-protected-resource/mcp";
    let reply = answer(&metadata, "GET", "api.example.com", path).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        r#"{"resource":"https://API.example.com/mcp","authorization_servers":["https://idp.example"],"bearer_methods_supported":["header"],"scopes_supported":["orders:read"],"resource_name":"Orders \"1\"","resource_documentation":"https://docs.example/"}"#
    );
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("cache-control"), Some("max-age=3600"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(metadata.url, format!("https://API.example.com{path}"));
}

#[test]
fn every_method_has_its_reply() {
    let metadata = metadata("https://a.example/mcp");
    let path = "/.well-known/oauth-protected-resource/mcp";
    for (method, status) in
        [("GET", 200), ("HEAD", 200), ("OPTIONS", 204), ("POST", 405), ("get", 405), ("PUT", 405)]
    {
        let reply = answer(&metadata, method, "a.example", path).unwrap();
        assert_eq!(reply.status, status, "{method}");
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{method}");
        let allowed = reply.header("access-control-allow-headers");
        assert_eq!(allowed.is_some(), method == "OPTIONS", "{method}");
        assert_eq!(reply.header("allow").is_some(), status == 405, "{method}");
    }
}

/// Envoy would make an empty 200 of it, which a cache keeps for others.
#[test]
fn a_grpc_request_is_like_any_other() {
    let metadata = metadata("https://a.example/mcp");
    let request = [
        (":method", "GET"),
        (":authority", "a.example"),
        (":path", "/.well-known/oauth-protected-resource/mcp"),
    ];
    for (content_type, answers) in [
        ("application/grpc", false),
        ("application/grpc+proto", false),
        ("application/grpc-web", true),
        ("application/json", true),
    ] {
        let typed = [("content-type", content_type)];
        let reply = metadata.answer(&head(&[&request[..], &typed].concat()));
        assert_eq!(reply.is_some(), answers, "{content_type}");
    }
}

#[test]
fn only_its_own_host_and_path_are_answered() {
    let bare = "/.well-known/oauth-protected-resource";
    let slash = format!("{bare}/mcp/");
    let deep = format!("{bare}/mcp");
    for (resource, authority, path, answers) in [
        ("https://a.example/mcp", "a.example", &*deep, true),
        ("https://a.example/mcp", "A.Example:443", &deep, true),
        ("https://a.example:443/mcp", "a.example", &deep, true),
        ("https://a.example:8443/mcp", "a.example:8443", &deep, true),
        ("http://127.0.0.1:80/mcp", "127.0.0.1", &deep, true),
        ("http://localhost:8080/mcp", "localhost:8080", &deep, true),
        ("https://a.example/", "a.example", bare, true),
        ("https://a.example", "a.example", bare, true),
        ("https://a.example/mcp/", "a.example", &slash, true),
        ("https://a.example/mcp", "a.example", &format!("{deep}?x=1"), true),
        ("https://a.example/mcp", "a.example", &slash, false),
        ("https://a.example/mcp", "a.example", bare, false),
        ("https://a.example/mcp", "a.example", "/mcp", false),
        ("https://a.example/mcp", "a.example", &deep.replace("mcp", "%6dcp"), false),
        ("https://a.example/mcp", "b.example", &deep, false),
        ("https://a.example/mcp", "a.example:80", &deep, false),
        ("https://a.example/mcp", "a.example:8443", &deep, false),
        ("https://a.example:8443/mcp", "a.example", &deep, false),
        ("http://localhost/mcp", "localhost:443", &deep, false),
    ] {
        let reply = answer(&metadata(resource), "GET", authority, path);
        assert_eq!(reply.is_some(), answers, "{resource} {authority}{path}");
    }
}

#[test]
fn what_is_no_public_resource_is_refused() {
    for (resource, wrong) in [
        ("http://a.example/mcp", "got http://, expected https:// (http:// only on loopback)"),
        ("http://localhost.example/", "got http://, expected https:// (http:// only on loopback)"),
        ("https://a.example/mcp?x=1", "got a query, expected none"),
        ("https://a.example?x=1", "got a query, expected none"),
        ("https://a.example/#f", "got a fragment, expected only path and query"),
        ("https://u@a.example/", "got user-info before the host, expected only host and port"),
        ("a.example", "got no http:// or https:// at the start, expected an absolute URI"),
    ] {
        let members = format!(
            r#""protected_resource": {{"resource": "{resource}",
                                       "authorization_servers": ["https://idp.example"]}}"#
        );
        let problems = read_policy(config(&members).as_bytes()).unwrap_err();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(lines, [format!("protected_resource.resource: invalid URI: {wrong}")]);
    }
}
