//! One thing that was found, and where.

use std::collections::{HashMap, HashSet};

use super::codes::Code;
use crate::tree::Node;

/// Where something was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: String,
    /// Which of the file's documents, where it has several.
    pub(crate) document: Option<usize>,
    /// The line in the file, if that is known.
    pub(crate) line: Option<usize>,
    /// The place in the document; empty for all of it.
    pub(crate) path: String,
}

impl Place {
    fn of(node: &Node<'_>) -> Place {
        Place {
            file: node.document.file.clone(),
            document: node.document.number,
            line: node.document.line(&node.place),
            path: node.place.clone(),
        }
    }

    /// File and line; without a line the file's document.
    pub(crate) fn file(&self) -> String {
        match (self.line, self.document) {
            (Some(line), _) => format!("{}:{line}", self.file),
            (None, Some(document)) => format!("{}#{document}", self.file),
            (None, None) => self.file.clone(),
        }
    }

    /// All of it as text.
    pub(crate) fn shown(&self) -> String {
        match self.path.is_empty() {
            true => self.file(),
            false => format!("{}: {}", self.file(), self.path),
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Finding {
    /// The kind.
    pub(crate) code: &'static Code,
    /// The first place.
    pub(crate) place: Place,
    /// The others with the same cause.
    pub(crate) also: Vec<Place>,
    /// The finding as text.
    pub(crate) found: String,
    /// The remedy, where the code's own text does not fit.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    /// The remedy.
    pub(crate) fn remedy(&self) -> &str {
        self.remedy.as_deref().unwrap_or(self.code.remedy)
    }
}

/// All findings so far: what is said in the same words is one, with its places.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    known: HashMap<(&'static str, String, Option<String>), usize>,
    places: HashSet<(usize, Place)>,
}

impl Findings {
    /// Adds a finding at a place.
    pub(crate) fn add(&mut self, code: &'static Code, at: &Node<'_>, found: impl Into<String>) {
        self.add_with(code, at, found, None);
    }

    /// A finding at a place, with its own remedy.
    pub(crate) fn add_with(
        &mut self,
        code: &'static Code,
        at: &Node<'_>,
        found: impl Into<String>,
        remedy: Option<String>,
    ) {
        let (place, found) = (Place::of(at), found.into());
        let next = self.found.len();
        let known = (code.name, found.clone(), remedy.clone());
        let index = *self.known.entry(known).or_insert(next);
        if !self.places.insert((index, place.clone())) {
            return;
        }
        match self.found.get_mut(index) {
            Some(finding) => finding.also.push(place),
            None => self.found.push(Finding { code, place, also: Vec::new(), found, remedy }),
        }
    }

    /// The worst first; otherwise in the order found.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|finding| finding.code.severity);
        self.found
    }
}

/// A place in a message about another one.
pub(crate) fn shown(node: &Node<'_>) -> String {
    Place::of(node).shown()
}
