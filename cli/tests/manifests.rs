//! The manifests that the Helm chart renders, judged by `check` as its users run it: nothing is found, and
//! nothing is missing from their files that `check` would have to see.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may panic"
)]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod run;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use run::run_with_input;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The committed manifests, with an image as a release has it.
fn manifests() -> Vec<(String, String)> {
    let mut files = ["istio", "istio-routes", "envoy-gateway"]
        .map(|directory| root().join("deploy").join(directory))
        .to_vec();
    files.push(root().join("deploy/tests/rendered"));
    let files = files.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let files = files.map(|entry| entry.unwrap().path());
    let text = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.replace("registry.example", "images.example.com");
        (path.display().to_string(), text.replace(&"0".repeat(64), &"0123456789abcdef".repeat(4)))
    };
    files.map(text).collect()
}

#[test]
fn rendered_manifests_have_no_findings() {
    let all = manifests();
    assert_eq!(all.len(), 7);
    for (file, text) in all {
        let ran = run_with_input(&["check", "--format", "json", "-"], &text);
        let report: Value = serde_json::from_str(&ran.out)
            .unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err));
        let findings = report["findings"].as_array().unwrap();
        let code = |finding: &Value| finding["code"].as_str().unwrap().to_owned();
        let grave = findings.iter().filter(|finding| finding["severity"] != "note");
        let grave: Vec<&Value> = grave.collect();
        assert!(grave.is_empty() && ran.code == 0, "{file}: {grave:#?}");
        let notes: BTreeSet<String> = findings.iter().map(code).collect();
        // Routes are in other files, and the settings around are Istio's and Envoy Gateway's own kinds.
        for missing in ["cluster-not-seen", "guard-not-seen"] {
            assert!(!notes.contains(missing), "{file}: {findings:#?}");
        }
    }
}

/// What `kubectl apply -f` gets of a directory.
fn directory(name: &str) -> String {
    let files = fs::read_dir(root().join("deploy").join(name)).unwrap();
    let mut paths: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let texts: Vec<String> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    texts.join("\n---\n")
}

/// A directory is applied as a whole: of two instances that are on, the second finds no token.
#[test]
fn each_directory_has_one_active_instance() {
    let found = |text: &str| {
        let ran = run_with_input(&["check", "--format", "json", "-"], text);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let two = ["token-lost-before", "route-with-two-instances"];
        let two = findings.iter().any(|f| two.iter().any(|code| f["code"] == *code));
        (report["instances"].as_u64().unwrap(), two)
    };
    assert_eq!(found(&directory("istio")), (1, false));
    assert_eq!(found(&directory("envoy-gateway")), (1, false));
    // The second is off until a route switches it on.
    assert_eq!(found(&directory("istio-routes")), (2, false));
    let both = format!("{}\n---\n{}", directory("istio"), directory("istio-routes"));
    assert_eq!(found(&both), (3, true));
}
