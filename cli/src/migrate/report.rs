//! The report of a migration, as Markdown: what was read as what, what behaves differently here,
//! and what somebody has to decide.
//!
//! It is written for the person who answers for the gateway afterwards, so it says first what keeps
//! the result from being whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::clusters::{Cluster, Proxy};
use super::leniency::Leniency;
use super::settings::{Finding, Row, Weight};

/// Everything that a report is about.
#[derive(Debug)]
pub(super) struct Report<'a> {
    pub(super) rows: &'a [Row],
    pub(super) findings: &'a [Finding],
    pub(super) lenient: &'a BTreeMap<Leniency, BTreeSet<usize>>,
    pub(super) clusters: &'a [Cluster],
    pub(super) proxy: Option<&'a Proxy>,
    /// What behaves differently here, of what this configuration uses.
    pub(super) differences: Vec<String>,
    /// What the text does not say.
    pub(super) decisions: Vec<String>,
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
            (false, _, _) => "There is no result: mend what follows and run this again.",
            (true, false, _) => {
                "There is a result, but with it requests will be refused: see below."
            }
            (true, true, false) => {
                "There is a result; it lacks what is listed as not carried over."
            }
            (true, true, true) => "There is a result, and it says all that the text says.",
        };
        add(&mut text, &format!("\n{rows} values read. {verdict}\n"));
        list(&mut text, "To mend", &mend);
        list(&mut text, "Requests that will be refused", &refusing);
        list(&mut text, "Not carried over", &left_out);
        if !self.rows.is_empty() {
            add(
                &mut text,
                "\n## What was read as what\n\n| line | place | taken as |\n|---|---|---|\n",
            );
            for Row { line, place, taken } in self.rows {
                add(&mut text, &format!("| {line} | {} | {} |\n", code(place), code(taken)));
            }
        }
        if !self.lenient.is_empty() {
            add(&mut text, "\n## Liberties of the text\n\n| what | lines |\n|---|---|\n");
            for (leniency, lines) in self.lenient {
                let lines: Vec<String> = lines.iter().map(usize::to_string).collect();
                add(&mut text, &format!("| {} | {} |\n", leniency.said(), lines.join(", ")));
            }
        }
        if mend.is_empty() {
            self.add_clusters(&mut text);
            list(&mut text, "What behaves differently here", &self.differences);
            list(&mut text, "What you have to decide", &self.decisions);
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
            let how = if *tls { format!("TLS, as `{host}`") } else { "in plain".to_owned() };
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

/// Text in a cell of a table, as code: whatever stands in it, it stays in its cell.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}
