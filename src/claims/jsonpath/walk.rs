//! Evaluation of a plan. Every piece of work is paid for in steps before it is done.
//!
//! Depth first, which gives the node order of RFC 9535 without a list per segment. Recursion is
//! as deep as the document (bounded when it is read) plus the path's segments.

use std::slice;

use crate::claims::json::Json;
use crate::claims::jsonpath::budget::{Budget, OverBudget, search_steps};
use crate::claims::jsonpath::compare;
use crate::claims::jsonpath::plan::{
    Filter, Key, Operand, Origin, Query, Segment, Selector, Slice,
};

/// How many selectors are looked at for a step, where they have nothing to select from.
const SELECTORS_PER_STEP: usize = 4;

/// The one node that the keys lead to.
pub(super) fn follow<'j, 'a>(keys: &[Key], from: &'j Json<'a>) -> Option<&'j Json<'a>> {
    keys.iter().try_fold(from, |node, key| child(node, key))
}

/// All nodes that the segments select, in order.
pub(super) fn select<'j, 'a>(
    segments: &[Segment],
    root: &'j Json<'a>,
    budget: &mut Budget,
) -> Result<Vec<&'j Json<'a>>, OverBudget> {
    let mut walk = Walk { root, budget, found: Vec::new() };
    walk.segments(root, segments)?;
    Ok(walk.found)
}

struct Walk<'w, 'j, 'a> {
    root: &'j Json<'a>,
    budget: &'w mut Budget,
    found: Vec<&'j Json<'a>>,
}

impl<'j, 'a> Walk<'_, 'j, 'a> {
    fn segments(&mut self, node: &'j Json<'a>, segments: &[Segment]) -> Result<(), OverBudget> {
        match segments.split_first() {
            None => {
                self.found.push(node);
                Ok(())
            }
            Some((segment, rest)) if segment.descends => self.descend(node, segment, rest),
            Some((segment, rest)) => self.selectors(node, segment, rest),
        }
    }

    /// RFC 9535 §2.5.2.2: a node before its children, children in order.
    fn descend(
        &mut self,
        node: &'j Json<'a>,
        segment: &Segment,
        rest: &[Segment],
    ) -> Result<(), OverBudget> {
        self.budget.take(1)?;
        self.selectors(node, segment, rest)?;
        for child in children(node) {
            self.descend(child, segment, rest)?;
        }
        Ok(())
    }

    fn selectors(
        &mut self,
        node: &'j Json<'a>,
        segment: &Segment,
        rest: &[Segment],
    ) -> Result<(), OverBudget> {
        // Where there is nothing to select, looking at each selector is the only work.
        self.budget.take(segment.selectors.len() / SELECTORS_PER_STEP)?;
        for selector in &segment.selectors {
            match selector {
                Selector::Key(key) => {
                    self.budget.take(price(node, key))?;
                    if let Some(child) = child(node, key) {
                        self.segments(child, rest)?;
                    }
                }
                Selector::Wildcard => {
                    for child in children(node) {
                        self.budget.take(1)?;
                        self.segments(child, rest)?;
                    }
                }
                Selector::Slice(slice) => self.slice(node, slice, rest)?,
                Selector::Filter(filter) => {
                    for child in children(node) {
                        if self.holds(filter, child)? {
                            self.segments(child, rest)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn slice(
        &mut self,
        node: &'j Json<'a>,
        slice: &Slice,
        rest: &[Segment],
    ) -> Result<(), OverBudget> {
        self.budget.take(1)?;
        let Json::Array(elements) = node else {
            return Ok(());
        };
        let (mut at, end) = slice.bounds(elements.len());
        while (slice.step > 0 && at < end) || (slice.step < 0 && at > end) {
            self.budget.take(1)?;
            if let Some(element) = usize::try_from(at).ok().and_then(|at| elements.get(at)) {
                self.segments(element, rest)?;
            }
            at = at.saturating_add(slice.step);
        }
        Ok(())
    }

    fn holds(&mut self, filter: &Filter, current: &'j Json<'a>) -> Result<bool, OverBudget> {
        self.budget.take(1)?;
        match filter {
            Filter::Any(conditions) => {
                for condition in conditions {
                    if self.holds(condition, current)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::All(conditions) => {
                for condition in conditions {
                    if !self.holds(condition, current)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Not(condition) => Ok(!self.holds(condition, current)?),
            Filter::Exists(query) => Ok(self.query(query, current)?.is_some()),
            Filter::Compare(left, relation, right) => {
                let left = self.operand(left, current)?;
                let right = self.operand(right, current)?;
                compare::holds(left, *relation, right, self.budget)
            }
            Filter::Matches(text, pattern) => match self.operand(text, current)? {
                Some(Json::String(text)) => pattern.is_match(text, self.budget),
                _ => Ok(false),
            },
        }
    }

    fn operand<'v>(
        &mut self,
        operand: &'v Operand,
        current: &'j Json<'a>,
    ) -> Result<Option<&'v Json<'v>>, OverBudget>
    where
        'j: 'v,
    {
        match operand {
            Operand::Literal(value) => Ok(Some(value)),
            Operand::Query(query) => self.query(query, current),
        }
    }

    fn query(
        &mut self,
        query: &Query,
        current: &'j Json<'a>,
    ) -> Result<Option<&'j Json<'a>>, OverBudget> {
        let mut node = match query.from {
            Origin::Root => self.root,
            Origin::Current => current,
        };
        for key in &query.keys {
            self.budget.take(price(node, key))?;
            match child(node, key) {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }
}

impl Slice {
    /// First index and the one to stop before, in the direction of the step (RFC 9535 §2.3.4.2).
    fn bounds(&self, len: usize) -> (i64, i64) {
        let len = i64::try_from(len).unwrap_or(i64::MAX);
        let from_end = |index: i64| {
            if index < 0 { index.saturating_add(len) } else { index }
        };
        if self.step >= 0 {
            let bound =
                |index: Option<i64>, default| from_end(index.unwrap_or(default)).clamp(0, len);
            (bound(self.start, 0), bound(self.end, len))
        } else {
            let last = len.saturating_sub(1);
            let bound =
                |index: Option<i64>, default| index.map_or(default, from_end).clamp(-1, last);
            (bound(self.start, last), bound(self.end, -1))
        }
    }
}

fn child<'j, 'a>(node: &'j Json<'a>, key: &Key) -> Option<&'j Json<'a>> {
    match (node, key) {
        (Json::Object(members), Key::Name(name)) => {
            members.iter().find(|(known, _)| **known == **name).map(|(_, value)| value)
        }
        (Json::Array(elements), Key::Index(index)) => {
            let at = match usize::try_from(*index) {
                Ok(at) => at,
                Err(_) => {
                    elements.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
                }
            };
            elements.get(at)
        }
        _ => None,
    }
}

/// What looking for that key costs.
fn price(node: &Json<'_>, key: &Key) -> usize {
    match (node, key) {
        (Json::Object(members), Key::Name(name)) => search_steps(members.len(), name),
        _ => 1,
    }
}

fn children<'j, 'a>(node: &'j Json<'a>) -> Children<'j, 'a> {
    match node {
        Json::Array(elements) => Children::Elements(elements.iter()),
        Json::Object(members) => Children::Members(members.iter()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Children::None,
    }
}

enum Children<'j, 'a> {
    None,
    Elements(slice::Iter<'j, Json<'a>>),
    Members(slice::Iter<'j, (std::borrow::Cow<'a, str>, Json<'a>)>),
}

impl<'j, 'a> Iterator for Children<'j, 'a> {
    type Item = &'j Json<'a>;

    fn next(&mut self) -> Option<&'j Json<'a>> {
        match self {
            Children::None => None,
            Children::Elements(elements) => elements.next(),
            Children::Members(members) => members.next().map(|(_, value)| value),
        }
    }
}
