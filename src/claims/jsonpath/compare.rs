//! Comparison of two nodes as RFC 9535 §2.3.5.2.2 has it; a missing node is a value of its own.
//!
//! Numbers are compared exactly where both are integers that fit `i128`, else as `f64`. It must
//! never take two different large integers for the same.

use std::cmp::Ordering;

use crate::claims::json::Json;
use crate::claims::jsonpath::budget::{Budget, OverBudget, search_steps};
use crate::claims::jsonpath::plan::Relation;

/// Bytes of text that are compared or read as a number within one step.
const BYTES_PER_STEP: usize = 8;
/// What reading a pair of numbers costs at least.
const NUMBERS_STEPS: usize = 8;
/// Significant digits up to which a number always becomes an `f64` on the fast way.
const FAST_DIGITS: usize = 19;
/// What a longer number costs: rounding it may take arithmetic on hundreds of digits.
const SLOW_NUMBER_STEPS: usize = 2_000;

/// Whether the relation holds between two operands, `None` being a query that found nothing.
pub(super) fn holds(
    left: Option<&Json<'_>>,
    relation: Relation,
    right: Option<&Json<'_>>,
    budget: &mut Budget,
) -> Result<bool, OverBudget> {
    Ok(match relation {
        Relation::Equal => same(left, right, budget)?,
        Relation::NotEqual => !same(left, right, budget)?,
        Relation::Less => less(left, right, budget)?,
        Relation::Greater => less(right, left, budget)?,
        Relation::LessOrEqual => less(left, right, budget)? || same(left, right, budget)?,
        Relation::GreaterOrEqual => less(right, left, budget)? || same(left, right, budget)?,
    })
}

fn same(
    left: Option<&Json<'_>>,
    right: Option<&Json<'_>>,
    budget: &mut Budget,
) -> Result<bool, OverBudget> {
    match (left, right) {
        (Some(left), Some(right)) => equal(left, right, budget),
        (None, None) => Ok(true),
        (Some(_), None) | (None, Some(_)) => Ok(false),
    }
}

fn equal(left: &Json<'_>, right: &Json<'_>, budget: &mut Budget) -> Result<bool, OverBudget> {
    budget.take(1)?;
    match (left, right) {
        (Json::Null, Json::Null) => Ok(true),
        (Json::Bool(left), Json::Bool(right)) => Ok(left == right),
        (Json::Number(left), Json::Number(right)) => {
            Ok(order(left, right, budget)? == Some(Ordering::Equal))
        }
        (Json::String(left), Json::String(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            budget.take(left.len() / BYTES_PER_STEP)?;
            Ok(text_order(left, right) == Ordering::Equal)
        }
        (Json::Array(left), Json::Array(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for (left, right) in left.iter().zip(right) {
                if !equal(left, right, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        (Json::Object(left), Json::Object(right)) => {
            if left.len() != right.len() {
                return Ok(false);
            }
            for ((name, left), (beside, value)) in left.iter().zip(right) {
                budget.take(name.len() / BYTES_PER_STEP)?;
                // Mostly both have the same order; else the search is paid for.
                let value = if name == beside {
                    value
                } else {
                    budget.take(search_steps(right.len(), name))?;
                    match right.iter().find(|(known, _)| known == name) {
                        Some((_, value)) => value,
                        None => return Ok(false),
                    }
                };
                if !equal(left, value, budget)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn less(
    left: Option<&Json<'_>>,
    right: Option<&Json<'_>>,
    budget: &mut Budget,
) -> Result<bool, OverBudget> {
    budget.take(1)?;
    match (left, right) {
        (Some(Json::Number(left)), Some(Json::Number(right))) => {
            Ok(order(left, right, budget)? == Some(Ordering::Less))
        }
        // Bytes of UTF-8 sort like the code points that RFC 9535 names.
        (Some(Json::String(left)), Some(Json::String(right))) => {
            budget.take(left.len().min(right.len()) / BYTES_PER_STEP)?;
            Ok(text_order(left, right) == Ordering::Less)
        }
        _ => Ok(false),
    }
}

/// An empty text need not have an address that can be read, and the C library's vector code takes
/// twenty times as long at such a one: a document of only empty texts would cost more than its
/// steps.
fn text_order(left: &str, right: &str) -> Ordering {
    if left.is_empty() || right.is_empty() {
        return left.len().cmp(&right.len());
    }
    left.cmp(right)
}

fn order(left: &str, right: &str, budget: &mut Budget) -> Result<Option<Ordering>, OverBudget> {
    let bytes = left.len().saturating_add(right.len());
    budget.take((bytes / BYTES_PER_STEP).saturating_add(NUMBERS_STEPS))?;
    if let (Ok(left), Ok(right)) = (left.parse::<i128>(), right.parse::<i128>()) {
        return Ok(Some(left.cmp(&right)));
    }
    let (Some(left), Some(right)) = (float(left, budget)?, float(right, budget)?) else {
        return Ok(None);
    };
    Ok(left.partial_cmp(&right))
}

fn float(number: &str, budget: &mut Budget) -> Result<Option<f64>, OverBudget> {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0');
    if digits.count() > FAST_DIGITS {
        budget.take(SLOW_NUMBER_STEPS)?;
    }
    Ok(number.parse().ok())
}
