//! Tests: paths over documents, refusals as text, and what work costs.

#![allow(clippy::arithmetic_side_effects, clippy::string_slice)]

use proptest::prelude::*;

use super::{ANSWER_STEPS, Budget, JsonPath, MAX_PATH_BYTES, Selection};
use crate::claims::json::{Json, parse};

const GUIDE: &str = r#"{"store":{"book":[
 {"category":"reference","author":"Nigel Rees","title":"Sayings of the Century","price":8.95},
 {"category":"fiction","author":"Herman Melville","title":"Moby Dick","isbn":"0-553-21311-3","price":8.99},
 {"category":"fiction","author":"J.R.R. Tolkien","title":"The Lord of the Rings","isbn":"0-395-19395-8","price":22.99}],
 "bicycle":{"color":"red","price":19.95}},"expensive":10}"#;

/// What a path finds, as compact JSON: one value, a list, or nothing.
fn check(document: &str, path: &str) -> String {
    let document = parse(document.as_bytes()).expect("a document");
    let path = match JsonPath::compile(path) {
        Ok(path) => path,
        Err(error) => panic!("{path} is refused: {error:?}"),
    };
    match path.select(&document, &mut Budget::for_answer()) {
        Selection::Nothing => "nothing".to_owned(),
        Selection::OverBudget => "over budget".to_owned(),
        Selection::One(node) => {
            assert!(path.is_singular());
            node.to_compact()
        }
        Selection::Many(nodes) => {
            assert!(!path.is_singular());
            Json::Array(nodes.into_iter().cloned().collect()).to_compact()
        }
    }
}

/// `offset: reason`, the offset where it is known.
fn refusal(path: &str) -> String {
    match JsonPath::compile(path) {
        Ok(accepted) => format!("accepted as {accepted:?}"),
        Err(error) => match error.offset {
            Some(offset) => format!("{offset}: {}", error.reason),
            None => error.reason,
        },
    }
}

const REES: &str = r#"{"category":"reference","author":"Nigel Rees","title":"Sayings of the Century","price":8.95}"#;
const MELVILLE: &str = r#"{"category":"fiction","author":"Herman Melville","title":"Moby Dick","isbn":"0-553-21311-3","price":8.99}"#;
const TOLKIEN: &str = r#"{"category":"fiction","author":"J.R.R. Tolkien","title":"The Lord of the Rings","isbn":"0-395-19395-8","price":22.99}"#;
const BICYCLE: &str = r#"{"color":"red","price":19.95}"#;

#[test]
fn the_guides_expressions_find_what_the_guide_says_with_and_without_the_root() {
    let books = format!("[{REES},{MELVILLE},{TOLKIEN}]");
    let everything = format!(
        "[{store},10,{books},{BICYCLE},{REES},{MELVILLE},{TOLKIEN},\
         \"reference\",\"Nigel Rees\",\"Sayings of the Century\",8.95,\
         \"fiction\",\"Herman Melville\",\"Moby Dick\",\"0-553-21311-3\",8.99,\
         \"fiction\",\"J.R.R. Tolkien\",\"The Lord of the Rings\",\"0-395-19395-8\",22.99,\
         \"red\",19.95]",
        store = format_args!("{{\"book\":{books},\"bicycle\":{BICYCLE}}}"),
    );
    let both = format!("[{MELVILLE},{TOLKIEN}]");
    for (path, found) in [
        ("$..book[0]", format!("[{REES}]").as_str()),
        ("$..book[0].title", r#"["Sayings of the Century"]"#),
        ("$..book[0,1].title", r#"["Sayings of the Century","Moby Dick"]"#),
        ("$..book[:2].title", r#"["Sayings of the Century","Moby Dick"]"#),
        ("$..book[-1:].title", r#"["The Lord of the Rings"]"#),
        ("$..book[(@.length-1)].title", r#"["The Lord of the Rings"]"#),
        ("$..book[?(@.author=='J.R.R. Tolkien')].title", r#"["The Lord of the Rings"]"#),
        ("$..book[?(@.isbn)]", both.as_str()),
        ("$..book[?(!@.isbn)]", format!("[{REES}]").as_str()),
        ("$..book[?(@.price < 10)]", format!("[{REES},{MELVILLE}]").as_str()),
        ("$..book[?(@.price > $.expensive)]", format!("[{TOLKIEN}]").as_str()),
        ("$..book[?(@.author =~ /.*Tolkien/i)]", format!("[{TOLKIEN}]").as_str()),
        ("$..book[?(@.category == 'fiction' || @.category == 'reference')]", books.as_str()),
        ("$..*", everything.as_str()),
    ] {
        assert_eq!(check(GUIDE, path), found, "{path}");
        let bare = path.strip_prefix('$').expect("a root");
        assert_eq!(check(GUIDE, bare), found, "{bare}");
    }
}

#[test]
fn older_forms_mean_what_they_meant() {
    let document = r#"{"foo":{"bar":"x"},"length":3,"(@.length-1)":"odd","a.b":"dotted",
        "list":[{"n":"Ann Tolkien"},{"n":"TOLKIEN"},{"n":"Tolkien, J."},{"n":"a/b'c\\d"},{"m":1}],
        "phoneNumbers":[{"number":"1"},{"number":"2"}],"in":{"match":true},"grün":1}"#;
    for (path, found) in [
        ("foo.bar", r#""x""#),
        (".foo.bar", r#""x""#),
        ("['foo']['bar']", r#""x""#),
        ("length", "3"),
        ("in.match", "true"),
        ("grün", "1"),
        ("phoneNumbers[*].number", r#"["1","2"]"#),
        ("list[(@.length-2)].n", r#""a/b'c\\d""#),
        ("list[ ( @ .length - 5 ) ].n", r#""Ann Tolkien""#),
        ("list[(@.length-6)]", "nothing"),
        // A string that looks like an older form is a string.
        ("$['(@.length-1)']", r#""odd""#),
        ("$['a.b']", r#""dotted""#),
        ("$[\"a.b\"]", r#""dotted""#),
        // The whole value must match, as in the guide's engine.
        ("list[?(@.n =~ /Tolkien/)]", "nothing"),
        ("list[?(@.n =~ /tolkien/i)].n", r#"["TOLKIEN"]"#),
        ("list[?(@.n=~/.*tolkien/i)].n", r#"["Ann Tolkien","TOLKIEN"]"#),
        ("list[?(@['n'] =~ /.*\\/b'c.*/)].n", r#"["a/b'c\\d"]"#),
        (r"list[?(@.n =~ /a\/b\'c\\d/)].n", r#"["a/b'c\\d"]"#),
        (r"list[?(@.n =~ /[^\/]+\/b.c\\\w/)].n", r#"["a/b'c\\d"]"#),
        ("list[?(!@.n =~ /.*Tolkien/i)]", r#"[{"n":"Tolkien, J."},{"n":"a/b'c\\d"},{"m":1}]"#),
        ("list[?(@.m || @.n =~ /T.*/ && @.n != 'TOLKIEN')]", r#"[{"n":"Tolkien, J."},{"m":1}]"#),
        ("list[?@.n =~ /(?i).*tolkien/,0].n", r#"["Ann Tolkien","TOLKIEN","Ann Tolkien"]"#),
        ("list[?(@.n == '=~ /x/')]", "nothing"),
        ("list[?('Tolkien' =~ /T.*/)].m", "[1]"),
        ("list[?(@.n == @.n[(@.length-1)])]", r#"[{"m":1}]"#),
    ] {
        let path = path.replace("\\\\/", "\\/");
        assert_eq!(check(document, &path), found, "{path}");
    }
}

#[test]
fn selectors_follow_rfc_9535() {
    let document =
        r#"{"o":{"j":1,"k":2},"a":[5,3,[{"j":4},{"k":6}]],"":0,"q'":{"\"":1},"\\":{"]":2}}"#;
    for (path, found) in [
        ("$", document),
        ("$.o", r#"{"j":1,"k":2}"#),
        ("$.a[0]", "5"),
        ("$.a[-1][0].j", "4"),
        ("$.a[3]", "nothing"),
        ("$.a[-4]", "nothing"),
        ("$.o[0]", "nothing"),
        ("$.a['0']", "nothing"),
        ("$.a.length", "nothing"),
        ("$['']", "0"),
        (r#"$['q\'']["\""]"#, "1"),
        (r"$['\u006f'].j", "1"),
        (r#"$['\\']["]"]"#, "2"),
        ("$.o[*]", "[1,2]"),
        ("$.o.*", "[1,2]"),
        ("$.o[*,*]", "[1,2,1,2]"),
        ("$.o['k','j','k']", "[2,1,2]"),
        ("$.a[1,0:2]", "[3,5,3]"),
        ("$.a[::-1][0]", r#"[{"j":4}]"#),
        ("$.a[5:0:-2]", r#"[[{"j":4},{"k":6}]]"#),
        ("$.a[::0]", "nothing"),
        ("$.a[-9007199254740991:9007199254740991:9007199254740991]", "[5]"),
        ("$..j", "[1,4]"),
        ("$..[0]", r#"[5,{"j":4}]"#),
        ("$.a..*", r#"[5,3,[{"j":4},{"k":6}],{"j":4},{"k":6},4,6]"#),
        // Per visited node, the selectors in order; nodes before their children.
        ("$..['k','j']", "[2,1,4,6]"),
        ("$.a..[1,0]", r#"[3,5,{"k":6},{"j":4}]"#),
        ("$.a[?@>3]", "[5]"),
        ("$.o[?@<2]", "[1]"),
        ("$.nothing[*]", "nothing"),
    ] {
        assert_eq!(check(document, path), found.replace('\n', ""), "{path}");
    }
}

#[test]
fn names_keep_blanks_that_are_part_of_them() {
    let document = "{\"a\u{a0}\":1,\"a\":2,\"\u{2003}b\":3,\" a \":4}";
    for (path, found) in [
        ("$.a\u{a0}", "1"),
        ("$.a", "2"),
        ("$.\u{2003}b", "3"),
        ("\u{2003}b", "3"),
        ("$[' a ']", "4"),
        ("$[?@ == $.a\u{a0}]", "[1]"),
    ] {
        assert_eq!(check(document, path), found, "{path:?}");
    }
}

#[test]
fn comparisons_follow_rfc_9535() {
    // The node `x` is found if the condition holds.
    for (node, condition, holds) in [
        (r#"{"x":1}"#, "@.x == 1", true),
        (r#"{"x":1}"#, "@.x == '1'", false),
        (r#"{"x":1}"#, "@.x == 1.0", true),
        (r#"{"x":1.0}"#, "@.x == 1", true),
        (r#"{"x":100}"#, "@.x == 1e2", true),
        (r#"{"x":-0}"#, "@.x == 0", true),
        (r#"{"x":0.1}"#, "@.x == 0.10", true),
        (r#"{"x":9007199254740993,"y":9007199254740992}"#, "@.x == @.y", false),
        (r#"{"x":9007199254740993,"y":9007199254740992}"#, "@.x > @.y", true),
        (
            r#"{"x":12345678901234567890123,"y":12345678901234567890999}"#,
            "@.x == @.y || @.x > @.y",
            false,
        ),
        (r#"{"x":12345678901234567890123}"#, "@.x >= @.x && @.x > 1.5", true),
        (r#"{"x":"é","y":"z"}"#, "@.x > @.y", true),
        (r#"{"x":"\uffff","y":"😀"}"#, "@.x < @.y", true),
        (r#"{"x":"a"}"#, "@.x < 'b' && @.x <= 'a' && @.x >= 'a'", true),
        (r#"{"x":"a"}"#, "@.x < 1 || @.x > 1", false),
        (r#"{"x":true}"#, "@.x < true || @.x > false", false),
        (r#"{"x":true}"#, "@.x <= true && @.x >= true", true),
        (r#"{"x":null}"#, "@.x == null && @.x <= null", true),
        (r#"{"x":null}"#, "@.x", true),
        (r#"{"x":false}"#, "@.x", true),
        (r#"{"y":1}"#, "@.x", false),
        (r#"{"y":1}"#, "@.x == null", false),
        (r#"{"y":1}"#, "@.x != null", true),
        (r#"{"y":1}"#, "@.x == @.z && @.x <= @.z && @.x >= @.z", true),
        (r#"{"y":1}"#, "@.x < @.z || @.x != @.z", false),
        (r#"{"y":1}"#, "@.x < 1 || @.x > 1", false),
        (r#"{"x":[1,[2,"a"]],"y":[1,[2,"a"]]}"#, "@.x == @.y && @.x <= @.y", true),
        (r#"{"x":[1,2],"y":[2,1]}"#, "@.x == @.y", false),
        (r#"{"x":[1],"y":[1,2]}"#, "@.x == @.y", false),
        (r#"{"x":[1],"y":[2]}"#, "@.x < @.y", false),
        (r#"{"x":{"a":1,"b":{"c":2}},"y":{"b":{"c":2},"a":1.0}}"#, "@.x == @.y", true),
        (r#"{"x":{"a":1,"b":2},"y":{"b":1,"a":2}}"#, "@.x == @.y", false),
        (r#"{"x":{"a":1},"y":{"b":1}}"#, "@.x == @.y", false),
        (r#"{"x":{"a":1},"y":{"a":1,"b":1}}"#, "@.x == @.y", false),
        (r#"{"x":[],"y":{}}"#, "@.x == @.y", false),
        (r#"{"x":{"y":[0,{"z":7}]}}"#, "@.x.y[-1].z == 7 && @['x']['y'][0] == 0", true),
        (r#"{"x":1}"#, "!(@.x == 1 && @.y) && (@.y || @.x)", true),
        (r#"{"x":1}"#, "$[0].x == @.x && $ && @", true),
    ] {
        let found = check(&format!("[{node}]"), &format!("$[?{condition}].*"));
        assert_eq!(found != "nothing", holds, "{condition} on {node} found {found}");
    }
}

#[test]
fn patterns_follow_rfc_9485() {
    for (text, condition, holds) in [
        ("abc", "match(@, 'abc')", true),
        ("xabc", "match(@, 'abc')", false),
        ("abcx", "match(@, 'abc')", false),
        ("xabcx", "search(@, 'abc')", true),
        ("b", "match(@, 'a|b')", true),
        ("bx", "match(@, 'a|b')", false),
        ("\\n", "match(@, '.')", false),
        ("\\r", "search(@, '.')", false),
        ("\\u2028", "match(@, '.')", true),
        ("\\u0085", "match(@, '.')", true),
        ("😀", "match(@, '.')", true),
        ("a\\n", "match(@, 'a')", false),
        ("a\\nb", "search(@, '^b')", false),
        ("A.b", r"match(@, '[A-Z]\\.[^A]')", true),
        ("ÄB", "match(@, 'ÄB')", true),
        ("aab", "match(@, 'a{2}b{1,2}c{0,}')", true),
        ("AB", "match(@, '(?i)ab')", true),
        ("Ab", "match(@, '(?i:a)b')", true),
        ("1", "match(1, '1')", false),
        ("x", "match('x', 'x') && search($[0], 'x')", true),
    ] {
        let found = check(&format!("[\"{text}\",1,null]"), &format!("$[?{condition}]"));
        assert_eq!(found.starts_with("[\""), holds, "{condition} on {text:?} found {found}");
    }
}

#[test]
fn what_is_refused_says_where_and_why() {
    let long = format!("$.{}", "a".repeat(MAX_PATH_BYTES - 1));
    let nested = format!("$[?{}@.a{}]", "(".repeat(16), ")".repeat(16));
    let singular = "got a query in a filter that can select several nodes, expected only names \
                    and indexes: no `..`, `*`, slice, union or filter";
    let function =
        |name: &str| format!("3: got function `{name}` in a filter, expected `match` or `search`");
    let not_a_path = |offset: usize| format!("{offset}: not a JSONPath (RFC 9535)");
    let call = "nested functions are not supported";
    let unquoted = "the pattern of `match` and `search` must be text in quotes";
    let too_large = "the pattern is too large: use fewer or smaller `{n}` repetitions";
    let group = "unsupported group in a pattern, expected `:`, `i)` or `i:` after `(?`";
    let category = "`\\p` and `\\P` (Unicode categories) are not supported in a pattern: use a \
                    range such as [A-Z]";
    let script = "got an unsupported script, expected [(@.length-N)] with N of at least 1";
    let no_literal = |at: usize, word: &str| {
        format!("{at}: got `{word}`, expected true, false or null: write a member as @.{word}")
    };
    let mut wrong = Vec::new();
    for (path, refused) in [
        ("", "0: got empty text, expected a path: `$` is the whole document"),
        (long.as_str(), "got 257 bytes, expected at most 256"),
        (" $.sub", "0: got white space before the path: remove it"),
        ("\n$.sub", "0: got white space before the path: remove it"),
        ("$.sub ", "5: got white space after the path: remove it"),
        ("$.sub\t\n", "5: got white space after the path: remove it"),
        ("$..a..b", "got `..` 2 times, expected at most once"),
        ("$.*.*.*.*", "got 4 segments that can select several nodes, expected at most 3"),
        (
            "$..a[*].b[0,1].c[1:]",
            "got 4 segments that can select several nodes, expected at most \
          3",
        ),
        (
            "$[?@.a].*[*]['a','b']",
            "got 4 segments that can select several nodes, expected at most \
          3",
        ),
        // In filters.
        ("$[?@.*]", singular),
        ("$[?@..a]", singular),
        ("$[?@[0,1]]", singular),
        ("$[?!$[1:]]", singular),
        ("$[?match(@.*, 'a')]", singular),
        ("$[?@.* == 1]", &not_a_path(7)),
        ("$[?@[?@.a]]", "5: nested filters are not supported"),
        ("$[?@.a,?@.b[?@.c]]", "12: nested filters are not supported"),
        ("$[?count(@.a) == 1]", &function("count")),
        ("$[?length(@.a) == 1]", &function("length")),
        ("$[?value(@.a) == 1]", &function("value")),
        ("$[?length(@.a)]", &function("length")),
        ("$[?in(@.a, $.b)]", &function("in")),
        ("$[?nonsense(@.a)]", &function("nonsense")),
        ("$[?match(search(@,'a'),'b')]", &format!("9: {call}")),
        ("$[?match(@.a =~ /x/, 'b')]", &format!("13: {call}")),
        (
            "$[?match(@.a, 'b') == true]",
            "19: `match` and `search` are conditions, not values to compare",
        ),
        ("$[?match(@.a, @.b)]", unquoted),
        ("$[?search(@.a, 1)]", unquoted),
        ("$[?match(@.a)]", "12"),
        ("$[?match(@.a == 1, 'b')]", "13"),
        ("$[?match((@.a == 1), 'b')]", "`match` and `search` take a query, not a condition"),
        ("$[?true]", "7"),
        ("$[?@.a == True]", &no_literal(10, "True")),
        ("$[?author == 'x']", &no_literal(3, "author")),
        ("$[?count (@.a) == 1]", &no_literal(3, "count")),
        ("$[?@.a ? 1]", "7: nested filters are not supported"),
        // Patterns.
        ("$[?match(@, 'a(')]", "not a regular expression: found open group without closing ')'"),
        (
            "$[?match(@, 'a)(b')]",
            "not a regular expression: found closing ')' without matching '('",
        ),
        ("$[?match(@, '[a')]", "not a regular expression: "),
        (r"$[?match(@, '(a)\\1')]", "not a regular expression: backreferences are not supported"),
        (r"$[?match(@, '\\p{Lu}')]", category),
        (r"$[?search(@, '[\\P{Lu}a]')]", category),
        ("$[?(@.a =~ /\\p{Lu}/)]", category),
        ("$[?match(@, '(?s).')]", group),
        ("$[?match(@, '(?=a)')]", group),
        ("$[?match(@, '(?x) a # )')]", group),
        ("$[?match(@, '(?P<n>a)')]", group),
        ("$[?match(@, 'a{600}')]", too_large),
        ("$[?match(@, '((a{9}){9}){9}')]", too_large),
        ("$[?match(@, '(a{1,99}){1,99999999999}')]", too_large),
        ("$[?match(@, '(((){99}){99}){99}')]", too_large),
        // Older forms.
        ("$[(@.length)]", &format!("2: {script}")),
        ("$[(@.length-0)]", &format!("2: {script}")),
        ("$[(@.length-01)]", &format!("2: {script}")),
        ("$[(@.length-1.5)]", &format!("2: {script}")),
        ("$[(@.length+1)]", "11: unexpected `+`"),
        ("$[ (@.size-1)]", &format!("3: {script}")),
        ("$[(@.length-1]", &format!("2: {script}")),
        ("$[?(@.a =~ 'x')]", "11: `=~` needs a /pattern/ after it"),
        ("$[?(@.a =~ )]", "11: `=~` needs a /pattern/ after it"),
        ("$[?(@.a =~", "10: `=~` needs a /pattern/ after it"),
        ("$[?(@.a =~ /x)]", "11: the /pattern/ is not closed"),
        ("$[?(@.a =~ /x/s)]", "11: got flags `s` after the pattern, expected only `i`"),
        ("$[?(@.a =~ /x/ii)]", "11: got flags `ii` after the pattern, expected only `i`"),
        ("$[?( =~ /x/)]", "5: `=~` needs a query before it"),
        ("$.a =~ /x/", "4: got `=~`, expected it only in a filter"),
        ("$[?@.a == @.b =~ /x/]", "7"),
        // Not paths at all.
        ("$.", "2: expected a name, `*` or `[` after the dot"),
        ("$..", "3: expected a name, `*` or `[` after the dot"),
        (".", "1: expected a name, `*` or `[` after the dot"),
        ("$...a", "3: expected a name or `*` after a dot"),
        ("$.[0]", "2: expected a name or `*` after a dot"),
        ("$.'a'", "2: expected a name or `*` after a dot"),
        ("$.1", "2: got a name that starts with a digit: write it as ['1']"),
        ("$. a", "2: got white space after a dot: remove it"),
        ("$..\ta", "3: got white space after a dot: remove it"),
        ("$[?@. a == 1]", "5: got white space after a dot: remove it"),
        ("$.a b", "4: got a name without a dot: write it after a dot, or in quotes as ['b']"),
        (
            "a \u{2028}",
            "2: got a name without a dot: write it after a dot, or in quotes as \
          ['\\u{2028}']",
        ),
        ("$[?grün]", &no_literal(3, "grün")),
        ("foo bar", "4: got a name without a dot: write it after a dot, or in quotes as ['bar']"),
        ("$sub", "1: got a name without a dot: write it after a dot, or in quotes as ['sub']"),
        ("$[sub]", "2: got a name without a dot: write it after a dot, or in quotes as ['sub']"),
        ("$.user-id", "6: got a name with `-`: quote it, as ['user-…']"),
        ("user-id", "4: got a name with `-`: quote it, as ['user-…']"),
        ("$.a-1", "3: got a name with `-`: quote it, as ['a-…']"),
        ("$['a'", "1: `[` is not closed"),
        ("$['a", "2: the quote is not closed"),
        ("$['a\\']", "2: the quote is not closed"),
        ("$[0)]", "3: `)` has no opening bracket"),
        ("$.a]", "3: `]` has no opening bracket"),
        ("$[?(@.a]", "7: `]` has no opening bracket"),
        ("$[?(@.a", "3: `(` is not closed"),
        (nested.as_str(), "18: brackets are nested deeper than 16"),
        ("$.a#b", "3: unexpected `#`"),
        ("$[\u{1}]", "2: unexpected `\\u{1}`"),
        ("$.a=1", "3: unexpected `=`"),
        ("@.a", &not_a_path(0)),
        ("*", &not_a_path(0)),
        ("$[]", &not_a_path(2)),
        ("$[0,]", &not_a_path(4)),
        ("$[01]", &not_a_path(2)),
        ("$.abc[01]", "6"),
        ("abc.def[01]", "8"),
        ("$[9007199254740992]", &not_a_path(2)),
        ("$[231584178474632390847141970017375815706]", &not_a_path(2)),
        ("$['\t']", "3: a control character in quotes must be escaped"),
        ("$[?true == match(@.a, 'b')]", "not a JSONPath (RFC 9535)"),
        (r"$['\x41']", "2"),
        (r#"$["\'"]"#, "2"),
        (r"$['\ud800']", "2"),
        ("$[?@.a == 1 2]", "not a JSONPath (RFC 9535)"),
        ("$[?@.a = 1]", "7: unexpected `=`"),
        ("$[?@.a & @.b]", "7: unexpected `&`"),
        ("$.a.length()", "10"),
    ] {
        let found = refusal(path);
        // Where only a number is expected, the parser's own position is meant.
        let matches = match refused.parse::<usize>() {
            Ok(offset) => found == not_a_path(offset),
            Err(_) if refused.ends_with(": ") => found.starts_with(refused),
            Err(_) => found == refused,
        };
        if !matches {
            wrong.push(format!("{path}\n found {found}\n   not {refused}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // At the limits.
    assert!(JsonPath::compile(&long[..MAX_PATH_BYTES]).is_ok());
    assert!(JsonPath::compile(&nested.replacen('(', "", 1).replacen(')', "", 1)).is_ok());
    assert!(JsonPath::compile("$..a.*[?@.b].c[0]").is_ok());
    assert!(JsonPath::compile("$[?match(@, 'a{500}')]").is_ok());
}

#[test]
fn only_names_and_indexes_are_singular() {
    for (path, singular) in [
        ("$", true),
        ("sub", true),
        ("$.a['b'][0][-1]", true),
        ("$.a[(@.length-1)]", true),
        ("$.*", false),
        ("$..a", false),
        ("$[0,1]", false),
        ("$[0:1]", false),
        ("$[?@.a]", false),
    ] {
        assert_eq!(JsonPath::compile(path).expect(path).is_singular(), singular, "{path}");
    }
}

#[test]
fn a_budget_is_spent_and_never_exceeded() {
    let document = format!("[{}0]", "0,".repeat(999));
    let document = parse(document.as_bytes()).expect("a document");
    let path = JsonPath::compile("$.*").expect("a path");
    for (steps, found) in [(1000, true), (999, false), (0, false)] {
        let mut budget = Budget { steps };
        let selection = path.select(&document, &mut budget);
        assert_eq!(matches!(selection, Selection::Many(_)), found, "{selection:?}");
        assert_eq!(selection == Selection::OverBudget, !found);
        assert_eq!(budget.steps, 0);
    }
    // All paths of one answer share it; a singular path needs none.
    let mut budget = Budget { steps: 1500 };
    assert!(matches!(path.select(&document, &mut budget), Selection::Many(_)));
    assert_eq!(path.select(&document, &mut budget), Selection::OverBudget);
    let one = JsonPath::compile("$[999]").expect("a path");
    assert_eq!(one.select(&document, &mut budget), Selection::One(&Json::Number("0".into())));
}

#[test]
fn each_piece_of_work_has_its_price() {
    let text = "a".repeat(800);
    let digits = "1".repeat(20);
    for (what, document, path, steps) in [
        ("a wildcard takes its children", "[0,0,0]".to_owned(), "$.*", 3),
        ("a descent takes each node, and each looked at", "[0,[0]]".to_owned(), "$..x", 8),
        ("a slice takes itself and its elements", "[0,0,0]".to_owned(), "$[:2]", 3),
        ("a name takes a quarter of the members", wide(39), "$['x','y']", 20),
        ("a long name takes more", wide(39), "$['aaaaaaaaaaaaaaaa','y']", 40),
        // Each filter takes two: itself, and what it looks at.
        ("an existence", "[0]".to_owned(), "$[?@.x]", 2),
        ("conditions until one decides", "[0]".to_owned(), "$[?@.x||@||@.y]", 4),
        ("equality", "[0]".to_owned(), "$[?@==null]", 2),
        ("equal texts", format!("[\"{text}\"]"), "$[?@==@]", 102),
        ("ordered texts", format!("[\"{text}\"]"), "$[?@<@]", 102),
        ("integers", "[1]".to_owned(), "$[?@<2]", 10),
        ("integers of any length", format!("[{digits}]"), "$[?@<@]", 15),
        ("numbers", "[1.5]".to_owned(), "$[?@<2]", 10),
        ("numbers with an exponent", "[1.2345678901234567e-300]".to_owned(), "$[?@<2]", 13),
        ("numbers with leading zeros", "[0.00000000000000000000015]".to_owned(), "$[?@<2]", 13),
        ("long numbers", format!("[{digits}.5]"), "$[?@<2]", 2012),
        ("arrays", "[[0,0,0]]".to_owned(), "$[?@==@]", 2 + 3 * 9),
        ("objects", r#"[{"a":null,"b":null}]"#.to_owned(), "$[?@==@]", 4),
        ("objects with long names", format!(r#"[{{"{text}":null}}]"#), "$[?@==@]", 103),
        (
            "objects in another order",
            r#"[{"x":{"a":null,"b":null},"y":{"b":null,"a":null}}]"#.to_owned(),
            "$[?@.x==@.y]",
            8,
        ),
        (
            "a pattern takes its states at each byte",
            "[\"aaaa\"]".to_owned(),
            "$[?match(@,'a+')]",
            36,
        ),
        ("a pattern on what is no text", "[1]".to_owned(), "$[?match(@,'a+')]", 1),
    ] {
        let document = parse(document.as_bytes()).expect("a document");
        let mut budget = Budget::for_answer();
        JsonPath::compile(path).expect(path).select(&document, &mut budget);
        assert_eq!(ANSWER_STEPS - budget.steps, steps, "{what}");
    }
}

/// An object of that many members.
fn wide(members: usize) -> String {
    let members: Vec<String> = (0..members).map(|at| format!("\"{at}\":0")).collect();
    format!("{{{}}}", members.join(","))
}

#[test]
fn what_a_small_path_can_multiply_is_paid_for() {
    let flat = |element: &str, count: usize| format!("[{}]", vec![element; count].join(","));
    let members: Vec<String> = (0..4000).map(|at| format!("\"{at}\":0")).collect();
    let reversed: Vec<&str> = members.iter().rev().map(String::as_str).collect();
    let text = "a".repeat(60_000);
    for (what, document, path) in [
        ("unions of everything", flat("[0,0,0,0,0,0,0,0]", 3000), "$[*,*,*,*][*,*,*,*]"),
        ("every node's nodes", flat("[[[[]]]]", 7000), "$..*[*,*,*,*][*,*,*,*]"),
        ("one node again and again", flat("0", 30_000), "$..[*,*,*,*,*,*,*,*,*]"),
        (
            "large objects looked through",
            format!("{{\"o\":{{{}}},\"l\":{}}}", members.join(","), flat("0", 9000)),
            "$.l[?$.o.x]",
        ),
        (
            "large objects compared",
            format!("[{{{}}},{{{}}}]", members.join(","), reversed.join(",")),
            "$[?@ == $[0]]",
        ),
        (
            "large arrays compared",
            format!("{{\"a\":{},\"b\":[0,1,2,3,4,5,6,7,8,9]}}", flat("0", 20_000)),
            "$.b[?$.a == $.a]",
        ),
        (
            "long texts compared",
            format!("{{\"a\":\"{text}\",\"b\":{}}}", flat("0", 2000)),
            "$.b[?$.a <= $.a]",
        ),
        (
            "long numbers compared",
            format!("{{\"a\":1{},\"b\":{}}}", "0".repeat(60_000), flat("0", 2000)),
            "$.b[?$.a <= $.a]",
        ),
        ("long texts searched", format!("[\"{text}\"]"), "$[?search(@, 'a{100}b')]"),
        ("short texts searched", flat("\"a\"", 15_000), "$[?search(@, 'a{99}b')]"),
        ("slices of slices", flat("[0,0,0,0,0,0,0,0]", 3000), "$[0:,0:,0:][0:,0:,0:]"),
    ] {
        let found = check(&document, path);
        assert!(found == "over budget", "{what}: found {} bytes", found.len());
    }
    // The guide's widest path stays far below.
    let mut budget = Budget::for_answer();
    let document = parse(GUIDE.as_bytes()).expect("the guide's document");
    JsonPath::compile("$..*").expect("a path").select(&document, &mut budget);
    assert!(ANSWER_STEPS - budget.steps < 100, "{} steps", ANSWER_STEPS - budget.steps);
}

#[test]
fn a_document_as_deep_as_can_be_is_walked() {
    let deep = format!("{}1{}", r#"{"a":["#.repeat(63), "]}".repeat(63));
    // Every array but the innermost holds an object with `a`.
    let held = check(&deep, "$..[?@.a].a[0]");
    assert!(held.ends_with(&format!(",{},1]", r#"{"a":[1]}"#)), "{} bytes", held.len());
    let path = format!("$..*{}", "[0]".repeat(84));
    assert_eq!(check(&deep, &path), "nothing");
    let inner = &deep[5..deep.len() - 1];
    assert_eq!(check(&deep, "$[?@ == $.a]"), format!("[{inner}]"));
}

/// Pieces of paths, well-formed and not.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "$",
        "@",
        ".",
        "..",
        "*",
        "[",
        "]",
        "(",
        ")",
        "?",
        "[?",
        "[?(",
        ")]",
        "!",
        "&&",
        "||",
        "==",
        "<=",
        "=~",
        "/a.*/i",
        "/",
        ",",
        ":",
        "-",
        "-1",
        "0",
        "1.5e3",
        "a",
        "b",
        "'a'",
        "\"a\"",
        "'",
        "\\",
        " ",
        "true",
        "match(",
        "search(",
        "in(",
        "length(",
        "@.a",
        "$.a",
        "@.length-1",
        "(@.length-1)",
        "'a(b|c)*'",
        "'(a{30}){30}'",
        "é",
        "\u{a0}",
        "\u{2028}",
        "\n",
    ])
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_or_take_long(pieces in prop::collection::vec(piece(), 0..80)) {
        let document = parse(GUIDE.as_bytes()).expect("the guide's document");
        let text = pieces.concat();
        match JsonPath::compile(&text) {
            Ok(path) => {
                path.select(&document, &mut Budget::for_answer());
            }
            Err(error) => {
                prop_assert!(error.offset.is_none_or(|at| at <= text.len()), "{:?}", error);
                let one_line = !error.reason.contains(['\n', '\u{85}', '\u{2028}']);
                prop_assert!(one_line, "{:?}", error);
            }
        }
    }

    #[test]
    fn a_slice_takes_what_stepping_through_takes(
        len in 0_i64..8, start in -10_i64..10, end in -10_i64..10, step in -4_i64..5,
    ) {
        let document: Vec<String> = (0..len).map(|at| at.to_string()).collect();
        let normal = |index: i64| if index < 0 { index + len } else { index };
        let mut expected = Vec::new();
        let mut at = normal(start);
        while step != 0 && (if step > 0 { at < normal(end) } else { at > normal(end) }) {
            if (0..len).contains(&at) {
                expected.push(at.to_string());
            }
            // A start outside is moved to the nearest end, from which the steps are counted.
            at = if step > 0 && at < 0 { 0 } else if step < 0 && at >= len { len - 1 } else { at + step };
        }
        let found = check(&format!("[{}]", document.join(",")), &format!("$[{start}:{end}:{step}]"));
        let expected = if expected.is_empty() { "nothing".into() } else { format!("[{}]", expected.join(",")) };
        prop_assert_eq!(found, expected);
    }
}

/// A reason goes to Envoy's log as it is.
#[test]
fn a_reason_shows_no_character_that_could_spoil_its_line() {
    for path in [
        "9.9e_a\u{88}b",
        "$[?a\u{202e}b()]",
        "$.a\u{85}-b",
        "$[?a\u{2028}(@)]",
        "$[?@.a =~ /(\u{9b}/]",
    ] {
        let reason = JsonPath::compile(path).unwrap_err().reason;
        let unseen = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
        assert!(!reason.contains(unseen), "{reason:?}");
    }
    let refused = JsonPath::compile("$.a\u{85}-b").unwrap_err();
    assert_eq!(refused.reason, "got a name with `-`: quote it, as ['a\\u{85}-…']");
}

/// A hundred wildcards have nothing to select from a scalar, but they are looked at.
#[test]
fn selectors_that_select_nothing_are_paid_for() {
    let document = parse(b"[1,2,3,4,5,6,7,8]").unwrap();
    let steps = |path: &str| {
        let mut budget = Budget::for_answer();
        let _ = JsonPath::compile(path).unwrap().select(&document, &mut budget);
        ANSWER_STEPS - budget.steps
    };
    let wildcards = format!("$[*][{}]", ["*"; 100].join(","));
    assert_eq!(steps("$[*][*]"), 8);
    assert_eq!(steps(&wildcards), 8 + 8 * 25);
    assert_eq!(steps("$[*][*,*,*]"), 8);
    assert_eq!(steps("$[*][*,*,*,*]"), 16);
}

#[test]
fn the_empty_text_comes_before_every_other() {
    let document = r#"["","a"]"#;
    for (filter, found) in [
        ("@==''", r#"[""]"#),
        ("@!=''", r#"["a"]"#),
        ("@<''", "nothing"),
        ("@<='' ", r#"[""]"#),
        ("@>''", r#"["a"]"#),
        ("@>=''", document),
        ("@<'a'", r#"[""]"#),
        ("@<='a'", document),
    ] {
        assert_eq!(check(document, &format!("$[?{filter}]")), found, "{filter}");
    }
}
