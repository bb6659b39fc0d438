//! The reader alone: the values, the leniencies with their lines, the unreadable parts.

use super::*;

/// A tree on one line: `name=text` and `name{…}`.
fn tree(members: &[Member]) -> String {
    let of = |member: &Member| match &member.value {
        Value::Text(text) => format!("{}={text}", member.name),
        Value::Map(members) => format!("{}{{{}}}", member.name, tree(members)),
    };
    members.iter().map(of).collect::<Vec<_>>().join(" ")
}

/// Checks the tree and the liberties with their lines.
#[track_caller]
fn check(text: &str, expected: &str, liberties: &[(Leniency, &[usize])]) {
    let reading = read(text);
    assert_eq!(tree(&reading.members), expected, "for {text}");
    assert_eq!(reading.unreadable, [], "for {text}");
    let lenient: Vec<(Leniency, Vec<usize>)> =
        reading.lenient.into_iter().map(|(l, lines)| (l, lines.into_iter().collect())).collect();
    let expected: Vec<(Leniency, Vec<usize>)> =
        liberties.iter().map(|(l, lines)| (*l, lines.to_vec())).collect();
    assert_eq!(lenient, expected, "for {text}");
}

#[test]
fn one_key_per_line_with_any_blanks() {
    check("a:1\nb : x y \n\n  c\t:\t$.d[0,1]\n", "a=1 b=x y c=$.d[0,1]", &[]);
    check("a: http://h:1/?q=a,b&c=:d\r\nb:\r\n", "a=http://h:1/?q=a,b&c=:d b=", &[]);
    check("a: \"x:y\"\nb: $..c[?(@.d == 'e, f: {')]", "a=x:y b=$..c[?(@.d == 'e, f: {')]", &[]);
    check("a: http://h/{tenant}/u", "a=http://h/{tenant}/u", &[]);
}

#[test]
fn braces_on_one_or_several_lines() {
    check("a: {\"b\":\"c\",\n\"d\": {\"e\" : \"f\"}}\ng: 1", "a{b=c d{e=f}} g=1", &[]);
    check(
        "a: {b:c, d: http://h:1/x,y , e:\"f\" }",
        "a{b=c d=http://h:1/x,y e=f}",
        &[(Leniency::Unquoted, &[1])],
    );
    check(
        "a: {\nb: c\n\"d\": \"e\" \"f\": \"g\"\n}",
        "a{b=c d=e f=g}",
        &[(Leniency::Unquoted, &[2]), (Leniency::NoComma, &[3])],
    );
}

#[test]
fn missing_braces_are_accepted() {
    check(
        "userinfo_endpoint: {\nregionCodeValue: {\"FR\": \"x\"\ndefaultURI: y\nhttp_proxy_port: 1",
        "userinfo_endpoint{regionCodeValue{FR=x} defaultURI=y} http_proxy_port=1",
        &[
            (Leniency::Unquoted, &[2, 3]),
            (Leniency::NoComma, &[3]),
            (Leniency::MissingClose, &[3, 4]),
        ],
    );
    check(
        "userinfo_endpoint:\ndefaultURI: y\n}\na: 1",
        "userinfo_endpoint{defaultURI=y} a=1",
        &[(Leniency::Unquoted, &[2]), (Leniency::MissingOpen, &[1])],
    );
    check(
        "inject_headers: \"A\": \"$.a\", \"B\": \"$.b\"\nhttp_proxy_port: 1",
        "inject_headers{A=$.a B=$.b} http_proxy_port=1",
        &[(Leniency::MissingOpen, &[1])],
    );
    check("a: {\"b\": \"c\"", "a{b=c}", &[(Leniency::MissingClose, &[1])]);
    check("{\"a\": \"b\"", "a=b", &[(Leniency::MissingClose, &[1]), (Leniency::OuterBraces, &[1])]);
}

/// An unknown name belongs to no object that was not opened.
#[test]
fn empty_key_does_not_take_the_next_lines() {
    check("inject_headers:\nother: 1", "inject_headers= other=1", &[]);
    check("userinfo_endpoint:\nother: 1", "userinfo_endpoint= other=1", &[]);
}

#[test]
fn extra_braces_and_commas_are_accepted() {
    check(
        "a: 1,\nb: 2}\n}",
        "a=1 b=2",
        &[(Leniency::StrayComma, &[1]), (Leniency::StrayClose, &[2, 3])],
    );
    check(
        "a: {{\"b\": \"c\",,}, \"d\": \"e\",}",
        "a{b=c d=e}",
        &[(Leniency::StrayComma, &[1]), (Leniency::StrayOpen, &[1])],
    );
}

#[test]
fn characters_of_web_pages_and_word_processors_are_accepted() {
    check(
        "\u{FEFF}- a:\u{A0}\u{201C}b\u{201D}\n\u{2022} c: \u{2018}d\u{2019}\n* e: \\{'f': 'g'\\}",
        "a=b c=d e{f=g}",
        &[
            (Leniency::SmartQuotes, &[1, 2]),
            (Leniency::SingleQuotes, &[2, 3]),
            (Leniency::Bullet, &[1, 2, 3]),
            (Leniency::Backslash, &[3]),
            (Leniency::OddBlank, &[1]),
        ],
    );
    // A mark of another kind within plain ones is text.
    check("a: \"b\u{201D}c\"", "a=b\u{201D}c", &[]);
    check("a: \"b\u{201D}", "a=b", &[(Leniency::SmartQuotes, &[1])]);
}

#[test]
fn escapes_follow_json() {
    check(r#"a: "\"\\\/\u00e9\tb""#, "a=\"\\/é\tb", &[]);
    check(r#"a: "\d+""#, r"a=\d+", &[(Leniency::Backslash, &[1])]);
}

#[test]
fn several_keys_on_one_line() {
    check(
        "enable_error_set:true http_proxy_port : 3128 other: x",
        "enable_error_set=true http_proxy_port=3128 other: x",
        &[(Leniency::OneLine, &[1])],
    );
    check(
        "inject_headers {\"A\": \"$.a\"} enable_error_set: true",
        "inject_headers{A=$.a} enable_error_set=true",
        &[(Leniency::MissingColon, &[1]), (Leniency::OneLine, &[1])],
    );
    check(
        "a: {\"b\":\n\"c\", \"d\":\n\"e\": f}",
        "a{b=c d= e=f}",
        &[(Leniency::Unquoted, &[3]), (Leniency::NoComma, &[3])],
    );
    check("a:\n\n{\"b\":\"c\"}", "a{b=c}", &[(Leniency::BraceBelow, &[1])]);
}

#[test]
fn unreadable_lines_are_reported() {
    let lines = |text: &str| {
        let unreadable = read(text).unreadable;
        unreadable.iter().map(|(line, what, _)| format!("{line} {what}")).collect::<Vec<_>>()
    };
    assert_eq!(lines("a: 1\nhello\nb: 2"), ["2 text without a colon"]);
    assert_eq!(lines("\n: x"), ["2 a colon without a name before it"]);
    assert_eq!(lines("a: \"b"), ["1 a quotation mark that is not closed in its line"]);
    assert_eq!(lines("a: \"\\ud800\""), ["1 an invalid \\u escape in quotation marks"]);
    let deep = format!("a: {}{}", "{b:".repeat(20), "}".repeat(20));
    assert_eq!(lines(&deep).len(), 12, "{:?}", lines(&deep));
}
