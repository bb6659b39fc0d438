//! Cycles are found however a path is written, and only where there is one.

use super::*;

/// The problems in the modules of `src/`, given as file name and text.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let paths: Vec<String> = files.iter().map(|(name, _)| format!("src/{name}.rs")).collect();
    let files = paths.iter().zip(files).map(|(path, (_, text))| (path.as_str(), *text));
    problems(files, None)
        .into_iter()
        .map(|p| format!("{}:{}: {}", p.path, p.line, p.what))
        .collect()
}

/// Asserts that there is one cycle, along this path.
#[track_caller]
fn cycle(way: &str, files: &[(&str, &str)]) {
    let found = found(files);
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = format!(": import cycle: {way}; got ");
    assert!(found[0].contains(&expected), "{expected}: {found:?}");
}

#[track_caller]
fn no_cycle(files: &[(&str, &str)]) {
    assert_eq!(found(files), [""; 0]);
}

#[test]
fn cycle_of_two_modules_has_both_places_and_remedy() {
    let files = [("a", "\nuse crate::b::X;\n"), ("b", "pub struct X;\nuse crate::a::Y;\n")];
    let expected = "src/a.rs:2: import cycle: a -> b -> a; got `crate::b::X` in src/a.rs:2, \
                    `crate::a::Y` in src/b.rs:2, expected none; move what both need into a module \
                    below both";
    assert_eq!(found(&files), [expected]);
}

#[test]
fn three_modules() {
    let files = [("a", "use crate::b::X;"), ("b", "use crate::c::X;"), ("c", "use crate::a::X;")];
    cycle("a -> b -> c -> a", &files);
    no_cycle(&files[..2]);
    no_cycle(&[files[0], files[1], ("c", "use std::fmt;")]);
}

#[test]
fn each_cycle_is_reported_once() {
    let both = "use crate::{b::X, c::X};";
    let group = [("a", both), ("b", "use crate::a::X;"), ("c", "use crate::a::X;")];
    cycle("a -> b -> a (3 modules need each other: a, b, c)", &group);
    let two = [("d", "use crate::e::X;"), ("e", "use crate::d::X;")];
    assert_eq!(found(&[&group[..], &two].concat()).len(), 2);
}

#[test]
fn a_child_and_its_parent_by_super() {
    let child = "use super::Shared;";
    cycle("a -> a::b -> a", &[("a", "mod b; use b::X; struct Shared;"), ("a/b", child)]);
    cycle("a -> a::b -> a", &[("a/mod", "mod b; use self::b::X;"), ("a/b", child)]);
    cycle("a -> a::b -> a", &[("a", "mod b; fn f() { b::g(); }"), ("a/b", "fn g(_: super::T) {}")]);
    cycle("a::b -> a::c -> a::b", &[("a/b", "use super::c::X;"), ("a/c", "use super::b::X;")]);
    let deep = "mod inner { use super::super::T; }";
    cycle("a -> a::b -> a", &[("a", "mod b; use b::X;"), ("a/b", deep)]);
    let inner = "mod inner { use super::T; }";
    no_cycle(&[("a", "mod b; use b::X;"), ("a/b", inner)]);
}

#[test]
fn mod_declaration_is_no_import() {
    no_cycle(&[("a", "mod b; pub struct Shared;"), ("a/b", "use super::Shared;")]);
    no_cycle(&[("a", "pub(in crate::b) fn f() {}"), ("b", "use crate::a::f;")]);
}

#[test]
fn a_reexport() {
    let child = "use super::Shared; pub struct X;";
    cycle("a -> a::b -> a", &[("a", "mod b; pub use b::X;"), ("a/b", child)]);
    let c = ("c", "use crate::a::X;");
    cycle("a -> b -> c -> a", &[("a", "pub use crate::b::X;"), ("b", "use crate::c::Y;"), c]);
    // The root names what is in `b`.
    let files = [("a", "use crate::X;"), ("b", "use crate::a::Y; pub struct X;")];
    no_cycle(&[("lib", "mod a; mod b; pub struct X;"), files[0], files[1]]);
    cycle("a -> b -> a", &[("lib", "mod a; mod b; pub use b::X;"), files[0], files[1]]);
    cycle("a -> b -> a", &[("main", "mod a; mod b; use b::Z as X;"), files[0], files[1]]);
}

#[test]
fn an_inline_path() {
    let back = ("b", "fn g() { crate::a::f(); }");
    for text in [
        "fn f() { crate::b::g(); }",
        "fn f() -> super::b::T { T }",
        "impl crate::b::T for X {}",
        "type X = Vec<Option<crate::b::T>>;",
        "fn f() { println!(\"{}\", crate::b::g()); }",
        "macro_rules! m { () => { $crate::b::g() }; }",
        "fn f() { m! { x: crate::b::T } }",
        "#[derive(X)] struct S { #[x(y = crate::b::g)] z: u8 }",
        "fn f() { use crate::b; b::g(); }",
        "use super::*; fn f() { b::g(); }",
        "use crate::b as other;",
        "use crate::{b::{self}};",
    ] {
        let expected = "a -> b -> a";
        cycle(expected, &[("lib", "mod a; mod b;"), ("a", text), back]);
        no_cycle(&[("lib", "mod a; mod b;"), ("a", text), ("b", "fn g() { a::f(); }")]);
    }
}

#[test]
fn longest_module_path_wins() {
    let child = ("a/b", "use crate::c::X;");
    no_cycle(&[("a", "mod b; use crate::c::X;"), child, ("c", "pub struct X;")]);
    cycle("a::b -> c -> a::b", &[("a", "mod b;"), child, ("c", "use crate::a::b::Y;")]);
    for text in ["use crate::a;", "use crate::a::{self};", "use crate::{a::{self, T}};"] {
        let text = format!("{text} fn f() {{ a::b::g(); }}");
        cycle("a::b -> c -> a::b", &[("a", ""), child, ("c", &text)]);
    }
    no_cycle(&[("a", "mod b;"), child, ("c", "use crate::a::Y;")]);
}

#[test]
fn tests_are_not_counted() {
    let a = ("a", "use crate::b::X;");
    no_cycle(&[a, ("b", "#[cfg(test)] mod tests { use crate::a::Y; }")]);
    for text in [
        "use crate::a::Y;",
        "fn f() { crate::a::f(); }",
        "impl crate::a::Y for X {}",
        "struct X(crate::a::Y);",
        "const X: u8 = crate::a::Y;",
        "static X: u8 = crate::a::Y;",
    ] {
        cycle("a -> b -> a", &[a, ("b", text)]);
        no_cycle(&[a, ("b", &format!("#[cfg(test)] {text}"))]);
    }
    no_cycle(&[a, ("b", "impl X { #[cfg(test)] fn f() { crate::a::f(); } }")]);
    no_cycle(&[("a", "use crate::a::tests::X;"), ("a/tests", "use super::Y;")]);
    no_cycle(&[
        ("lib", "#[cfg(test)] mod sim; mod a;"),
        ("a", "use crate::sim::X;"),
        ("sim", "use crate::a::Y;"),
    ]);
    cycle("a -> b -> a", &[a, ("b", "#[cfg(not(test))] use crate::a::Y;")]);
}

#[test]
fn other_crates_are_not_counted() {
    no_cycle(&[("a", "use b::X; use ::b::Y;"), ("b", "use a::X;")]);
    let child = ("a/b", "use super::X;");
    cycle("a -> a::b -> a", &[("a", "use b::Y; fn f() { b::g(); }"), child]);
    no_cycle(&[("a", "use ::b::Y; fn f() { ::b::g(); }"), child]);
    let files = [("src/a.rs", "use crate::b::X;"), ("cli/src/b.rs", "use crate::a::X;")];
    assert_eq!(problems(files.into_iter(), None), []);
    let program = [
        ("integration/src/bin/x/main.rs", "mod a; mod b;"),
        ("integration/src/bin/x/a.rs", "use crate::b::X;"),
        ("integration/src/bin/x/b.rs", "use crate::a::X;"),
        ("integration/src/a.rs", "use crate::b::X;"),
        ("integration/src/bin/y.rs", "use crate::a::X;"),
    ];
    let found = problems(program.into_iter(), None);
    assert!(found.len() == 1 && found[0].path == "integration/src/bin/x/a.rs", "{found:?}");
}

#[test]
fn invalid_rust_is_reported() {
    let found = found(&[("a", "fn f() {}\nfn {")]);
    assert!(
        found.len() == 1 && found[0].starts_with("src/a.rs:2: cannot be parsed: "),
        "{found:?}"
    );
}

/// The picture's lines are levels; more of a line are words about it.
const PAGE: &str = "# A\n\n```text\nx  no picture\n```\n\n## Rooms\n\nWords.\n\n```text\ntop side  what for\n         more words: low\nlow  what for\n```\n";

fn against_the_picture(files: &[(&str, &str)]) -> Vec<String> {
    let paths: Vec<String> = files.iter().map(|(name, _)| format!("src/{name}.rs")).collect();
    let files = paths.iter().zip(files).map(|(path, (_, text))| (path.as_str(), *text));
    problems(files, Some(PAGE)).into_iter().map(|p| format!("{}: {}", p.path, p.what)).collect()
}

#[test]
fn an_import_points_beside_or_down() {
    let down = [
        ("top", "use crate::side::X;"),
        ("side", ""),
        ("low", ""),
        ("top/a", "use crate::low::X;"),
    ];
    assert_eq!(against_the_picture(&down), [""; 0]);
    let up = [("top", ""), ("low/a", "use crate::top::X;")];
    assert_eq!(
        against_the_picture(&up),
        [
            "src/low/a.rs: import of a room above: got `crate::top::X`, expected rooms beside or below low \
          in the picture under `## Rooms` of ARCHITECTURE.md"
        ]
    );
}

#[test]
fn every_room_has_a_place_in_the_picture() {
    assert_eq!(
        against_the_picture(&[("other", "")]),
        [
            "src/other.rs: room without a place: got other, expected it in the picture under `## Rooms` of \
          ARCHITECTURE.md"
        ]
    );
}
