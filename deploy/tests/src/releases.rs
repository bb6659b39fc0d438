//! The changes that a release makes to the manifests, and that its workflow is valid.

use std::fs;
use std::process::Command;

use crate::files::{document, documents, root, text};

const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn pin(arguments: &[&str]) -> std::process::Output {
    let script = root().join("deploy/pin.sh");
    Command::new("bash").arg(script).args(arguments).output().expect("bash runs")
}

#[test]
fn release_sets_image_and_digest_everywhere() {
    let dir = std::env::temp_dir().join(format!("oidc-pinned-{}", std::process::id()));
    let image = "images.example.com/owner/oidc-token-connector:1.2.3";
    let ended = pin(&[image, DIGEST, dir.to_str().expect("a path in UTF-8")]);
    assert!(ended.status.success(), "{ended:?}");
    let mut names: Vec<String> = fs::read_dir(&dir)
        .expect("the script made it")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let pinned: Vec<String> =
        names.iter().map(|name| fs::read_to_string(dir.join(name)).expect("a file")).collect();
    fs::remove_dir_all(&dir).expect("it is ours");

    assert_eq!(names, ["envoy-gateway.yaml", "istio-routes.yaml", "istio.yaml"]);
    for (name, text) in names.iter().zip(&pinned) {
        assert!(!documents(name, text).is_empty());
        assert!(!text.contains("registry.example") && !text.contains(&"0".repeat(64)), "{name}");
        assert!(text.contains(image) && text.contains(DIGEST), "{name}");
    }
}

#[test]
fn invalid_digest_is_refused() {
    for arguments in [&["image", "latest", "x"][..], &["image", DIGEST], &["a b", DIGEST, "x"]] {
        let ended = pin(arguments);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&ended.stderr).contains("deploy/pin.sh"), "{ended:?}");
    }
}

#[test]
fn workflows_call_existing_commands() {
    for (workflow, calls) in [
        ("ci", &["bash .ci/run", "cargo deny --workspace check"][..]),
        ("fuzz", &["cargo xtask fuzz"]),
        (
            "release",
            &[
                "bash .ci/run",
                "cargo xtask release --only cli --target",
                "cargo xtask release --only module --image",
                "skopeo copy --preserve-digests",
            ],
        ),
    ] {
        let file = format!(".github/workflows/{workflow}.yml");
        let jobs = document(&file)["jobs"].clone();
        assert!(jobs.as_object().is_some_and(|jobs| !jobs.is_empty()), "{file}");
        let steps = jobs.to_string();
        for call in calls {
            assert!(steps.contains(call), "{file} does not call {call}");
        }
    }
    for used in [".ci/run", "deploy/pin.sh", "deny.toml"] {
        assert!(!text(used).is_empty());
    }
}
