//! The commands of README.md work unchanged in a clean clone.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

use std::path::Path;
use std::process::Command;

#[test]
fn the_commands_work_as_they_stand() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let out = std::env::temp_dir().join(format!("oidc-readme-{}", std::process::id()));
    let mut ran = Vec::new();
    for line in readme.lines().filter_map(|line| line.strip_prefix("oidc-connector ")) {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(at) = words.iter().position(|word| *word == "moved") {
            // Nothing is written into the repository.
            words.splice(at..=at, [out.to_str().unwrap()]);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_oidc-connector"));
        let ended = command.args(&words).current_dir(&root).output().unwrap();
        assert!(ended.status.success(), "{line}: {ended:?}");
        ran.extend(words.first().map(|word| (*word).to_owned()));
    }
    let _ = std::fs::remove_dir_all(&out);
    assert_eq!(ran, ["check", "explain", "migrate"]);
}
