//! The commands of README.md work unchanged in a clean clone, and its diagram names only outcomes
//! and sources of the code.

#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use oidc_token_connector::outcome::{Outcome, Source};

/// The document of the provider that the page calls `https://idp.example`.
const DISCOVERY: &str = "cli/src/init/tests/oidc-provider.json";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn commands_work_unchanged() {
    let out = std::env::temp_dir().join(format!("oidc-readme-{}", std::process::id()));
    let mut ran = Vec::new();
    for line in readme().lines().filter_map(|line| line.strip_prefix("oidc-connector ")) {
        // Nothing is written into the repository, and the provider of the page is not there.
        let line = line.replace("gateway", &format!("{}/gateway", out.display()));
        let line = line.replace(" moved", &format!(" {}/moved", out.display()));
        let line =
            line.replace("--issuer https://idp.example", &format!("--discovery {DISCOVERY}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_oidc-connector"));
        let ended = command.args(line.split_whitespace()).current_dir(root()).output().unwrap();
        assert!(ended.status.success(), "{line}: {ended:?}");
        let said = String::from_utf8(ended.stdout).unwrap();
        // The first request that a user sees is one that passes whole.
        assert!(!said.contains("left out"), "{line}: {said}");
        ran.extend(line.split_whitespace().next().map(str::to_owned));
    }
    let _ = std::fs::remove_dir_all(&out);
    assert_eq!(ran, ["check", "explain", "init", "check", "migrate"]);
}

/// The diagram has the outcomes that a token can lead to, and every source except that of a request
/// without a look-up: all in parentheses.
#[test]
fn diagram_names_outcomes_and_sources_of_the_code() {
    let readme = readme();
    let (_, diagram) = readme.split_once("```mermaid\nsequenceDiagram\n").expect("a diagram");
    let (diagram, _) = diagram.split_once("```").expect("its end");
    let in_parentheses = diagram.split('(').skip(1).filter_map(|text| text.split_once(')'));
    let named: BTreeSet<&str> = in_parentheses.flat_map(|(words, _)| words.split(", ")).collect();
    let outcomes = [
        Outcome::Pass,
        Outcome::NoCredentials,
        Outcome::Malformed,
        Outcome::InvalidToken,
        Outcome::Forbidden,
        Outcome::Unavailable,
    ];
    let sources = Source::ALL.into_iter().filter(|source| *source != Source::Filter);
    let expected = outcomes.map(Outcome::as_str).into_iter().chain(sources.map(Source::as_str));
    assert_eq!(named, expected.collect());
}
