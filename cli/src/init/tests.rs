//! Discovery documents and what becomes of them.

mod given;
mod methods;
mod next;
mod protections;
mod refused;

use std::fs;

use super::*;

const OIDC_PROVIDER: &str = include_str!("tests/oidc-provider.json");
const DJANGO: &str = include_str!("tests/django-oauth-toolkit.json");

fn yaml(text: &str) -> Json {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn yamls(text: &str) -> Vec<Json> {
    text.split("\n---\n").map(yaml).collect()
}

fn project(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

/// The manifest and the page.
fn made(document: &str, options: &Options) -> (String, String) {
    let made = files(document, None, options).unwrap_or_else(|why| panic!("{why:#?}"));
    let [(_, manifest), (name, next)] = made.try_into().expect("two files");
    assert_eq!(name, "NEXT.md");
    (manifest, next)
}

fn refused(document: &Json, issuer: Option<&str>, options: &Options) -> Vec<String> {
    files(&document.to_string(), issuer, options).unwrap_err()
}

fn introspecting() -> Options {
    Options { introspection: true, client_id: Some("gateway".to_owned()), ..Options::default() }
}

fn on(platform: Platform, options: Options) -> Options {
    let image = format!("images.example/oidc:1@sha256:{}", "a".repeat(64));
    let image = (platform != Platform::Envoy).then_some(image);
    Options { platform, image, ..options }
}

fn manager(bootstrap: &Json) -> &Json {
    &bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

/// The filter's configuration in an Envoy configuration, and its VM's.
fn filter(envoy: &str) -> (Json, Json) {
    let bootstrap = yaml(envoy);
    let config = &manager(&bootstrap)["http_filters"][0]["typed_config"]["config"];
    let text = config["configuration"]["value"].as_str().unwrap();
    (serde_json::from_str(text).unwrap(), config["vm_config"].clone())
}
