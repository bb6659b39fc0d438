//! Each rule bites, and only where it should.

use super::*;

/// The findings in one file, as `line: text`.
fn found(path: &str, text: &str) -> Vec<String> {
    let files = [File { path: path.into(), text: text.into() }];
    findings(&files).iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
}

#[track_caller]
fn bites(path: &str, line: &str, text: &str) {
    let found = found(path, &format!("//! A module.\n{line}\n"));
    assert!(
        found.len() == 1 && found[0].starts_with(&format!("2: `{text}` ")),
        "{path}, {line}: {found:?}"
    );
}

#[track_caller]
fn spares(path: &str, line: &str) {
    assert_eq!(found(path, &format!("//! A module.\n{line}\n")), [""; 0], "{path}, {line}");
}

#[test]
fn machine_paths_are_found() {
    for dir in [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")] {
        bites("README.md", &format!("see {dir}notes"), dir);
        bites("envoy/envoy.yaml", &format!("filename: \"{dir}module.wasm\""), dir);
        bites("src/gate.rs", &format!("// measured in {dir}notes"), dir);
        bites("docs/a.md", &format!("file://{dir}x"), dir);
        spares("README.md", &format!("src/shell{dir}http.rs"));
    }
}

#[test]
fn skipped_tests() {
    let attribute = concat!("#[ig", "nore");
    bites("src/gate.rs", &format!("    {attribute}]"), attribute);
    bites("integration/tests/a.rs", &format!("{attribute} = \"slow\"]"), attribute);
    let fence = concat!("```ig", "nore");
    bites("src/gate.rs", &format!("/// {fence}"), fence);
    spares("src/gate.rs", "/// ```text");
    spares("CONTRIBUTING.md", &format!("No `{attribute}]`."));
}

#[test]
fn unfinished_code() {
    for text in [concat!("todo", "!("), concat!("unimplemented", "!(")] {
        bites("src/gate.rs", &format!("    {text})"), text);
        bites("xtask/src/main.rs", &format!("fn f() {{ {text}\"later\") }}"), text);
        spares("README.md", &format!("{text})"));
    }
    spares("src/gate.rs", concat!("not_a_todo", "!()"));
}

#[test]
fn waiting_for_time_to_pass() {
    let (thread, tokio) = (concat!("thread::", "sleep"), concat!("time::", "sleep"));
    bites("integration/src/lib.rs", &format!("std::{thread}(POLL);"), thread);
    bites("integration/src/lib.rs", &format!("tokio::{tokio}(POLL).await;"), tokio);
    bites("integration/src/lib.rs", &format!("use tokio::{tokio}_until;"), tokio);
    spares("integration/src/lib.rs", &format!("// {thread} would be too slow here"));
}

#[test]
fn the_host_from_the_core() {
    for text in
        [concat!("proxy", "_wasm"), concat!("extern ", "\"C\""), concat!("wasm_import_", "module")]
    {
        let line = format!("    {text} {{");
        bites("src/gate.rs", &line, text);
        bites("src/shells.rs", &line, text);
        bites("src/lib.rs", &line, text);
        spares("src/shell.rs", &line);
        spares("src/shell/http.rs", &line);
        spares("bench/do-nothing/src/lib.rs", &line);
        spares("src/lib.rs", &format!("// Only the shell says `{text}`."));
    }
}

#[test]
fn modules_without_documentation_are_found() {
    let what = format!("1: {NO_MODULE_DOC}");
    assert_eq!(found("src/gate.rs", "use std::fmt;\n//! Late.\n"), [what.as_str()]);
    assert_eq!(found("src/gate/cache.rs", ""), [what.as_str()]);
    assert_eq!(found("src/gate.rs", "//! Decides.\n"), [""; 0]);
    assert_eq!(found("integration/tests/smoke.rs", "use std::fmt;\n"), [""; 0]);
}

#[test]
fn file_list_has_sources_and_no_build_output() {
    let files = files(&Workspace::find().unwrap()).unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
    assert!(paths.contains(&"xtask/src/tidy/tests.rs"), "{paths:?}");
    assert!(!paths.iter().any(|path| path.starts_with("target/")), "{paths:?}");
}
