//! Locations in a configuration, and the report of the problems found there.
//! Checks run in any order; the report is sorted into document order at the end.

use super::problem::{Problem, quoted};

/// The place of one value: its path as shown, and its position in the document.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    path: String,
    order: Vec<usize>,
}

impl Location {
    /// The place of the whole configuration.
    pub(crate) fn root() -> Location {
        Location { path: String::new(), order: Vec::new() }
    }

    /// The place of the member of that name, the `index`th one of the object at this place.
    pub(crate) fn member(&self, index: usize, name: &str) -> Location {
        let mut place = self.child(index);
        if !is_plain(name) {
            place.path.push('[');
            place.path.push_str(&quoted(name));
            place.path.push(']');
        } else {
            if !place.path.is_empty() {
                place.path.push('.');
            }
            place.path.push_str(name);
        }
        place
    }

    /// The place of an absent member: after the present ones.
    pub(crate) fn absent(&self, name: &str) -> Location {
        self.member(usize::MAX, name)
    }

    /// The place of an array's element.
    pub(crate) fn element(&self, index: usize) -> Location {
        let mut place = self.child(index);
        place.path.push_str(&format!("[{index}]"));
        place
    }

    fn child(&self, index: usize) -> Location {
        let mut place = self.clone();
        place.order.push(index);
        place
    }
}

/// Whether a name needs no brackets and quotation marks in a path.
fn is_plain(name: &str) -> bool {
    (1..=48).contains(&name.len())
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    found: Vec<(Vec<usize>, Problem)>,
    refuses: bool,
}

impl Report {
    /// A problem for which the configuration is refused.
    pub(crate) fn problem(&mut self, at: &Location, message: impl Into<String>) {
        self.refuses = true;
        self.fault(at, message);
    }

    /// A problem with which the configuration loads, but requests are refused.
    pub(crate) fn fault(&mut self, at: &Location, message: impl Into<String>) {
        let problem = Problem { path: at.path.clone(), message: message.into() };
        // Behind what was found at the same place; mostly at the end, since documents are read in order.
        let behind = self.found.partition_point(|(order, _)| *order <= at.order);
        self.found.insert(behind, (at.order.clone(), problem));
    }

    /// Whether there was a problem, as opposed to nothing or faults alone.
    pub(crate) fn refuses(&self) -> bool {
        self.refuses
    }

    /// Everything found, in document order.
    pub(crate) fn in_order(self) -> Vec<Problem> {
        self.found.into_iter().map(|(_, problem)| problem).collect()
    }
}
