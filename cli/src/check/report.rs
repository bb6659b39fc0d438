//! Findings as text and as JSON.

use serde_json::{Value, json};

use super::allowed::Allowed;
use super::codes::Severity;
use super::finding::{Finding, Place};
use crate::output::Format;

/// The findings and how to print them.
pub(crate) struct Report<'f> {
    pub(super) findings: Vec<Finding>,
    pub(super) allowed: &'f Allowed,
    /// How many instances of the filter were looked at.
    pub(super) instances: usize,
    /// The files that could not be read.
    pub(super) unreadable: &'f [String],
    /// The files, or documents of files, of no known kind.
    pub(super) unknown: Vec<String>,
}

impl Report<'_> {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match (self.unreadable.is_empty(), self.has_findings(), self.unknown.is_empty()) {
            (false, ..) => 2,
            (true, true, _) => 1,
            (true, false, false) => 3,
            (true, false, true) => 0,
        }
    }

    /// Whether there is an error or a warning without `--allow`.
    fn has_findings(&self) -> bool {
        let grave = |finding: &&Finding| finding.code.severity != Severity::Note;
        self.findings.iter().filter(grave).any(|finding| !self.allowed.covers(finding))
    }

    /// All of it.
    pub(crate) fn shown(&self, format: Format) -> String {
        match format {
            Format::Json => format!("{:#}", self.json()),
            Format::Text => self.text(),
        }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        for finding in self.findings.iter().filter(|finding| !self.allowed.covers(finding)) {
            let Finding { place, also, found, code, .. } = finding;
            let (file, severity) = (place.file(), code.severity.as_str());
            let path = &place.path;
            let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
            lines.push(format!("{file}: {severity}[{}]: {path}{found}", code.name));
            lines.extend(also.iter().map(|place| format!("    also: {}", place.shown())));
            if code.severity != Severity::Note {
                lines.push(format!("    why: {}", code.why));
            }
            lines.push(format!("    do:  {}", finding.remedy()));
        }
        let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note]
            .map(|severity| counted(self.count(severity), severity.as_str()));
        let instances = counted(self.instances, "instance");
        let allowed = self.findings.iter().filter(|finding| self.allowed.covers(finding)).count();
        // Without an instance nothing is "ok", whatever else was looked at.
        let verdict = match (self.code(), self.instances) {
            (0, 0) => "no instance checked",
            (0, _) => "ok",
            _ => "not ok",
        };
        let mut summary = format!("{verdict}: {instances}, {errors}, {warnings}, {notes}");
        if allowed > 0 {
            summary.push_str(&format!(", {allowed} allowed"));
        }
        lines.push(summary);
        lines.join("\n")
    }

    fn count(&self, severity: Severity) -> usize {
        let counts =
            |finding: &&Finding| finding.code.severity == severity && !self.allowed.covers(finding);
        self.findings.iter().filter(counts).count()
    }

    fn json(&self) -> Value {
        let also = |place: &Place| {
            let Place { file, document, line, path } = place;
            json!({"file": file, "document": document, "line": line, "place": path})
        };
        let finding = |finding: &Finding| {
            json!({
                "code": finding.code.name,
                "severity": finding.code.severity.as_str(),
                "file": finding.place.file,
                "document": finding.place.document,
                "line": finding.place.line,
                "place": finding.place.path,
                "also": finding.also.iter().map(also).collect::<Vec<Value>>(),
                "found": finding.found,
                "why": finding.code.why,
                "remedy": finding.remedy(),
                "allowed": self.allowed.covers(finding),
            })
        };
        json!({
            "version": 1,
            "ok": self.code() == 0,
            "unreadable": self.unreadable,
            "unknown": self.unknown,
            "instances": self.instances,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "notes": self.count(Severity::Note),
            "findings": self.findings.iter().map(finding).collect::<Vec<Value>>(),
        })
    }
}

fn counted(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}
