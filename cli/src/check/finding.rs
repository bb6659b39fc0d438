//! One thing that was found.

use super::codes::Code;
use crate::tree::Node;

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The kind.
    pub(crate) code: &'static Code,
    /// The file.
    pub(crate) file: String,
    /// Which of the file's documents, where it has several.
    pub(crate) document: Option<usize>,
    /// The place in the document; empty for all of it.
    pub(crate) place: String,
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

/// All findings so far, without duplicates.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

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
        let finding = Finding {
            code,
            file: at.document.file.clone(),
            document: at.document.number,
            place: at.place.clone(),
            found: found.into(),
            remedy,
        };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// The worst first; otherwise in the order found.
    pub(crate) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.code.severity);
        self.0
    }
}

/// A place in a message about another one.
pub(crate) fn shown(node: &Node<'_>) -> String {
    let document = node.document.number.map(|n| format!("#{n}")).unwrap_or_default();
    format!("{}{document}: {}", node.document.file, node.place)
}
