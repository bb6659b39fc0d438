//! Findings as text and as JSON.

use serde_json::{Value, json};

use super::allowed::Allowed;
use super::codes::Severity;
use super::finding::Finding;
use crate::output::{Format, say};

/// The findings and how to print them.
pub(crate) struct Report<'f> {
    pub(super) findings: &'f [Finding],
    pub(super) allowed: &'f Allowed,
    /// How many instances of the filter were looked at.
    pub(super) instances: usize,
    /// The files that could not be read.
    pub(super) unreadable: &'f [&'f str],
}

impl Report<'_> {
    /// Whether there is an error or a warning without `--allow`.
    pub(crate) fn has_findings(&self) -> bool {
        let grave = |finding: &&Finding| finding.code.severity != Severity::Note;
        self.findings.iter().filter(grave).any(|finding| !self.allowed.covers(finding))
    }

    fn is_ok(&self) -> bool {
        self.unreadable.is_empty() && !self.has_findings()
    }

    /// Prints it all.
    pub(crate) fn print(&self, format: Format) {
        match format {
            Format::Json => say(format_args!("{:#}", self.json())),
            Format::Text => self.print_text(),
        }
    }

    fn print_text(&self) {
        for finding in self.findings.iter().filter(|finding| !self.allowed.covers(finding)) {
            let Finding { file, document, place, found, code, .. } = finding;
            let document = document.map(|number| format!("#{number}")).unwrap_or_default();
            let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
            let severity = code.severity.as_str();
            say(format_args!("{file}{document}: {severity}[{}]: {place}{found}", code.name));
            if code.severity != Severity::Note {
                say(format_args!("    why: {}", code.why));
            }
            say(format_args!("    do:  {}", finding.remedy()));
        }
        let [errors, warnings, notes] = [Severity::Error, Severity::Warning, Severity::Note]
            .map(|severity| counted(self.count(severity), severity.as_str()));
        let instances = counted(self.instances, "instance");
        let allowed = self.findings.iter().filter(|finding| self.allowed.covers(finding)).count();
        let verdict = if self.is_ok() { "ok" } else { "not ok" };
        let summary = format!("{verdict}: {instances}, {errors}, {warnings}, {notes}");
        match allowed {
            0 => say(summary),
            _ => say(format_args!("{summary}, {allowed} allowed")),
        }
    }

    fn count(&self, severity: Severity) -> usize {
        let counts =
            |finding: &&Finding| finding.code.severity == severity && !self.allowed.covers(finding);
        self.findings.iter().filter(counts).count()
    }

    fn json(&self) -> Value {
        let finding = |finding: &Finding| {
            json!({
                "code": finding.code.name,
                "severity": finding.code.severity.as_str(),
                "file": finding.file,
                "document": finding.document,
                "place": finding.place,
                "found": finding.found,
                "why": finding.code.why,
                "remedy": finding.remedy(),
                "allowed": self.allowed.covers(finding),
            })
        };
        json!({
            "version": 1,
            "ok": self.is_ok(),
            "unreadable": self.unreadable,
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
