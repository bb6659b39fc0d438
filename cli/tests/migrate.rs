//! The program as it is run: what `migrate` writes, `check` finds nothing wrong with but what the
//! report leaves to the operator; exit codes; `schema`.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A directory that is gone again when the test ends.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path =
            std::env::temp_dir().join(format!("oidc-connector-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_oidc-connector")).args(arguments).output().unwrap()
}

fn project(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)).unwrap()
}

/// The guide's example, from the page that shows it.
fn guide() -> String {
    let page = project("docs/migration.md");
    let (_, text) = page.split_once("```text\n").unwrap();
    text.split("```").next().unwrap().to_owned()
}

#[test]
fn check_findings_equal_the_reports_open_decisions() {
    let dir = Directory::new("check");
    let (text, out) = (dir.0.join("connector.txt"), dir.0.join("moved"));
    fs::write(&text, guide()).unwrap();
    let (text, out) = (text.to_str().unwrap(), out.to_str().unwrap());
    // The page's own command leaves nothing to warn of.
    let decided = format!("{out}-decided");
    let mut arguments = vec!["migrate", text, "--out", &decided, "--proxy-address", "192.0.2.77"];
    arguments.push("--require-subject");
    assert_eq!(program(&arguments).status.code(), Some(0));
    for file in ["envoy.yaml", "filter.json"] {
        let ended = program(&["check", &format!("{decided}/{file}")]);
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    }

    let ended = program(&["migrate", text, "--out", out, "--proxy-address", "192.0.2.77"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");

    let ended = program(&["check", &format!("{out}/envoy.yaml")]);
    let said = String::from_utf8(ended.stdout).unwrap();
    let (_, last) = said.trim_end().rsplit_once('\n').unwrap();
    assert_eq!(last, "not ok: 1 instance, 0 errors, 1 warning, 1 note", "{said}");
    let report = fs::read_to_string(format!("{out}/report.md")).unwrap();
    for (code, decision) in [
        ("subject-not-required", "require_subject"),
        ("unavailable-as-401", "userinfo_unavailable"),
    ] {
        assert!(said.contains(&format!("[{code}]")), "{said}");
        assert!(report.contains(&format!("- `{decision}")), "{report}");
    }
}

#[test]
fn exit_code_reports_incomplete_migration() {
    let dir = Directory::new("codes");
    let text = dir.0.join("connector.txt");
    let name = text.to_str().unwrap();
    for (content, code, printed) in [
        ("defaultURI: https://idp.example/u", 0, true),
        ("defaultURI: https://idp.example/u\nother: 1", 1, true),
        ("defaultURI: idp.example", 1, false),
        (
            "defaultURI: https://idp.example/u\nhttp_proxy_server: squid\nhttp_proxy_port: 3128",
            1,
            true,
        ),
    ] {
        fs::write(&text, content).unwrap();
        let ended = program(&["migrate", name]);
        assert_eq!(ended.status.code(), Some(code), "{ended:?}");
        assert_eq!(!ended.stdout.is_empty(), printed, "{ended:?}");
        assert!(ended.stderr.starts_with(b"# Migration report"), "{ended:?}");
    }
    // A user who does not open the report has to see it too.
    let out = dir.0.join("out");
    let ended = program(&["migrate", name, "--out", out.to_str().unwrap()]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.contains("; run this again with `--proxy-address` and the address of squid"),
        "{said}"
    );
    let help = String::from_utf8(program(&["migrate", "--help"]).stdout).unwrap();
    assert!(
        help.contains("Exit code: 0: all that the text says") && help.contains(", 2: wrong"),
        "{help}"
    );
    for wrong in [
        &["migrate"][..],
        &["migrate", "/no/such/file"],
        &["migrate", name, "--proxy-address", "a"],
    ] {
        assert_eq!(program(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn printed_schema_equals_committed_file() {
    let ended = program(&["schema"]);
    assert_eq!(String::from_utf8(ended.stdout).unwrap(), project("docs/config.schema.json"));
}
