//! The client of the gateway: how it is written, presented and kept secret.

use super::*;
use crate::policy::{Loaded, read_in};

const ENDPOINT: &str = r#""introspection_endpoint": {"regionCodeHeader": "X-Region",
    "regionCodeValue": {"FR": "https://idp.example/fr"}, "defaultURI": ["https://idp.example/i"]}"#;

fn load(client: &str) -> Result<Loaded, Vec<String>> {
    let variable = |name: &str| match name {
        "SECRET" => Some("s3cret".to_owned()),
        "EMPTY" => Some(String::new()),
        "BROKEN" => Some("s3cret\n".to_owned()),
        _ => None,
    };
    let config = format!(r#"{{{ENDPOINT}, "introspection_client": {client}}}"#);
    let loaded = read_in(config.as_bytes(), Environment::Known(&variable));
    loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn refused(client: &str, expected: &[&str]) {
    assert_eq!(load(client).err(), Some(expected.iter().map(|s| (*s).to_owned()).collect()));
}

fn client(method: AuthMethod) -> Client {
    Client::new("gate way", method, "s:3+/ü")
}

/// RFC 6749 §2.3.1: each part form-encoded, then joined.
#[test]
fn every_method_presents_the_client_in_its_own_place() {
    let [basic, post, none] = [AuthMethod::Basic, AuthMethod::Post, AuthMethod::None].map(client);
    let decoded = STANDARD.decode(basic.authorization().unwrap().strip_prefix("Basic ").unwrap());
    assert_eq!(decoded.unwrap(), b"gate%20way:s%3A3%2B%2F%C3%BC");
    let identify = |client: &Client| {
        let mut body = "token=t".to_owned();
        client.identify(&mut body);
        (client.authorization().is_some(), body)
    };
    assert_eq!(identify(&basic), (true, "token=t".to_owned()));
    let form = "token=t&client_id=gate%20way&client_secret=s%3A3%2B%2F%C3%BC";
    assert_eq!(identify(&post), (false, form.to_owned()));
    assert_eq!(identify(&none), (false, "token=t&client_id=gate%20way".to_owned()));
}

#[test]
fn another_client_has_another_key() {
    let keys = [
        Client::new("a", AuthMethod::Basic, "s"),
        Client::new("b", AuthMethod::Basic, "s"),
        Client::new("a", AuthMethod::Post, "s"),
        Client::new("a", AuthMethod::Basic, "t"),
    ];
    let keys: std::collections::BTreeSet<_> = keys.iter().map(Client::key_parts).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|[_, _, digest]| digest.len() == 64));
}

#[test]
fn nothing_shows_the_secret() {
    let loaded = load(r#"{"client_id": "gateway", "client_secret_env": "SECRET"}"#).unwrap();
    let shown = format!("{loaded:?}");
    assert!(shown.contains("gateway") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn the_secret_is_in_the_environment() {
    load(r#"{"client_id": "gateway", "client_secret_env": "SECRET"}"#).unwrap();
    let place = "introspection_client.client_secret_env: the variable";
    let remedy = "the VM's environment, expected the secret: give it to the VM with \
                  vm_config.environment_variables (host_env_keys), and to Envoy's own process";
    refused(
        r#"{"client_id": "gateway", "client_secret_env": "ABSENT"}"#,
        &[&format!("{place} is not in {remedy}")],
    );
    refused(
        r#"{"client_id": "gateway", "client_secret_env": "EMPTY"}"#,
        &[&format!("{place} is empty in {remedy}")],
    );
    refused(
        r#"{"client_id": "gateway", "client_secret_env": "BROKEN"}"#,
        &[&format!(
            "{place} has a control character, such as a line break at its end, or more than \
             4096 bytes, expected the secret alone"
        )],
    );
    // A secret that was written in the place of its variable's name.
    for secret in ["hunter2", "F86D081884C7D659A2FEAA0C55AD015A", "JBSWY3DPEHPK3PXP"] {
        refused(
            &format!(r#"{{"client_id": "gateway", "client_secret_env": "{secret}"}}"#),
            &[&format!("{place} is not in {remedy}")],
        );
    }
    refused(
        r#"{"client_id": "gateway", "client_secret_env": "1-X"}"#,
        &[
            "introspection_client.client_secret_env: got no name of a variable, expected a letter or _, then \
           letters, digits and _, at most 128",
        ],
    );
}

#[test]
fn a_client_has_one_secret_or_none() {
    load(r#"{"client_id": "gateway", "auth_method": "none"}"#).unwrap();
    load(r#"{"client_id": "gateway", "auth_method": "client_secret_post", "client_secret": "s"}"#)
        .unwrap();
    refused(
        r#"{"client_id": "gateway"}"#,
        &["introspection_client.client_secret_env: missing, expected the name of the environment \
           variable with the secret"],
    );
    refused(
        r#"{"client_secret": "s"}"#,
        &["introspection_client.client_id: missing, expected text"],
    );
    refused(
        r#"{"client_id": "a", "client_secret": "s", "client_secret_env": "SECRET"}"#,
        &[
            "introspection_client.client_secret: got client_secret together with client_secret_env, \
           expected one of the two",
        ],
    );
    refused(
        r#"{"client_id": "a", "client_secret": "s", "auth_method": "hunter2"}"#,
        &[
            "introspection_client.auth_method: got another word, expected \"client_secret_basic\" or \
             \"client_secret_post\" or \"none\"",
        ],
    );
    refused(
        r#"{"client_id": "a", "client_secret": "s", "auth_method": "none"}"#,
        &[
            "introspection_client.client_secret: got a secret with auth_method \"none\", expected no \
           secret: remove it, or choose client_secret_basic or client_secret_post",
        ],
    );
    refused(
        r#"{"client_id": "", "client_secret": "s\u0000"}"#,
        &[
            "introspection_client.client_id: got empty text, expected at least one character",
            "introspection_client.client_secret: got control character U+0000 at 2, expected \
             no control characters",
        ],
    );
}

/// Otherwise a client could choose, by region or issuer, which provider gets the secret.
#[test]
fn one_client_is_for_one_provider() {
    let one = r#""introspection_client": {"client_id": "a", "client_secret": "s"}"#;
    let message = "introspection_client: got one client for 2 endpoints at different hosts, expected \
                   one for each, by region: a secret must not go to another provider";
    for endpoint in [
        r#"{"issuers": {"https://a": {"name": "a", "uri": "https://a.example/i"},
                        "https://b": {"name": "b", "uri": "https://b.example/i"}}}"#,
        r#"{"regionCodeHeader": "X-Region", "regionCodeValue": {"FR": "https://fr.example/i"},
            "defaultURI": "https://idp.example/i"}"#,
    ] {
        let config = format!(r#"{{"introspection_endpoint": {endpoint}, {one}}}"#);
        let problems = crate::policy::read(config.as_bytes()).unwrap_err();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(lines, [message]);
    }
    let sites = r#"{"defaultURI": ["https://a.example/i", "https://b.example/i"]}"#;
    let config = format!(r#"{{"introspection_endpoint": {sites}, {one}}}"#);
    assert!(crate::policy::read(config.as_bytes()).is_ok());
}

#[test]
fn every_endpoint_has_its_own_client() {
    let one = r#"{"client_id": "a", "client_secret": "s"}"#;
    load(&format!(r#"{{"FR": {one}, "default": {one}}}"#)).unwrap();
    refused(
        &format!(r#"{{"FR": {one}}}"#),
        &[
            "introspection_client: got no client for \"default\", expected one for each endpoint: a secret \
           must not go to another provider",
        ],
    );
    refused(
        &format!(r#"{{"FR": {one}, "default": {one}, "DE": {one}}}"#),
        &["introspection_client.DE: unknown region, expected one of \"FR\", \"default\""],
    );
}
