//! The deployment page has every safeguard of the reference configuration, with its attack.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests may panic"
)]

use std::fs;
use std::path::Path;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A row: the setting, what happens without it, and what is in code font in Envoy's column.
struct Row {
    setting: String,
    attack: String,
    codes: Vec<String>,
}

fn rows() -> Vec<Row> {
    let page = file("docs/deployment.md");
    let (_, text) = page.split_once("\n## Settings that make it safe\n").expect("the section");
    let table = text.lines().skip_while(|line| !line.starts_with("| ")).skip(2);
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [setting, attack, envoy, _, _] = cells[..] else { panic!("five cells: {line}") };
        let codes = envoy.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some(Row { setting: setting.to_owned(), attack: attack.to_owned(), codes })
    };
    table.map_while(row).collect()
}

/// What a comment with KEEP is about: the lines after it, up to the next comment or blank line.
fn kept() -> Vec<Vec<String>> {
    let reference = file("envoy/envoy.yaml");
    let lines: Vec<&str> = reference.lines().collect();
    let is_comment = |line: &&&str| line.trim_start().starts_with('#');
    let marks = lines.iter().enumerate().filter(|(_, line)| {
        line.trim_start().strip_prefix("# KEEP").is_some_and(|rest| rest.starts_with([' ', '.']))
    });
    let block = |(at, _): (usize, &&str)| {
        let after = lines.iter().skip(at).skip_while(is_comment);
        let block = after.take_while(|line| !line.is_empty() && !is_comment(line));
        block.map(|line| (*line).to_owned()).collect()
    };
    marks.map(block).collect()
}

/// The names of the settings that follow the first one at once, beside it.
fn beside(block: &[String]) -> Vec<&str> {
    let depth = |line: &str| line.len() - line.trim_start().len();
    let first = block.first().map_or(0, |line| depth(line));
    let scalars = block.iter().map_while(|line| {
        let (name, value) = line.trim().split_once(": ")?;
        (depth(line) == first && !value.starts_with(['&', '{']) && !name.starts_with('-'))
            .then_some(name)
    });
    scalars.skip(1).collect()
}

#[test]
fn every_kept_setting_of_the_reference_is_on_the_page_with_its_attack() {
    let (rows, kept) = (rows(), kept());
    assert!(kept.len() >= 15, "{} marks", kept.len());
    let mut of_rows = vec![0; rows.len()];
    for block in &kept {
        let text = block.join("\n");
        let fits = |row: &Row| row.codes.iter().any(|code| text.contains(code));
        let fitting: Vec<usize> = (0..rows.len()).filter(|at| fits(&rows[*at])).collect();
        let [at] = fitting[..] else { panic!("{} rows of the page have\n{text}", fitting.len()) };
        of_rows[at] += 1;
        assert!(rows[at].attack.len() > 30, "{}: {}", rows[at].setting, rows[at].attack);
        for name in beside(block) {
            let told = rows[at].codes.iter().any(|code| code.starts_with(name));
            assert!(told, "{}: {name} is missing", rows[at].setting);
        }
    }
    // What the page calls a protection is marked, too.
    let reference = file("envoy/envoy.yaml");
    for (row, marks) in rows.iter().zip(of_rows) {
        let has = row.codes.iter().any(|code| reference.contains(code));
        assert_eq!(marks > 0, has, "{}: {:?}", row.setting, row.codes);
    }
}
