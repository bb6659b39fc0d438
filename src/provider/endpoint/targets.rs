//! `userinfo_endpoint` or `introspection_endpoint`, `clusters` and `unknown_region`, as the configuration
//! writes them.

use std::collections::BTreeMap;

use super::issuers::{self, ISSUERS, UNKNOWN_ISSUER, UnknownIssuer};
use super::region::{Region, Target, region};
use crate::config::file::{Fields, Node};
use crate::config::key::{Choice, Key, Own};
use crate::config::location::Report;
use crate::config::names::{self, DEFAULT_REGION};
use crate::config::problem::{first_not, quoted};
use crate::config::shape::{Keys, Object, text};
use crate::config::tree::Tree;

/// The keys of this room.
pub(crate) const KEYS: Keys =
    &[&USERINFO_ENDPOINT, &INTROSPECTION_ENDPOINT, &UNKNOWN_REGION, &UNKNOWN_ISSUER, &CLUSTERS];

static USERINFO_ENDPOINT: Key<&Object> = Key::new(
    "userinfo_endpoint",
    &ENDPOINT,
    text("which UserInfo endpoint is called; not together with `introspection_endpoint`"),
);

static INTROSPECTION_ENDPOINT: Key<&Object> = Key::new(
    "introspection_endpoint",
    &ENDPOINT,
    text(
        "which introspection endpoint (RFC 7662) is called instead, with `introspection_client`; same \
         form. For providers whose UserInfo endpoint does not know machine tokens, or that have none",
    ),
);

static ENDPOINT: Object = Object {
    title: "Endpoints",
    keys: &[&REGION_CODE_HEADER, &REGION_CODE_VALUE, &ISSUERS, &DEFAULT_URI],
    more: text(
        r##""anyOf": [{"required": ["defaultURI"]}, {"required": ["issuers"]}],
            "not": {"required": ["issuers", "regionCodeHeader"]},
            "dependentRequired": {
                "regionCodeHeader": ["regionCodeValue"], "regionCodeValue": ["regionCodeHeader"]}"##,
    ),
};

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
    text("the endpoint of each region; only with `regionCodeHeader`"),
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

/// Longest region code, in bytes.
const LONGEST_CODE: usize = 256;

/// Longest name of a cluster, in bytes.
const LONGEST_CLUSTER: usize = 1024;

/// The endpoints as written; no table if the key is absent or not an object.
#[derive(Debug)]
pub(crate) struct Targets {
    /// How tokens are validated there.
    pub(crate) kind: Kind,
    pub(crate) table: Option<Table>,
}

/// The way in which tokens are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `userinfo_endpoint`
    UserInfo,
    /// `introspection_endpoint`
    Introspection,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) region_header: Option<String>,
    /// Whether the token's issuer chooses.
    pub(crate) by_issuer: bool,
    /// `None` if the regions could not be read, so that nothing can be said about codes.
    pub(crate) codes: Option<Vec<String>>,
    pub(crate) regions: Vec<Region>,
    pub(crate) default: Option<Region>,
}

impl Targets {
    /// The codes that are regions; `None` if that cannot be known.
    pub(crate) fn codes(&self) -> Option<&[String]> {
        self.table.as_ref()?.codes.as_deref()
    }

    /// The header that the region code is read from, lower-cased.
    pub(crate) fn code_header(&self) -> Option<&str> {
        self.table.as_ref()?.region_header.as_deref()
    }

    /// Every region that could be read, the default among them.
    pub(crate) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.table.iter().flat_map(|table| table.regions.iter().chain(&table.default))
    }

    /// Every site that could be read.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.regions().flat_map(|region| &region.targets)
    }
}

/// Reads the endpoints.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> Targets {
    const BLOCKED: &str = "every request with a token is answered with \
                           InvalidPreInputConfigurationForUserInfoEndpointURI";
    let introspection = INTROSPECTION_ENDPOINT.node(top);
    if let (Some(_), Some(node)) = (USERINFO_ENDPOINT.node(top), &introspection) {
        report.problem(
            &node.place,
            "got introspection_endpoint together with userinfo_endpoint, expected one of the two: an \
             instance validates tokens in one way",
        );
    }
    let (kind, key) = match introspection {
        Some(_) => (Kind::Introspection, &INTROSPECTION_ENDPOINT),
        None => (Kind::UserInfo, &USERINFO_ENDPOINT),
    };
    let none = Targets { kind, table: None };
    let Some(node) = key.node(top) else {
        report.fault(
            &top.place.absent(key.name()),
            format!(
                "missing, expected an object with defaultURI or issuers, or {} instead: {BLOCKED}",
                INTROSPECTION_ENDPOINT.name()
            ),
        );
        return none;
    };
    if !matches!(node.value, Tree::Object(_)) {
        let expected =
            format!("got {}, expected an object with defaultURI or issuers", node.kind());
        match kind {
            Kind::UserInfo => report.fault(&node.place, format!("{expected}: {BLOCKED}")),
            // No connector of the source system introspects: there is nothing to keep to.
            Kind::Introspection => report.problem(&node.place, expected),
        }
        return none;
    }
    Targets { kind, table: key.open(top, report).map(|fields| table(&fields, kind, report)) }
}

fn table(fields: &Fields<'_>, kind: Kind, report: &mut Report) -> Table {
    let region_header = REGION_CODE_HEADER.node(fields).and_then(|node| {
        let name = node.text("the name of a request header", report)?;
        names::region_code(name).map_err(|wrong| report.problem(&node.place, wrong)).ok()
    });
    let (codes, regions) = regions(fields, report);
    for (one, other) in
        [(&REGION_CODE_HEADER, &REGION_CODE_VALUE), (&REGION_CODE_VALUE, &REGION_CODE_HEADER)]
    {
        if let (Some(node), None) = (one.node(fields), other.node(fields)) {
            let (one, other) = (one.name(), other.name());
            let wrong = format!("got {one} without {other}, expected both keys or neither");
            report.problem(&node.place, wrong);
        }
    }
    let issuers = issuers::read(fields, report);
    if let (Some(node), Some(_)) = (REGION_CODE_HEADER.node(fields), &issuers) {
        report.problem(
            &node.place,
            "got regionCodeHeader together with issuers, expected one of the two: either the client or \
             the token chooses the provider",
        );
    }
    let by_issuer = issuers.is_some();
    let default = match (DEFAULT_URI.node(fields), kind) {
        (None, _) if by_issuer => None,
        // No connector of the source system introspects: there is nothing to keep to.
        (node, Kind::Introspection) if !by_issuer && regions.is_empty() => {
            the_only_one(fields, node, report)
        }
        (_, Kind::UserInfo | Kind::Introspection) => default(fields, report),
    };
    let (codes, regions) = issuers.unwrap_or((codes, regions));
    Table { region_header, by_issuer, codes, regions, default }
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

/// `defaultURI` where no other endpoint is.
fn the_only_one(
    fields: &Fields<'_>,
    node: Option<Node<'_>>,
    report: &mut Report,
) -> Option<Region> {
    let (place, found) = match node {
        None => (fields.place.absent(DEFAULT_URI.name()), "missing"),
        Some(node) if is_empty(&node) => (node.place, "got empty text"),
        Some(node) => return region(DEFAULT_REGION, node, report),
    };
    report.problem(&place, format!("{found}, expected an endpoint URI"));
    None
}

fn is_empty(node: &Node<'_>) -> bool {
    matches!(node.value, Tree::Text(text) if text.is_empty())
}

fn default(fields: &Fields<'_>, report: &mut Report) -> Option<Region> {
    const BLOCKED: &str = "requests without a matching region are answered with \
                           DefaultUserInfoURINotPresent";
    let Some(node) = DEFAULT_URI.node(fields) else {
        let message = format!("missing, expected an endpoint URI: {BLOCKED}");
        report.fault(&fields.place.absent(DEFAULT_URI.name()), message);
        return None;
    };
    if is_empty(&node) {
        report.fault(&node.place, format!("got empty text, expected an endpoint URI: {BLOCKED}"));
        return None;
    }
    region(DEFAULT_REGION, node, report)
}

/// Cluster names by authority. An authority that no endpoint has is no mistake: the same table
/// may serve several instances.
pub(crate) fn clusters<'j>(top: &Fields<'j>, report: &mut Report) -> BTreeMap<&'j str, &'j str> {
    let mut clusters = BTreeMap::new();
    for (authority, node) in top.map(CLUSTERS.name(), report).iter().flat_map(Fields::iter) {
        let name = node.plain_text("the name of a cluster as text", LONGEST_CLUSTER, report);
        if let Some(name) = name {
            clusters.insert(authority, name);
        }
    }
    clusters
}

/// What a token of another issuer gets; `None` where issuers do not choose.
pub(crate) fn unknown_issuer(
    top: &Fields<'_>,
    targets: &Targets,
    report: &mut Report,
) -> Option<UnknownIssuer> {
    let unknown = UNKNOWN_ISSUER.read(top, report);
    let table = targets.table.as_ref()?;
    if let (false, Some(node)) = (table.by_issuer, UNKNOWN_ISSUER.node(top)) {
        report.problem(
            &node.place,
            "got unknown_issuer without issuers, expected both together: without issuers nothing reads \
             the issuer of a token",
        );
    }
    table.by_issuer.then_some(unknown)
}

/// Reads `unknown_region`.
pub(crate) fn unknown_region(top: &Fields<'_>, report: &mut Report) -> UnknownRegion {
    UNKNOWN_REGION.read(top, report)
}
