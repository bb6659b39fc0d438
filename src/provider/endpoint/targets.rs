//! `userinfo_endpoint`, `clusters` and `unknown_region`, as the configuration writes them.

use std::collections::BTreeMap;

use crate::config::file::{Fields, Node};
use crate::config::key::{Choice, Key, Own};
use crate::config::location::{Location, Report};
use crate::config::names::{self, DEFAULT_REGION};
use crate::config::problem::{first_not, quoted};
use crate::config::shape::{Keys, Object, text};
use crate::config::tree::Tree;
use crate::config::uri::{self, Uri};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&USERINFO_ENDPOINT, &UNKNOWN_REGION, &CLUSTERS];

static USERINFO_ENDPOINT: Key<&Object> = Key::new(
    "userinfo_endpoint",
    &Object {
        title: "UserinfoEndpoint",
        keys: &[&REGION_CODE_HEADER, &REGION_CODE_VALUE, &DEFAULT_URI],
        more: text(
            r##""required": ["defaultURI"], "dependentRequired": {
                "regionCodeHeader": ["regionCodeValue"], "regionCodeValue": ["regionCodeHeader"]}"##,
        ),
    },
    text("which UserInfo endpoint is called"),
);

static DEFAULT_URI: Key<Own> = Key::new(
    "defaultURI",
    Own {
        schema: text(r##"{"$ref": "#/$defs/Endpoint"}"##),
        told: text("URI, or 1 to 5 in order"),
    },
    text("called when no region applies"),
);

static REGION_CODE_HEADER: Key<Own> = Key::new(
    "regionCodeHeader",
    Own { schema: text(r##"{"$ref": "#/$defs/HeaderName"}"##), told: text("header name") },
    text("request header with the region code; only with `regionCodeValue`"),
);

static REGION_CODE_VALUE: Key<Own> = Key::new(
    "regionCodeValue",
    Own {
        schema: text(
            r##"{"type": "object", "minProperties": 1, "maxProperties": 10,
                "propertyNames": {"$ref": "#/$defs/RegionCode", "not": {"const": "default"}},
                "additionalProperties": {"$ref": "#/$defs/Endpoint"}}"##,
        ),
        told: text("object code → URI or list of URIs, 1 to 10"),
    },
    text("the UserInfo endpoint of each region; only with `regionCodeHeader`"),
);

static UNKNOWN_REGION: Key<Choice<UnknownRegion>> = Key::new(
    "unknown_region",
    Choice {
        default: ("default", UnknownRegion::UseDefault),
        others: &[("reject", UnknownRegion::Reject)],
    },
    text(
        "what a code that is not configured, or a doubled header, gets: the default endpoint, or \
         `InvalidRegionCode`",
    ),
);

static CLUSTERS: Key<Own> = Key::new(
    "clusters",
    Own {
        schema: text(
            r##"{"type": "object", "additionalProperties":
                {"$ref": "#/$defs/NoControl", "minLength": 1, "maxLength": 1024}}"##,
        ),
        told: text("object authority → cluster"),
    },
    text(
        "which Envoy cluster carries calls to `host` or `host:port`, as written in the URI; without an \
         entry the cluster's name is the authority",
    ),
);

/// `unknown_region`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownRegion {
    /// The default endpoint responds, as in the source system.
    UseDefault,
    /// The request is refused with `InvalidRegionCode`.
    Reject,
}

/// Most regions of one configuration.
const MOST_REGIONS: usize = 10;

/// Most sites of one endpoint.
const MOST_SITES: usize = 5;

/// Longest region code, in bytes.
const LONGEST_CODE: usize = 256;

/// Longest name of a cluster, in bytes.
const LONGEST_CLUSTER: usize = 1024;

/// The endpoints as written; `None` if `userinfo_endpoint` is absent or not an object.
#[derive(Debug)]
pub(crate) struct Targets(pub(crate) Option<Table>);

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) region_header: Option<String>,
    /// `None` if `regionCodeValue` could not be read, so that nothing can be said about codes.
    pub(crate) codes: Option<Vec<String>>,
    pub(crate) regions: Vec<Region>,
    pub(crate) default: Option<Region>,
}

/// One region's endpoint as written.
#[derive(Debug)]
pub(crate) struct Region {
    /// The region code, or `default`.
    pub(crate) code: String,
    /// In order; at least one.
    pub(crate) targets: Vec<Target>,
}

/// One site as written.
#[derive(Debug)]
pub(crate) struct Target {
    /// Where it is called.
    pub(crate) uri: Uri,
    /// Where the configuration says so.
    pub(crate) place: Location,
}

impl Targets {
    /// The codes that are regions; `None` if that cannot be known.
    pub(crate) fn codes(&self) -> Option<&[String]> {
        self.0.as_ref()?.codes.as_deref()
    }

    /// The header that the region code is read from, lower-cased.
    pub(crate) fn code_header(&self) -> Option<&str> {
        self.0.as_ref()?.region_header.as_deref()
    }

    /// Every site that could be read.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Target> {
        let regions = self.0.iter().flat_map(|table| table.regions.iter().chain(&table.default));
        regions.flat_map(|region| &region.targets)
    }
}

/// Reads `userinfo_endpoint`.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> Targets {
    const BLOCKED: &str = "every request with a token is answered with \
                           InvalidPreInputConfigurationForUserInfoEndpointURI";
    let Some(node) = USERINFO_ENDPOINT.node(top) else {
        report.fault(
            &top.place.absent(USERINFO_ENDPOINT.name()),
            format!("missing, expected an object with defaultURI: {BLOCKED}"),
        );
        return Targets(None);
    };
    if !matches!(node.value, Tree::Object(_)) {
        let found = node.kind();
        let message = format!("got {found}, expected an object with defaultURI: {BLOCKED}");
        report.fault(&node.place, message);
        return Targets(None);
    }
    Targets(USERINFO_ENDPOINT.open(top, report).map(|fields| table(&fields, report)))
}

fn table(fields: &Fields<'_>, report: &mut Report) -> Table {
    let region_header = REGION_CODE_HEADER.node(fields).and_then(|node| {
        let name = node.text("the name of a request header", report)?;
        names::region_code(name).map_err(|wrong| report.problem(&node.place, wrong)).ok()
    });
    let (codes, regions) = regions(fields, report);
    for (one, other) in
        [(&REGION_CODE_HEADER, &REGION_CODE_VALUE), (&REGION_CODE_VALUE, &REGION_CODE_HEADER)]
    {
        if let (Some(node), None) = (one.node(fields), other.node(fields)) {
            let other = other.name();
            report
                .problem(&node.place, format!("{other} is missing, expected both keys or neither"));
        }
    }
    Table { region_header, codes, regions, default: default(fields, report) }
}

fn regions(fields: &Fields<'_>, report: &mut Report) -> (Option<Vec<String>>, Vec<Region>) {
    let Some(node) = REGION_CODE_VALUE.node(fields) else {
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
    let Some(node) = DEFAULT_URI.node(fields) else {
        let message = format!("missing, expected an endpoint URI: {BLOCKED}");
        report.fault(&fields.place.absent(DEFAULT_URI.name()), message);
        return None;
    };
    if matches!(node.value, Tree::Text(text) if text.is_empty()) {
        report.fault(&node.place, format!("got empty text, expected an endpoint URI: {BLOCKED}"));
        return None;
    }
    region(DEFAULT_REGION, node, report)
}

/// A region's endpoint: one URI, or several in the order in which they are tried.
fn region(code: &str, node: Node<'_>, report: &mut Report) -> Option<Region> {
    let targets: Vec<Target> = match node.value {
        Tree::List(elements) => {
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
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::Object(_) => {
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
pub(crate) fn clusters<'j>(top: &Fields<'j>, report: &mut Report) -> BTreeMap<&'j str, &'j str> {
    let mut clusters = BTreeMap::new();
    for (authority, node) in top.map(CLUSTERS.name(), report).iter().flat_map(Fields::iter) {
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
            None => drop(clusters.insert(authority, name)),
        }
    }
    clusters
}

/// Reads `unknown_region`.
pub(crate) fn unknown_region(top: &Fields<'_>, report: &mut Report) -> UnknownRegion {
    UNKNOWN_REGION.read(top, report)
}
