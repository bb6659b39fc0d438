//! The configuration as the filter needs it: bytes in, a [`Policy`] or every [`Problem`] at once out.
//!
//! Each room has its own keys, with how they are read; here they come together. Reading is a pure
//! function of the bytes and of the VM's environment: no clock, no randomness, no shared data. Envoy
//! silently leaves out a filter whose configuration fails only in a worker, and requests would then pass
//! unauthenticated. The configuration's own text never appears in a problem beyond the piece that is wrong, and never a
//! value that may be a secret.

#[cfg(not(target_arch = "wasm32"))]
pub mod schema;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use crate::claims::required::{self, Requirements};
use crate::claims::rules::{self, Document, Injected, Regions};
pub use crate::claims::rules::{ClaimRule, Lists, ValueRule};
pub use crate::config::environment::Environment;
use crate::config::file::{Fields, Node};
use crate::config::location::{Location, Report};
pub use crate::config::problem::Problem;
use crate::config::shape::{Keys, names_of};
use crate::config::uri::Uri;
use crate::config::{self, editor};
use crate::filter::cache::settings as caching;
pub use crate::filter::cache::settings::{CachePolicy, CacheScope, Caching, NoStore};
use crate::filter::observability;
pub use crate::filter::observability::AccessLog;
pub use crate::provider::egress::Egress;
use crate::provider::endpoint::region::{Region, Target};
pub use crate::provider::endpoint::table::{Endpoint, EndpointTable, Endpoints};
pub use crate::provider::endpoint::targets::UnknownRegion;
use crate::provider::endpoint::targets::{self, Kind, Targets};
pub use crate::provider::error_text::ProviderText;
use crate::provider::introspection::Introspection;
use crate::provider::introspection::client;
use crate::provider::key::KeyPrefix;
use crate::provider::method::ValidationMethod;
pub use crate::provider::settings::{Breaker, CallPolicy, Site};
pub use crate::provider::subject::{SubjectPath, Success};
use crate::provider::{egress, error_text, settings as calls, subject, userinfo};
pub use crate::reply::metadata::Metadata;
pub use crate::reply::settings::{ErrorSet, OwnErrors, ProviderErrors, ReplyPolicy, Unavailable};
use crate::reply::{metadata, settings as replies};
pub use crate::request::bearer::Credentials;
pub use crate::request::preflight::Preflight;
use crate::request::strip::settings as forward;
pub use crate::request::strip::{Authorization, ForwardPolicy};
use crate::request::{bearer, preflight};

/// Every room's keys, in the order of the reference.
pub const ROOMS: &[Keys] = &[
    targets::KEYS,
    userinfo::KEYS,
    client::KEYS,
    calls::KEYS,
    egress::KEYS,
    bearer::KEYS,
    subject::KEYS,
    required::KEYS,
    caching::KEYS,
    rules::KEYS,
    forward::KEYS,
    preflight::KEYS,
    replies::KEYS,
    metadata::KEYS,
    error_text::KEYS,
    observability::KEYS,
    editor::KEYS,
];

/// Everything that decides about a request.
#[derive(Debug)]
pub struct Policy {
    /// Which endpoint serves which request.
    pub endpoints: Endpoints,
    /// How an endpoint is called.
    pub call: CallPolicy,
    /// How a token is validated: each endpoint has this method with settings of its own. Calls about no
    /// token are made by this one.
    pub method: Rc<dyn ValidationMethod>,
    /// What a route requires of a token that is good.
    pub required: Requirements,
    /// What is remembered of the provider's answers.
    pub cache: Caching,
    /// What the upstream gets to see.
    pub forward: ForwardPolicy,
    /// How refused requests are answered.
    pub replies: ReplyPolicy,
    /// Longest accepted bearer token, in bytes.
    pub max_token_bytes: usize,
    /// What a request without credentials gets.
    pub credentials: Credentials,
    /// What the filter says of the resource itself.
    pub metadata: Option<Metadata>,
    /// What a CORS preflight gets.
    pub preflight: Preflight,
    /// Whether the outcome is left for the access log.
    pub access_log: AccessLog,
    /// What tells this instance's counters from those of others.
    pub stat_name: Option<String>,
    /// How the provider is reached; in Envoy a property of the cluster, so this only informs.
    pub egress: Egress,
}

impl Policy {
    /// What this policy asks of Envoy's own configuration, one line for each thing.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let (Egress::Proxy { server, port }, Endpoints::Configured(table)) =
            (&self.egress, &self.endpoints)
        else {
            return Vec::new();
        };
        let mut notes: Vec<String> = Vec::new();
        let endpoints = table.regions.iter().chain(&table.default);
        for Site { cluster, authority, .. } in endpoints.flat_map(|endpoint| &endpoint.sites) {
            let note = format!(
                "cluster {cluster} must reach {authority} through the forward proxy {server}:{port}"
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }
}

/// What a configuration that loads gives.
#[derive(Debug)]
pub struct Loaded {
    /// The policy to run.
    pub policy: Policy,
    /// Faults that the source system answers per request instead of refusing to load: a missing
    /// `userinfo_endpoint` or `defaultURI`. The filter logs them as errors; `oidc-connector check` fails.
    pub faults: Vec<Problem>,
}

/// Reads a configuration as Envoy hands it over: JSON text (StringValue) or a binary
/// `google.protobuf.Struct`.
///
/// # Errors
///
/// Every problem in document order, faults included, if there is at least one that is not a
/// fault. A Struct's members have no order: theirs are read by name.
pub fn read(bytes: &[u8]) -> Result<Loaded, Vec<Problem>> {
    read_in(bytes, Environment::Unknown)
}

/// The same in the environment of a VM: variables that the configuration names are there, or are a
/// problem.
///
/// # Errors
///
/// As with [`read`].
pub fn read_in(bytes: &[u8], environment: Environment<'_>) -> Result<Loaded, Vec<Problem>> {
    let tree = config::document(bytes).map_err(|problem| vec![problem])?;
    let mut report = Report::default();
    let root = Node { place: Location::root(), value: &tree };
    root.report_repeated_keys(&mut report);
    let policy = read_policy(root, &environment, &mut report);
    let refused = report.refuses();
    match policy {
        Some(policy) if !refused => Ok(Loaded { policy, faults: report.in_order() }),
        _ => Err(report.in_order()),
    }
}

/// The policy, as far as it could be read; it counts only if nothing was reported.
fn read_policy(
    root: Node<'_>,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Option<Policy> {
    let top = Fields::open(root, &names_of(ROOMS), report)?;
    editor::ignore(&top, report);
    let targets = targets::read(&top, report);
    let regions = Regions { codes: targets.codes(), header: targets.code_header() };
    let injected = rules::read(&top, regions, report);
    let credentials = bearer::credentials(&top, report);
    let forward = forward::read(&top, targets.code_header(), injected.names(), credentials, report);
    let egress = egress::read(&top, &targets, report);
    let call = calls::call(&top, report);
    let required = required::read(&top, report);
    let methods = methods(&top, &targets, environment, report);
    let method = methods.any();
    // Without a method there is a problem, and nobody reads them.
    let words = method.as_ref().map(|method| method.words()).unwrap_or_default();
    let own = (&methods, &call, &required);
    let metadata = metadata::read(&top, report);
    let url = metadata.as_ref().map(|metadata| ("resource_metadata", metadata.url.clone()));
    let parameters =
        url.into_iter().chain(required.scope().map(|scope| ("scope", scope))).collect();
    let endpoints = endpoints(&top, targets, &injected, own, report);
    let stat_name = observability::stat_name(&top, report);
    let cache = caching::read(&top, report);
    let replies = replies::read(&top, words, parameters, report);
    let max_token_bytes = bearer::longest(&top, report);
    let preflight = preflight::read(&top, report);
    let access_log = observability::access_log(&top, report);
    Some(Policy {
        // Only now: a problem of any room has to be reported.
        method: method?,
        endpoints,
        call,
        required,
        cache,
        forward,
        replies,
        max_token_bytes,
        credentials,
        metadata,
        preflight,
        access_log,
        stat_name,
        egress,
    })
}

/// How tokens are validated.
enum Methods {
    /// In one way at every endpoint.
    One(Rc<dyn ValidationMethod>),
    /// With a secret of each region, which goes to no other.
    ByRegion(Vec<(String, Rc<dyn ValidationMethod>)>),
}

impl Methods {
    /// That of a region.
    fn of(&self, region: &str) -> Option<Rc<dyn ValidationMethod>> {
        match self {
            Methods::One(method) => Some(Rc::clone(method)),
            Methods::ByRegion(methods) => {
                let own = methods.iter().find(|(code, _)| code == region);
                own.map(|(_, method)| Rc::clone(method))
            }
        }
    }

    /// Any of them, for calls without a token and without a secret.
    fn any(&self) -> Option<Rc<dyn ValidationMethod>> {
        match self {
            Methods::One(method) => Some(Rc::clone(method)),
            Methods::ByRegion(methods) => methods.first().map(|(_, method)| Rc::clone(method)),
        }
    }
}

fn methods(
    top: &Fields<'_>,
    targets: &Targets,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Methods {
    let success = subject::read(top, report);
    match targets.kind {
        Kind::UserInfo => {
            client::refuse_with_userinfo(top, report);
            let is_tls = targets.iter().all(|target| target.uri.scheme == "https");
            let method = userinfo::read(top, success, is_tls, report);
            Methods::One(Rc::new(method))
        }
        Kind::Introspection => {
            userinfo::refuse_with_introspection(top, report);
            subject::refuse_any_200(top, report);
            calls::refuse_content_type(top, report);
            introspection(top, targets, success, environment, report)
        }
    }
}

/// Introspection as a client of its own at each endpoint.
fn introspection(
    top: &Fields<'_>,
    targets: &Targets,
    success: Success,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Methods {
    let regions: Vec<String> = targets.regions().map(|region| region.code.clone()).collect();
    let known = targets.codes().map(|_| regions.as_slice());
    // Sites of one endpoint are one provider's, two endpoints perhaps not.
    let mut first = targets.regions().filter_map(|region| region.targets.first());
    let provider = first.next().map(|target| &target.uri.authority);
    let is_one = targets.iter().all(|target| Some(&target.uri.authority) == provider);
    let providers = if is_one { 1 } else { regions.len() };
    let clients = client::read(top, (known, providers), environment, report);
    let success = Rc::new(success);
    let method = |code: &String| {
        let client = clients.of(code)?.clone();
        let method = Introspection { client, success: Rc::clone(&success) };
        Some((code.clone(), Rc::new(method) as Rc<dyn ValidationMethod>))
    };
    Methods::ByRegion(regions.iter().filter_map(method).collect())
}

/// The endpoints as the filter needs them.
fn endpoints(
    top: &Fields<'_>,
    targets: Targets,
    injected: &Injected,
    (methods, call, required): (&Methods, &CallPolicy, &Requirements),
    report: &mut Report,
) -> Endpoints {
    let clusters = targets::clusters(top, report);
    let state = rules::filter_state(top, report);
    let unknown_region = targets::unknown_region(top, report);
    let unknown_issuer = targets::unknown_issuer(top, &targets, report);
    let Some(table) = targets.table else {
        return Endpoints::NotConfigured;
    };
    let site = |target: Target| {
        let Uri { authority, path, scheme } = target.uri;
        let mapped = clusters.get(authority.as_str());
        let cluster = mapped.map_or_else(|| authority.clone(), |name| (*name).to_owned());
        Site { cluster, authority, path, scheme }
    };
    let endpoint = |region: Region| {
        let sites: Vec<Site> = region.targets.into_iter().map(site).collect();
        let method = methods.of(&region.code)?;
        let rules = injected.rules(&region.code);
        let reads = |rules: &[ClaimRule]| rules.iter().any(|rule| rule.value.of == Document::Token);
        let named = (&*region.code, region.issuer.as_deref());
        Some(Rc::new(Endpoint {
            key: KeyPrefix::of(&method.key_parts(), call, named, &sites),
            reads_token: required.reads_token(method.grants()) || reads(&rules) || reads(&state),
            rules,
            state: Rc::clone(&state),
            method,
            issuer: region.issuer.map(Into::into),
            region: region.code.into(),
            sites,
        }))
    };
    Endpoints::Configured(EndpointTable {
        region_header: table.region_header,
        regions: table.regions.into_iter().filter_map(endpoint).collect(),
        default: table.default.and_then(endpoint),
        unknown_region,
        unknown_issuer,
    })
}
