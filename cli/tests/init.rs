//! `oidc-connector init`, run as its users run it: `check` finds nothing in what it writes, nothing is
//! overwritten, and each refusal names the remedy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

mod run;

use std::fs;
use std::path::{Path, PathBuf};

use run::{Ran, run, run_with_input};
use serde_json::{Value, json};

/// The documents of the two real providers, as `integration/tests/provider/discovery.rs` gets them.
const DOCUMENTS: [&str; 2] = ["oidc-provider", "django-oauth-toolkit"];

const IMAGE: &str = "images.example/oidc-token-connector:0.1.0@sha256:\
                     6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";

fn document(name: &str) -> String {
    let path = format!("src/init/tests/{name}.json");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().unwrap().to_owned()
}

/// A directory that is gone again when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("oidc-init-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }

    fn join(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `init` on the first document with these options.
fn init(output: &str, more: &[&str]) -> Ran {
    let document = document(DOCUMENTS[0]);
    run(&[&["init", "--discovery", &document, "--output", output], more].concat())
}

/// The route for the provider's cluster is kept from requests as the chart's is, which runs on Envoy.
#[test]
fn route_of_the_cluster_takes_no_request() {
    let dir = Directory::new("never");
    let output = dir.join("gateway");
    let ran = init(&output, &["--platform", "envoy-gateway", "--image", IMAGE]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let expression = |path: PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let (_, behind) = text.split_once("name: x-never").unwrap();
        behind.lines().nth(1).unwrap().trim().to_owned()
    };
    let written = expression(Path::new(&output).join("envoy-gateway.yaml"));
    assert_eq!(written, expression(root.join("deploy/envoy-gateway/policy.yaml")));
    assert!(written.starts_with("value: "), "{written}");
}

/// A provider whose tokens its own UserInfo endpoint refuses is named where nobody can miss it.
#[test]
fn providers_that_take_other_tokens_are_named_at_once() {
    let dir = Directory::new("named");
    let document = dir.join("document.json");
    for (name, userinfo, noted) in [
        ("entra", "https://graph.microsoft.com/oidc/userinfo", Some("note: **Microsoft Entra:**")),
        ("google", "https://openidconnect.googleapis.com/v1/userinfo", Some("note: **Google:**")),
        ("other", "https://idp.example/userinfo", None),
    ] {
        let text = json!({"issuer": "https://idp.example", "userinfo_endpoint": userinfo});
        fs::write(&document, text.to_string()).unwrap();
        let output = dir.join(name);
        let ran = run(&["init", "--discovery", &document, "--output", &output]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        match noted {
            Some(noted) => assert!(ran.err.contains(noted), "{}", ran.err),
            None => assert_eq!(ran.err, ""),
        }
    }
}

const PLATFORMS: [(&str, &str); 3] =
    [("envoy", "envoy.yaml"), ("istio", "istio.yaml"), ("envoy-gateway", "envoy-gateway.yaml")];

#[test]
fn check_finds_nothing_in_what_is_written() {
    let dir = Directory::new("check");
    let introspection = [
        "--introspection",
        "--introspection-endpoint",
        "https://idp.example/introspect",
        "--client-id",
        "gateway",
    ];
    let methods: [&[&str]; 3] = [&[], &introspection, &["--audience", "https://api.example"]];
    for name in DOCUMENTS {
        for (platform, file) in PLATFORMS {
            for (number, method) in methods.iter().enumerate() {
                let output = dir.join(&format!("{name}-{platform}-{number}"));
                let document = document(name);
                let mut arguments = vec![
                    "init",
                    "--discovery",
                    &document,
                    "--output",
                    &output,
                    "--platform",
                    platform,
                ];
                arguments.extend_from_slice(method);
                if platform != "envoy" {
                    arguments.extend(["--image", IMAGE]);
                }
                let ran = run(&arguments);
                assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
                let written: Vec<String> = [file, "NEXT.md"]
                    .map(|file| format!("{output}/{file}"))
                    .into_iter()
                    .chain([format!("Read {output}/NEXT.md next.")])
                    .collect();
                assert_eq!(ran.out.lines().collect::<Vec<_>>(), written);

                let ran = run(&["check", "--format", "json", &format!("{output}/{file}")]);
                let report: Value = serde_json::from_str(&ran.out).unwrap();
                let found = (&report["errors"], &report["warnings"], &report["instances"]);
                assert_eq!(found, (&json!(0), &json!(0), &json!(1)), "{arguments:?} {}", ran.out);
                assert_eq!(ran.code, 0);
                check_as_the_page_says(&output);
            }
        }
    }
}

/// The page's own command finds nothing but what its reader decides.
fn check_as_the_page_says(output: &str) {
    let page = fs::read_to_string(format!("{output}/NEXT.md")).unwrap();
    let mut commands = page.lines().filter_map(|line| line.trim().strip_prefix("oidc-connector "));
    let command = commands.next().expect("a command");
    let (options, file) = command.rsplit_once(' ').unwrap();
    let file = format!("{output}/{file}");
    let arguments: Vec<&str> = options.split(' ').chain([file.as_str()]).collect();
    let ran = run(&arguments);
    assert!(ran.code == 0 && ran.out.contains("ok: 1 instance, "), "{command}: {}", ran.out);
    // What the page's reader decides.
    let decisions = ["audience-not-required", "scope-not-required", "rule-needs-jwt"]
        .map(|code| format!("note[{code}]"));
    let mut notes = ran.out.lines().filter(|line| line.contains("note["));
    assert!(
        notes.all(|note| decisions.iter().any(|code| note.contains(code.as_str()))),
        "{}",
        ran.out
    );
}

#[test]
fn trial_without_tls_is_checked_as_the_page_says() {
    let dir = Directory::new("http");
    let output = dir.join("out");
    let document =
        json!({"issuer": "http://localhost:1", "userinfo_endpoint": "http://localhost:1/me"});
    let arguments = ["init", "--discovery", "-", "--allow-http", "--output", &output];
    let ran = run_with_input(&arguments, &document.to_string());
    assert_eq!(ran.code, 0, "{}", ran.err);
    check_as_the_page_says(&output);
}

#[test]
fn existing_files_stay_as_they_are() {
    let dir = Directory::new("existing");
    let output = dir.join("out");
    assert_eq!(init(&output, &[]).code, 0);
    fs::remove_file(format!("{output}/NEXT.md")).unwrap();
    fs::write(format!("{output}/envoy.yaml"), "mine").unwrap();
    let ran = init(&output, &[]);
    assert_eq!(ran.code, 2);
    let said = "envoy.yaml: already exists; remove it, or choose another directory\n";
    assert!(ran.err.ends_with(said), "{}", ran.err);
    assert_eq!(fs::read_to_string(format!("{output}/envoy.yaml")).unwrap(), "mine");
    assert!(!Path::new(&format!("{output}/NEXT.md")).exists());
}

/// Envoy may be started in another directory than `init`.
#[test]
fn paths_are_written_as_absolute_ones() {
    let dir = Directory::new("paths");
    let output = dir.join("out");
    let here = std::env::current_dir().unwrap();
    let ca = dir.join("ca.pem");
    fs::write(&ca, "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
    let ca =
        format!("{}{}", "../".repeat(here.components().count() - 1), ca.trim_start_matches('/'));
    let ran = init(&output, &["--module", "a/b.wasm", "--ca", &ca]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let written = fs::read_to_string(format!("{output}/envoy.yaml")).unwrap();
    for file in ["a/b.wasm", &ca] {
        let path = here.join(file).display().to_string();
        assert!(written.contains(&path), "{path}\n{written}");
    }
}

#[test]
fn document_comes_from_standard_input_too() {
    let dir = Directory::new("stdin");
    let text = fs::read_to_string(document(DOCUMENTS[1])).unwrap();
    let arguments = ["init", "--discovery", "-", "--output", &dir.join("out")];
    let ran = run_with_input(&arguments, &format!("\u{FEFF}{text}"));
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn wrong_usage_is_told_before_anything_is_read() {
    let dir = Directory::new("usage");
    let output = dir.join("out");
    for (more, said) in [
        (&["--platform", "istio"][..], "got no --image, expected REGISTRY/NAME:TAG@sha256:"),
        (&["--image", IMAGE], "got --image, expected it not with --platform envoy: leave it out"),
        (
            &["--platform", "istio", "--image", IMAGE, "--backend", "a:1"],
            "got --backend, expected it only with --platform envoy: leave it out",
        ),
        (
            &["--platform", "envoy-gateway", "--image", IMAGE, "--gateway", "My Gateway"],
            "--gateway: got \"My Gateway\", expected a-z, 0-9 and -",
        ),
        (&["--backend", "api"], "--backend: got \"api\", expected HOST:PORT"),
        (
            &["--module", ""],
            "--module: got \"\", expected the path of oidc_token_connector.wasm; correct it",
        ),
        (&["--module", "/"], "--module: got the directory /, expected the path of"),
        (&["--ca", ""], "--ca: got \"\", expected the path of a PEM file; correct it"),
        (&["--ca", "/no/such.pem"], "--ca: /no/such.pem: cannot be read: "),
        (
            &["--ca", "Cargo.toml"],
            "--ca: Cargo.toml: got no certificate, expected authorities as PEM",
        ),
        (
            &["--platform", "istio", "--image", IMAGE, "--ca", "ca.pem"],
            "--ca: got \"ca.pem\", expected a path from / on; give the file's path in the gateway's pod",
        ),
        (
            &[
                "--platform",
                "istio",
                "--image",
                "registry.example/oidc:1@sha256:\
                6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
            ],
            "the placeholder of an example for a registry, expected REGISTRY/NAME:TAG@sha256:",
        ),
        (
            &["--introspection-endpoint", "https://idp.example/i"],
            "the following required arguments were not provided",
        ),
    ] {
        let ran = init(&output, more);
        assert_eq!(ran.code, 2, "{more:?} {}", ran.err);
        assert!(ran.err.contains(said), "{more:?} {}", ran.err);
    }
    assert_eq!(run(&["init", "--output", &output]).code, 2);
    let missing = run(&["init", "--discovery", "/no/such/file", "--output", &output]);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("/no/such/file: cannot be read"), "{}", missing.err);
    let directory = run(&["init", "--discovery", "/", "--output", &output]);
    let said = "oidc-connector: /: is a directory, expected a file; give a file in it\n";
    assert_eq!((directory.code, directory.err.as_str()), (2, said));
    let file = dir.join("file");
    fs::write(&file, "mine").unwrap();
    let said =
        format!("oidc-connector: {file}: is a file, expected a directory; give another name\n");
    let on_file = init(&file, &[]);
    assert_eq!((on_file.code, on_file.err), (2, said));
    // Not over a network, and not from elsewhere by plain HTTP.
    let http = run(&["init", "--issuer", "http://idp.example", "--output", &output]);
    let said = "issuer: got \"http://idp.example\", expected https://; --allow-http";
    assert!(http.code == 2 && http.err.contains(said), "{}", http.err);
    assert!(!Path::new(&output).exists());
}

#[test]
fn document_without_a_safe_configuration_is_exit_code_1() {
    let dir = Directory::new("refused");
    let output = dir.join("out");
    let ran = init(&output, &["--issuer", "https://other.example"]);
    assert_eq!(ran.code, 1);
    let said = "oidc-connector: issuer: got \"https://idp.example\", expected \
                \"https://other.example\", which --issuer says";
    assert!(ran.err.starts_with(said), "{}", ran.err);
    assert!(!Path::new(&output).exists());
}
