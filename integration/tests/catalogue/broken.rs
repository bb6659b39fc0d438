//! A deliberately broken build proves the harness: with one protection removed, rows must fail.
//!
//! The module is built with the feature `fault-injection`, which no shipped module has.

use std::collections::BTreeSet;
use std::path::PathBuf;

use wasmparser::{Parser, Payload};

use crate::row::Row;
use crate::run::{Subject, catalogue};

/// The variable that names the protection to remove.
pub const VARIABLE: &str = "OIDC_FAULT_INJECTION";

/// A text of the panic that a request can cause.
const MESSAGE: &str = "a request said ";

/// Rows of the catalogue whose inputs the protections handle, and one that simply passes.
const ROWS: [&str; 18] = [
    "1", "4a", "7", "8b", "12a", "25", "26", "33a", "35a", "40", "41b", "74a", "74c", "81", "111a",
    "113b", "114b", "121a",
];

pub fn module() -> PathBuf {
    let path = match std::env::var_os("OIDC_FAULT_INJECTION_WASM").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => integration::target_dir()
            .join("wasm32-wasip1/fault-injection/oidc_token_connector.wasm"),
    };
    assert!(
        path.is_file(),
        "the module with removable protections, {}, is missing: run `cargo xtask build \
         --fault-injection`, or set OIDC_FAULT_INJECTION_WASM",
        path.display()
    );
    path
}

fn rows() -> Vec<Row> {
    let mut rows = crate::every_row();
    rows.retain(|row| ROWS.contains(&row.number.as_str()));
    assert_eq!(rows.len(), ROWS.len(), "rows were renamed");
    rows
}

/// Rows that fail without this protection, each once; `-` for Envoy as a whole.
async fn failing(protection: &str) -> BTreeSet<String> {
    let environment = match protection {
        "" => Vec::new(),
        protection => vec![(VARIABLE.to_owned(), protection.to_owned())],
    };
    let subject = Subject { module: Some(module()), environment, ..Subject::default() };
    let failures = catalogue(&subject, rows()).await;
    if protection.is_empty() {
        for failure in &failures {
            println!("{failure}");
        }
    }
    failures.into_iter().map(|failure| failure.row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_removed_protection_makes_a_row_fail() {
    let _turn = crate::TURN.lock().await;
    assert_eq!(failing("").await, BTreeSet::new(), "with every protection");
    // Rows that must fail, because they need the protection.
    for (protection, expected) in [
        ("strip", vec!["26", "33a", "35a", "40"]),
        ("body_pause", vec!["74a", "74c"]),
        ("no_headers", vec!["121a"]),
        ("token_syntax", vec!["7", "8b", "12a"]),
        ("status", vec!["41b", "111a", "113b", "114b"]),
    ] {
        let failing = failing(protection).await;
        println!("without {protection}: rows {failing:?} fail");
        // A module in which everything fails would prove nothing.
        for row in ["1", "81"] {
            assert!(!failing.contains(row), "row {row} fails without {protection}");
        }
        for row in expected {
            assert!(failing.contains(row), "row {row} passes without {protection}");
        }
    }
}

fn read(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Envoy enters the VM for each callback that a module exports. What cargo alone has linked exports
/// all that the SDK has.
#[test]
fn the_modules_under_test_export_what_is_listed() {
    let list = std::fs::read_to_string(integration::root().join("src/shell/exports.txt")).unwrap();
    let listed: BTreeSet<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    for (module, command) in [
        (integration::module().unwrap(), "cargo xtask build"),
        (module(), "cargo xtask build --fault-injection"),
    ] {
        let bytes = read(module.clone());
        let payloads = Parser::new(0).parse_all(&bytes).map(Result::unwrap);
        let exports = payloads.filter_map(|payload| match payload {
            Payload::ExportSection(section) => Some(section),
            _ => None,
        });
        let exports: BTreeSet<&str> =
            exports.flatten().map(|export| export.unwrap().name).collect();
        assert_eq!(exports, listed, "{}: run `{command}`", module.display());
    }
}

#[test]
fn the_shipped_module_ignores_fault_injection() {
    let (broken, shipped) = (read(module()), read(integration::module().unwrap()));
    for word in [VARIABLE, MESSAGE] {
        let holds = |module: &[u8]| module.windows(word.len()).any(|part| part == word.as_bytes());
        assert!(holds(&broken), "the comparison by {word} proves nothing");
        assert!(!holds(&shipped), "{word} is in the shipped module");
    }
}
