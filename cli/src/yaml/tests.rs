//! YAML as Envoy reads it, and as Kubernetes reads it.

use serde_json::json;

use super::*;

fn one(text: &str) -> Read {
    read(text).unwrap().remove(0)
}

#[test]
fn envoy_reads_few_scalars_as_numbers() {
    for (text, expected) in [
        ("12", json!(12)),
        ("-12", json!(-12)),
        ("+12", json!(12)),
        ("0", json!(0)),
        ("0x100", json!(256)),
        ("017", json!(15)),
        ("08", json!("08")),
        ("0o17", json!("0o17")),
        ("4_096", json!("4_096")),
        ("1e3", json!("1e3")),
        ("4096.0", json!("4096.0")),
        ("2147483648", json!("2147483648")),
        ("0x80000000", json!("2147483648")),
        ("2020-01-01", json!("2020-01-01")),
        ("12:30:45", json!("12:30:45")),
        ("y", json!(true)),
        ("Off", json!(false)),
        ("yEs", json!("yEs")),
        ("~", json!(null)),
        ("\"12\"", json!("12")),
        ("! 12", json!("12")),
        ("!!str true", json!(true)),
        ("!!bool \"true\"", json!(true)),
    ] {
        assert_eq!(one(&format!("a: {text}\n")).value, json!({"a": expected}), "{text}");
    }
    let texts = one("a: 4_096\nb: {c: [x, 1e3]}\n").texts;
    let place = |place: &str, text: &str| (place.to_owned(), text.to_owned());
    assert_eq!(texts, [place("a", "4_096"), place("b.c[1]", "1e3")]);
}

#[test]
fn kubernetes_reads_more_scalars_as_numbers() {
    let text = "apiVersion: v1\nkind: X\na: [1e3, 4_096, 0o17, 017, 0.5, 1.2.3, 5s, yes]\n";
    let read = one(text);
    assert_eq!(read.value["a"], json!([1000, 4096, 15, 15, 0.5, "1.2.3", "5s", true]));
    assert!(read.texts.is_empty());
}

#[test]
fn merge_keys_are_followed_and_reported() {
    let text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{z: 1}, *a]}\nd: {'<<': 1}\n";
    let merged = one(text);
    assert_eq!(merged.value["b"], json!({"y": 3, "x": 1}));
    assert_eq!(merged.value["c"], json!({"z": 1, "x": 1, "y": 2}));
    assert_eq!(merged.merges, ["b", "c"]);
    assert!(one(&format!("apiVersion: v1\nkind: X\n{text}")).merges.is_empty());
}

#[test]
fn many_aliases_are_read_and_a_bomb_is_refused() {
    let many = format!("a: &a {{b: 1}}\nc: [{}]\n", "*a,".repeat(50_000));
    assert_eq!(one(&many).value["c"].as_array().unwrap().len(), 50_000);
    let mut bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for n in 1..30 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        bomb += &format!("a{n}: &a{n} [{before}]\n");
    }
    assert!(read(&bomb).unwrap_err().starts_with("has more than 2000000 values once"));
    let long = "x".repeat(100_000);
    for bomb in [
        format!("a: &a {long}\nb: [{}]\n", "*a,".repeat(5_000)),
        format!("a: &a {{? {long} : 1}}\nb: [{}]\n", "*a,".repeat(5_000)),
    ] {
        assert!(read(&bomb).unwrap_err().starts_with("has more than 2000000 values once"));
    }
}

#[test]
fn depth_is_limited_including_aliases() {
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(read(&nested(190)).is_ok());
    for depth in [201, 100_000] {
        let error = read(&nested(depth)).unwrap_err();
        assert!(error.starts_with("line 1, column "), "{error}");
    }
    let by_alias = format!("a: &a {}\nb: {}*a{}\n", nested(150), "[".repeat(150), "]".repeat(150));
    assert!(read(&by_alias).unwrap_err().contains("nests more than 200 deep"));
}

#[test]
fn nested_keys_are_refused() {
    let mut nested = "- &m0 {a: 1}\n".to_owned();
    for n in 1..30_000 {
        nested += &format!("- &m{n} {{? [*m{}] : 1}}\n", n - 1);
    }
    let error = read(&nested).unwrap_err();
    assert!(error.starts_with("line 2, column ") && error.contains("not text"), "{error}");
}

#[test]
fn syntax_error_has_its_place() {
    for (text, expected) in [
        ("a: 1\nb: {c: 1, c: 2}\n", "line 2, column 11: repeated key c; keep one"),
        ("? [a]\n: 1\n", "line 1, column 3: got a key that is not text"),
        ("a: &a [1]\nb: {*a : 1}\n", "line 2, column 5: got a key that is not text"),
        ("a: {<<: 1}\n", "line 1, column 5: a merge key without an object"),
        ("a: *b\n", "line 1, column "),
        ("a: &a [*a]\n", "line 1, column "),
        ("a: b: c\n", "line 1, column "),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}
