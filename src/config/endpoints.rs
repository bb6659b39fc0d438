//! `userinfo_endpoint` and `clusters`: which UserInfo endpoints there are and how they are reached.

use std::rc::Rc;

use super::file::{Fields, Node};
use super::inject::Injected;
use super::location::Report;
use super::names::DEFAULT_REGION;
use super::problem::{first_not, quoted};
use super::targets::{Region, Table, Target, Targets};
use super::uri::{self, Uri};
use super::{identity, names};
use crate::claims::json::Json;
use crate::policy::{CallPolicy, Endpoint, EndpointTable, Endpoints, Site, Success, UnknownRegion};
use crate::provider::key::KeyPrefix;

/// Most regions of one configuration.
const MOST_REGIONS: usize = 10;

/// Most sites of one endpoint.
const MOST_SITES: usize = 5;

/// Longest region code, in bytes.
const LONGEST_CODE: usize = 256;

/// Longest name of a cluster, in bytes.
const LONGEST_CLUSTER: usize = 1024;

/// Reads `userinfo_endpoint`.
pub(super) fn read(top: &Fields<'_>, report: &mut Report) -> Targets {
    const BLOCKED: &str = "every request with a token is answered with \
                           InvalidPreInputConfigurationForUserInfoEndpointURI";
    let key = "userinfo_endpoint";
    let Some(node) = top.get(key) else {
        report.fault(
            &top.place.absent(key),
            format!("missing, expected an object with defaultURI: {BLOCKED}"),
        );
        return Targets(None);
    };
    if !matches!(node.json, Json::Object(_)) {
        let found = node.kind();
        let message = format!("got {found}, expected an object with defaultURI: {BLOCKED}");
        report.fault(&node.place, message);
        return Targets(None);
    }
    Targets(Fields::open(node, names::ENDPOINT_KEYS, report).map(|fields| table(&fields, report)))
}

/// The endpoints as the filter needs them.
pub(super) fn build(
    top: &Fields<'_>,
    targets: Targets,
    injected: &Injected,
    (call, success): (&CallPolicy, &Success),
    report: &mut Report,
) -> Endpoints {
    let clusters = clusters(top, report);
    let state = identity::filter_state(top, report);
    let unknown_region = top
        .choice(
            "unknown_region",
            &[("default", UnknownRegion::UseDefault), ("reject", UnknownRegion::Reject)],
            report,
        )
        .unwrap_or(UnknownRegion::UseDefault);
    let Some(table) = targets.0 else {
        return Endpoints::NotConfigured;
    };
    let site = |target: Target| {
        let Uri { authority, path, scheme } = target.uri;
        let mapped = clusters.iter().find(|(from, _)| *from == authority);
        let cluster = mapped.map_or_else(|| authority.clone(), |(_, name)| (*name).to_owned());
        Site { cluster, authority, path, scheme }
    };
    let endpoint = |region: Region| {
        let sites: Vec<Site> = region.targets.into_iter().map(site).collect();
        Rc::new(Endpoint {
            key: KeyPrefix::of(call, success, &region.code, &sites),
            rules: injected.rules(&region.code),
            state: Rc::clone(&state),
            region: region.code.into(),
            sites,
        })
    };
    Endpoints::Configured(EndpointTable {
        region_header: table.region_header,
        regions: table.regions.into_iter().map(endpoint).collect(),
        default: table.default.map(endpoint),
        unknown_region,
    })
}

fn table(fields: &Fields<'_>, report: &mut Report) -> Table {
    let region_header = fields.get("regionCodeHeader").and_then(|node| {
        let name = node.text("the name of a request header", report)?;
        names::region_code(name).map_err(|wrong| report.problem(&node.place, wrong)).ok()
    });
    let (codes, regions) = regions(fields, report);
    for (one, other) in
        [("regionCodeHeader", "regionCodeValue"), ("regionCodeValue", "regionCodeHeader")]
    {
        if let (Some(node), None) = (fields.get(one), fields.get(other)) {
            report.problem(
                &node.place,
                format!(
                    "{other} is missing, expected both keys or \
                                                 neither"
                ),
            );
        }
    }
    Table { region_header, codes, regions, default: default(fields, report) }
}

fn regions(fields: &Fields<'_>, report: &mut Report) -> (Option<Vec<String>>, Vec<Region>) {
    let Some(node) = fields.get("regionCodeValue") else {
        return (Some(Vec::new()), Vec::new());
    };
    let place = node.place.clone();
    let Some(map) = Fields::open_map(node, report) else {
        return (None, Vec::new());
    };
    let count = map.len();
    if !(1..=MOST_REGIONS).contains(&count) {
        let message = format!("got {count} regions, expected 1 to {MOST_REGIONS}");
        report.problem(&place, message);
    }
    let mut codes: Vec<String> = Vec::new();
    let mut regions = Vec::new();
    for (code, node) in map.iter() {
        if let Some(wrong) = wrong_code(code) {
            report.problem(&node.place, wrong);
        } else if let Some(twin) = codes.iter().find(|c| c.eq_ignore_ascii_case(code)) {
            let twin = quoted(twin);
            report.problem(
                &node.place,
                format!(
                    "got a region code that differs from {twin} only in letter case, expected \
                         distinct codes"
                ),
            );
        }
        codes.push(code.to_owned());
        regions.extend(region(code, node, report));
    }
    (Some(codes), regions)
}

/// What is wrong with a region code.
fn wrong_code(code: &str) -> Option<String> {
    if code.is_empty() {
        return Some("got an empty region code, expected at least one character".to_owned());
    }
    if code == DEFAULT_REGION {
        return Some(format!(
            "got region code {DEFAULT_REGION}, expected another one: it is reserved for defaultURI"
        ));
    }
    if code.len() > LONGEST_CODE {
        let length = code.len();
        return Some(format!(
            "got a region code of {length} bytes, expected at most \
                             {LONGEST_CODE}"
        ));
    }
    if code.trim() != code {
        return Some(
            "got a region code with white space at the start or end, expected none".to_owned(),
        );
    }
    let found = first_not(code, |c| !c.is_control())?;
    Some(format!("got a region code with {found}, expected no control characters"))
}

fn default(fields: &Fields<'_>, report: &mut Report) -> Option<Region> {
    const BLOCKED: &str = "requests without a matching region are answered with \
                           DefaultUserInfoURINotPresent";
    let key = "defaultURI";
    let Some(node) = fields.get(key) else {
        let message = format!("missing, expected an endpoint URI: {BLOCKED}");
        report.fault(&fields.place.absent(key), message);
        return None;
    };
    if matches!(node.json, Json::String(text) if text.is_empty()) {
        report.fault(&node.place, format!("got empty text, expected an endpoint URI: {BLOCKED}"));
        return None;
    }
    region(DEFAULT_REGION, node, report)
}

/// A region's endpoint: one URI, or several in the order in which they are tried.
fn region(code: &str, node: Node<'_>, report: &mut Report) -> Option<Region> {
    let targets: Vec<Target> = match node.json {
        Json::Array(elements) => {
            let count = elements.len();
            if !(1..=MOST_SITES).contains(&count) {
                let message = format!("got {count} endpoint URIs, expected 1 to {MOST_SITES}");
                report.problem(&node.place, message);
            }
            let mut targets: Vec<Target> = Vec::new();
            for element in node.elements() {
                let Some(target) = target(&element, "an endpoint URI as text", report) else {
                    continue;
                };
                if targets.iter().any(|other| other.uri == target.uri) {
                    report.problem(&target.place, "repeated endpoint URI, expected each once");
                }
                targets.push(target);
            }
            targets
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
            let allowed = "an endpoint URI as text, or an array of them";
            target(&node, allowed, report).into_iter().collect()
        }
    };
    (!targets.is_empty()).then(|| Region { code: code.to_owned(), targets })
}

fn target(node: &Node<'_>, allowed: &str, report: &mut Report) -> Option<Target> {
    let text = node.text(allowed, report)?;
    match uri::endpoint(text) {
        Ok(uri) => Some(Target { uri, place: node.place.clone() }),
        Err(wrong) => {
            report.problem(&node.place, wrong);
            None
        }
    }
}

/// Cluster names by authority. An authority that no endpoint has is no mistake: the same table
/// may serve several instances.
fn clusters<'j>(top: &Fields<'j>, report: &mut Report) -> Vec<(&'j str, &'j str)> {
    let mut clusters = Vec::new();
    for (authority, node) in top.map("clusters", report).iter().flat_map(Fields::iter) {
        let Some(name) = node.text("the name of a cluster as text", report) else {
            continue;
        };
        let wrong = if name.is_empty() {
            Some("got empty text, expected the name of a cluster".to_owned())
        } else if name.len() > LONGEST_CLUSTER {
            let length = name.len();
            Some(format!("got {length} bytes, expected at most {LONGEST_CLUSTER}"))
        } else {
            first_not(name, |c| !c.is_control())
                .map(|found| format!("got {found}, expected no control characters"))
        };
        match wrong {
            Some(wrong) => report.problem(&node.place, wrong),
            None => clusters.push((authority, name)),
        }
    }
    clusters
}
