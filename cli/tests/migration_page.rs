//! The migration page shows what happens: each of its texts is migrated, and gives what follows it.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by a panic"
)]

use std::fs;
use std::path::Path;

use cli::migrate::{Options, migrate};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migration.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks of a page: language and text.
fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.to_owned(), String::new())),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some((language, text))) => open = Some((language, format!("{text}{line}\n"))),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Each text of the page gives the results that follow it, to the letter.
#[test]
fn each_example_gives_the_results_below_it() {
    // As the page's command has it, but for the address, whose absence the page shows.
    let options = Options { require_subject: true, ..Options::default() };
    assert!(page().contains(" --proxy-address 192.0.2.77 --require-subject\n"));
    let mut last = None;
    let (mut texts, mut results) = (0, 0);
    for (language, block) in blocks(&page()) {
        if language == "text" {
            last = Some(migrate(&block, &options));
            texts += 1;
            continue;
        }
        if language == "sh" {
            continue;
        }
        let migration = last.as_ref().unwrap_or_else(|| panic!("no text before {block}"));
        results += 1;
        match language.as_str() {
            "json" => assert_eq!(migration.result.as_ref().unwrap().filter, block),
            "yaml" => {
                let clusters = &migration.result.as_ref().unwrap().clusters;
                assert!(clusters.contains(&block), "{clusters}");
            }
            "markdown" => {
                assert!(migration.report.contains(&block), "{}\nlacks\n{block}", migration.report);
            }
            other => panic!("a block of {other} that nothing checks"),
        }
    }
    assert!(texts >= 3 && results >= 5, "{texts} texts, {results} results");
}

/// Every key of the source system has its row on the migration page.
#[test]
fn page_has_every_key_of_the_source_system() {
    let page = page();
    let (_, table) = page.split_once("\n| key | in this filter | notes |\n").unwrap();
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("| ")?.split(" | ").next());
    let keys: Vec<&str> =
        rows.flat_map(|cell| cell.split(", ")).map(|key| key.trim_matches('`')).collect();
    let expected = [
        "userinfo_endpoint.regionCodeHeader",
        "userinfo_endpoint.regionCodeValue",
        "userinfo_endpoint.defaultURI",
        "inject_headers",
        "block_authorization_header",
        "error_metadata_location",
        "error_header_name",
        "error_payload_location",
        "enable_error_set",
        "http_proxy_server",
        "http_proxy_port",
    ];
    assert_eq!(keys, expected);
}
