//! The report of a migration, as Markdown: the values read, the differences in behaviour, and the
//! open decisions. Its reader operates the gateway, so the problems come first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::leniency::Leniency;
use super::settings::{Finding, Row, Weight};
use crate::bootstrap::clusters::{Cluster, Proxy};

/// The content of a report.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) rows: &'a [Row],
    pub(super) findings: &'a [Finding],
    pub(super) lenient: &'a BTreeMap<Leniency, BTreeSet<usize>>,
    pub(super) clusters: &'a [Cluster],
    pub(super) proxy: Option<&'a Proxy>,
    /// Differences in behaviour that concern this configuration.
    pub(super) differences: Vec<String>,
    /// Settings that the text does not define.
    pub(super) decisions: Vec<String>,
    /// What the source system has no word for.
    pub(super) beyond: Vec<String>,
}

impl Report<'_> {
    /// The report's text.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::from("# Migration report\n");
        let mend = self.of(Weight::Mend);
        let left_out = self.of(Weight::LeftOut);
        let refusing = self.of(Weight::Refusing);
        let rows = self.rows.len();
        let verdict = match (mend.is_empty(), refusing.is_empty(), left_out.is_empty()) {
            (false, _, _) => "There is no result: correct the lines below and run this again.",
            (true, false, _) => "The result refuses requests: see below.",
            (true, true, false) => "The result is incomplete: see \"Not carried over\" below.",
            (true, true, true) => "The result is complete.",
        };
        add(&mut text, &format!("\n{rows} values read. {verdict}\n"));
        list(&mut text, "To correct", &mend);
        list(&mut text, "Requests that will be refused", &refusing);
        list(&mut text, "Not carried over", &left_out);
        if !self.rows.is_empty() {
            add(&mut text, "\n## Values read\n\n| line | key | value |\n|---|---|---|\n");
            for Row { line, place, taken } in self.rows {
                add(&mut text, &format!("| {line} | {} | {} |\n", code(place), code(taken)));
            }
        }
        if !self.lenient.is_empty() {
            add(&mut text, "\n## Lenient syntax in the text\n\n| what | lines |\n|---|---|\n");
            for (leniency, lines) in self.lenient {
                let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
                add(&mut text, &format!("| {} | {} |\n", leniency.said(), lines.join(", ")));
            }
        }
        if mend.is_empty() {
            self.add_clusters(&mut text);
            list(&mut text, "Differences in behaviour", &self.differences);
            list(&mut text, "Open decisions", &self.decisions);
            list(&mut text, "Beyond the source system", &self.beyond);
        }
        text
    }

    fn of(&self, weight: Weight) -> Vec<String> {
        let of_weight = self.findings.iter().filter(|finding| finding.weight == weight);
        of_weight
            .map(|Finding { line, what, remedy, .. }| match line {
                Some(line) => format!("line {line}: {what}; {remedy}"),
                None => format!("{what}; {remedy}"),
            })
            .collect()
    }

    fn add_clusters(&self, text: &mut String) {
        if self.clusters.is_empty() {
            return;
        }
        add(text, "\n## Clusters\n\n| authority in the URI | cluster | reached |\n|---|---|---|\n");
        for Cluster { authority, name, host, port, tls } in self.clusters {
            let how = if *tls { format!("TLS, as `{host}`") } else { "plain HTTP".to_owned() };
            let way = match self.proxy {
                None => format!("`{host}:{port}`, {how}"),
                Some(proxy) => {
                    format!("`{host}:{port}` through `{}:{}`, {how}", proxy.server, proxy.port)
                }
            };
            add(text, &format!("| `{authority}` | `{name}` | {way} |\n"));
        }
    }
}

fn add(text: &mut String, more: &str) {
    // Writing to a String cannot fail.
    let _ = text.write_str(more);
}

fn list(text: &mut String, title: &str, items: &[String]) {
    if !items.is_empty() {
        add(text, &format!("\n## {title}\n\n"));
        for item in items {
            add(text, &format!("- {item}\n"));
        }
    }
}

/// Text as code in a table cell; a `|` in it is escaped.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}
