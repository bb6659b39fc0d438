//! The expected value of each header of the target `claims`: its rules, each written as a few lines
//! of ordinary code over [`Document`].

use crate::document::Document;

/// The value that the header must have; `None` where it must be absent.
pub fn claimed(header: &str, document: &Document) -> Option<String> {
    let member = |name: &str| document.member(name);
    let text = match header {
        "x-sub" => one(member("sub")),
        "x-email" => one(member("email")),
        "x-roles" => joined(children(member("roles")), ","),
        "x-groups" => joined(listed(member("groups")), " "),
        "x-units" => joined(listed(member("units")), " || "),
        "x-all" => list(below(document)),
        "x-names" => {
            let nodes = std::iter::once(document).chain(within(document));
            list(nodes.filter_map(|node| node.member("name")).collect())
        }
        "x-first" => match member("list") {
            Some(Document::List(items)) => one(items.first()),
            _ => None,
        },
        "x-doc" => one(Some(document)),
        "x-adults" => {
            let adults = children(member("list")).into_iter().filter(|item| {
                is_adult(item.member("age")) && !same(item.member("name"), member("sub"))
            });
            list(adults.filter_map(|item| item.member("name")).collect())
        }
        "x-match" => {
            let matching = children(member("list"))
                .into_iter()
                .filter(|item| item.member("name").and_then(Document::text).is_some_and(matches));
            list(matching.flat_map(|m| [m.member("name"), m.member("age")]).flatten().collect())
        }
        _ => panic!("no rule for {header}"),
    };
    text.filter(|text| is_carried(text))
}

/// Whether the search for this header may be given up for its cost: a comparison of numbers of
/// more digits than a float has is dear, and a few dozen use up what one answer may cost. Nothing
/// else can be dear enough in as little text as the targets read.
pub fn may_be_given_up(header: &str, document: &Document) -> bool {
    let is_long = |node: &Document| matches!(node, Document::Number(text) if text.len() > 19);
    matches!(header, "x-adults" | "x-match") && within(document).into_iter().any(is_long)
}

/// Whether a header may carry this text.
pub fn is_carried(text: &str) -> bool {
    (1..=4096).contains(&text.len()) && !text.chars().any(char::is_control) && text.trim() == text
}

/// A string unchanged, other values as compact JSON, `null` not at all.
fn one(node: Option<&Document>) -> Option<String> {
    match node? {
        Document::Null => None,
        Document::Text(text) => Some(text.clone()),
        other => Some(other.compact()),
    }
}

fn list(nodes: Vec<&Document>) -> Option<String> {
    let texts: Vec<String> = nodes.into_iter().map(Document::compact).collect();
    (!texts.is_empty()).then(|| format!("[{}]", texts.join(",")))
}

/// The elements of a list, or a single value as a list of one.
fn listed(node: Option<&Document>) -> Vec<&Document> {
    match node {
        Some(Document::List(items)) => items.iter().collect(),
        other => other.into_iter().collect(),
    }
}

/// Scalars with a value; none at all if a reader could not recover one of them. The reader may
/// split from either end, at any place, and may trim.
fn joined(nodes: Vec<&Document>, separator: &str) -> Option<String> {
    let scalar = |node: &Document| match node {
        Document::Text(text) | Document::Number(text) => Some(text.clone()),
        Document::Bool(truth) => Some(truth.to_string()),
        Document::Null | Document::List(_) | Document::Members(_) => None,
    };
    let texts: Vec<String> =
        nodes.into_iter().filter_map(scalar).filter(|text| !text.is_empty()).collect();
    let blank = |c: char| c.is_whitespace() || c == '\u{feff}';
    let core = separator.trim();
    let comes_back = |text: &String| {
        let three = [text.as_str(); 3];
        let whole = three.join(separator);
        let mut backwards: Vec<&str> = whole.rsplit(separator).collect();
        backwards.reverse();
        let (trimmed, places) = if core.is_empty() {
            let words = whole.split(blank).filter(|word| !word.is_empty()).collect::<Vec<_>>();
            (words, 2)
        } else {
            let places = whole.char_indices().filter(|(at, _)| whole[*at..].starts_with(core));
            (whole.split(core).map(|part| part.trim_matches(blank)).collect(), places.count())
        };
        backwards == three
            && whole.split(separator).eq(three)
            && trimmed == three
            && text.trim_matches(blank) == text
            && places == 2
    };
    texts.iter().all(comes_back).then(|| texts.join(separator))
}

fn children(node: Option<&Document>) -> Vec<&Document> {
    node.map(Document::children).unwrap_or_default()
}

/// Every node below this one, parents first.
fn within(node: &Document) -> Vec<&Document> {
    let deeper = |child| std::iter::once(child).chain(within(child));
    node.children().into_iter().flat_map(deeper).collect()
}

/// The same nodes as `$..*` has them: a node's children, then what is below each (RFC 9535 §2.5.2).
fn below(node: &Document) -> Vec<&Document> {
    let children = node.children();
    let deeper: Vec<&Document> = children.iter().flat_map(|child| below(child)).collect();
    [children, deeper].concat()
}

/// No number at or above 18 becomes a smaller one as a float, and none below becomes 18 that the
/// documented comparison tells from it.
fn is_adult(age: Option<&Document>) -> bool {
    matches!(age, Some(Document::Number(text)) if text.parse::<f64>().is_ok_and(|age| age >= 18.0))
}

/// `^(a|b)*c$` in any case.
fn matches(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.strip_suffix('c').is_some_and(|rest| rest.chars().all(|c| matches!(c, 'a' | 'b')))
}

/// Equal as JSONPath has it, where what is not there equals only what is not there either.
/// Integers are compared exactly, other numbers as floats, members in any order.
fn same(left: Option<&Document>, right: Option<&Document>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return left.is_none() && right.is_none() };
    match (left, right) {
        (Document::Number(left), Document::Number(right)) => {
            match (left.parse::<i128>(), right.parse::<i128>()) {
                (Ok(left), Ok(right)) => left == right,
                _ => left.parse::<f64>() == right.parse::<f64>(),
            }
        }
        (Document::List(left), Document::List(right)) => {
            let mut pairs = left.iter().zip(right);
            left.len() == right.len() && pairs.all(|(left, right)| same(Some(left), Some(right)))
        }
        (Document::Members(members), Document::Members(others)) => {
            members.len() == others.len()
                && members.iter().all(|(name, value)| same(Some(value), right.member(name)))
        }
        _ => left == right,
    }
}
