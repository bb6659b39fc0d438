//! From the parser's query to the plan, refusing what could not be bounded.
//!
//! RFC 9535 allows more than may run on a worker. A path accepted here must be walked within the
//! budget; nothing is refused later.

use std::borrow::Cow;

use jsonpath_rust::parser::model as parsed;

use crate::claims::json::Json;
use crate::claims::jsonpath::pattern::Pattern;
use crate::claims::jsonpath::plan::{
    Filter, Key, Operand, Origin, Query, Relation, Segment, Selector, Slice,
};

/// How many segments of a path may select several nodes.
const MAX_PLURAL_SEGMENTS: usize = 3;

const NOT_SINGULAR: &str = "got a query in a filter that can select several nodes, expected only \
                            names and indexes: no `..`, `*`, slice, union or filter";

/// The plan of a query, or the reason why it is refused.
pub(super) fn plan(query: &parsed::JpQuery) -> Result<Vec<Segment>, String> {
    let segments: Vec<Segment> = query.segments.iter().map(segment).collect::<Result<_, _>>()?;
    let descents = segments.iter().filter(|segment| segment.descends).count();
    if descents > 1 {
        return Err(format!("got `..` {descents} times, expected at most once"));
    }
    let plural = segments.iter().filter(|segment| segment.only_key().is_none()).count();
    if plural > MAX_PLURAL_SEGMENTS {
        return Err(format!(
            "got {plural} segments that can select several nodes, expected at most \
             {MAX_PLURAL_SEGMENTS}"
        ));
    }
    Ok(segments)
}

fn segment(segment: &parsed::Segment) -> Result<Segment, String> {
    let (descends, segment) = match segment {
        parsed::Segment::Descendant(inner) => (true, inner.as_ref()),
        parsed::Segment::Selector(_) | parsed::Segment::Selectors(_) => (false, segment),
    };
    let selectors = match segment {
        parsed::Segment::Selector(one) => vec![selector(one)?],
        parsed::Segment::Selectors(several) => {
            several.iter().map(selector).collect::<Result<_, _>>()?
        }
        parsed::Segment::Descendant(_) => return Err("`..` twice in a row".to_owned()),
    };
    Ok(Segment { descends, selectors })
}

fn selector(selector: &parsed::Selector) -> Result<Selector, String> {
    Ok(match selector {
        parsed::Selector::Name(name) => Selector::Key(Key::Name(name.as_str().into())),
        parsed::Selector::Index(index) => Selector::Key(Key::Index(*index)),
        parsed::Selector::Wildcard => Selector::Wildcard,
        parsed::Selector::Slice(start, end, step) => {
            Selector::Slice(Slice { start: *start, end: *end, step: step.unwrap_or(1) })
        }
        parsed::Selector::Filter(condition) => Selector::Filter(filter(condition)?),
    })
}

fn filter(condition: &parsed::Filter) -> Result<Filter, String> {
    let all = |conditions: &[parsed::Filter]| -> Result<Vec<Filter>, String> {
        conditions.iter().map(filter).collect()
    };
    let negated = |not, condition| {
        if not { Filter::Not(Box::new(condition)) } else { condition }
    };
    Ok(match condition {
        parsed::Filter::Or(conditions) => Filter::Any(all(conditions)?),
        parsed::Filter::And(conditions) => Filter::All(all(conditions)?),
        parsed::Filter::Atom(parsed::FilterAtom::Filter { expr, not }) => {
            negated(*not, filter(expr)?)
        }
        parsed::Filter::Atom(parsed::FilterAtom::Test { expr, not }) => negated(*not, test(expr)?),
        parsed::Filter::Atom(parsed::FilterAtom::Comparison(comparison)) => compare(comparison)?,
    })
}

fn test(test: &parsed::Test) -> Result<Filter, String> {
    match test {
        parsed::Test::RelQuery(segments) => Ok(Filter::Exists(query(Origin::Current, segments)?)),
        parsed::Test::AbsQuery(all) => Ok(Filter::Exists(query(Origin::Root, &all.segments)?)),
        parsed::Test::Function(function) => match function.as_ref() {
            parsed::TestFunction::Match(text, pattern) => matches(text, pattern, Pattern::whole),
            parsed::TestFunction::Search(text, pattern) => matches(text, pattern, Pattern::part),
            parsed::TestFunction::Length(_) => Err(function_refused("length")),
            parsed::TestFunction::Value(_) => Err(function_refused("value")),
            parsed::TestFunction::Count(_) => Err(function_refused("count")),
            parsed::TestFunction::Custom(name, _) => Err(function_refused(name)),
        },
    }
}

/// What is said of any function but the two that are offered.
pub(super) fn function_refused(name: &str) -> String {
    format!("got function `{name}` in a filter, expected `match` or `search`")
}

fn matches(
    text: &parsed::FnArg,
    pattern: &parsed::FnArg,
    compile: fn(&str) -> Result<Pattern, String>,
) -> Result<Filter, String> {
    let text = match text {
        parsed::FnArg::Literal(value) => Operand::Literal(literal(value)),
        parsed::FnArg::Test(test) => match test.as_ref() {
            parsed::Test::RelQuery(segments) => Operand::Query(query(Origin::Current, segments)?),
            parsed::Test::AbsQuery(all) => Operand::Query(query(Origin::Root, &all.segments)?),
            parsed::Test::Function(_) => {
                return Err("nested functions are not \
                                                     supported"
                    .to_owned());
            }
        },
        parsed::FnArg::Filter(_) => {
            return Err("`match` and `search` take a query, not a condition".to_owned());
        }
    };
    match pattern {
        parsed::FnArg::Literal(parsed::Literal::String(pattern)) => {
            Ok(Filter::Matches(text, compile(pattern)?))
        }
        parsed::FnArg::Literal(_) | parsed::FnArg::Test(_) | parsed::FnArg::Filter(_) => {
            Err("the pattern of `match` and `search` must be text in quotes".to_owned())
        }
    }
}

fn compare(comparison: &parsed::Comparison) -> Result<Filter, String> {
    let (left, relation, right) = match comparison {
        parsed::Comparison::Eq(left, right) => (left, Relation::Equal, right),
        parsed::Comparison::Ne(left, right) => (left, Relation::NotEqual, right),
        parsed::Comparison::Lt(left, right) => (left, Relation::Less, right),
        parsed::Comparison::Lte(left, right) => (left, Relation::LessOrEqual, right),
        parsed::Comparison::Gt(left, right) => (left, Relation::Greater, right),
        parsed::Comparison::Gte(left, right) => (left, Relation::GreaterOrEqual, right),
    };
    Ok(Filter::Compare(operand(left)?, relation, operand(right)?))
}

fn operand(comparable: &parsed::Comparable) -> Result<Operand, String> {
    use parsed::{SingularQuery, SingularQuerySegment};
    let keys = |segments: &[SingularQuerySegment]| {
        segments
            .iter()
            .map(|segment| match segment {
                SingularQuerySegment::Name(name) => Key::Name(name.as_str().into()),
                SingularQuerySegment::Index(index) => Key::Index(*index),
            })
            .collect()
    };
    Ok(match comparable {
        parsed::Comparable::Literal(value) => Operand::Literal(literal(value)),
        parsed::Comparable::SingularQuery(SingularQuery::Current(segments)) => {
            Operand::Query(Query { from: Origin::Current, keys: keys(segments) })
        }
        parsed::Comparable::SingularQuery(SingularQuery::Root(segments)) => {
            Operand::Query(Query { from: Origin::Root, keys: keys(segments) })
        }
        parsed::Comparable::Function(_) => {
            return Err("a function cannot be compared".to_owned());
        }
    })
}

fn query(from: Origin, segments: &[parsed::Segment]) -> Result<Query, String> {
    let keys = segments
        .iter()
        .map(|segment| match segment {
            parsed::Segment::Selector(parsed::Selector::Name(name)) => {
                Ok(Key::Name(name.as_str().into()))
            }
            parsed::Segment::Selector(parsed::Selector::Index(index)) => Ok(Key::Index(*index)),
            parsed::Segment::Selector(
                parsed::Selector::Wildcard
                | parsed::Selector::Slice(..)
                | parsed::Selector::Filter(_),
            )
            | parsed::Segment::Selectors(_)
            | parsed::Segment::Descendant(_) => Err(NOT_SINGULAR.to_owned()),
        })
        .collect::<Result<_, _>>()?;
    Ok(Query { from, keys })
}

fn literal(literal: &parsed::Literal) -> Json<'static> {
    match literal {
        parsed::Literal::Null => Json::Null,
        parsed::Literal::Bool(truth) => Json::Bool(*truth),
        parsed::Literal::Int(number) => Json::Number(Cow::Owned(number.to_string())),
        parsed::Literal::Float(number) => Json::Number(Cow::Owned(number.to_string())),
        parsed::Literal::String(string) => Json::String(Cow::Owned(string.clone())),
    }
}
