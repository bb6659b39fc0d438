//! The filters before and behind an instance, and what they do there to the token, to the identity
//! headers and to responses. One table says which filter is a mistake on which side.
//!
//! A filter whose code decides what it does is not judged, and a note says so.

use super::codes::{self, Code};
use super::fed::Fed;
use super::finding::Findings;
use super::headers::{self, Mutation};
use super::instance::Instance;
use super::other::{self, CACHES, Other, ROUTER};
use super::routes::Way;
use super::world::{Manager, World};
use super::{guard, jwt};
use crate::tree::Node;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// It sees the request first.
    Before,
    /// It sees what the instance lets pass.
    Behind,
}

/// What surrounds a filter that is judged.
struct Around<'s, 'a> {
    instance: &'s Instance<'a>,
    /// The filters between it and the instance.
    between: &'s [&'s Other<'a>],
    /// The name of a guard behind it.
    guard: Option<&'a str>,
    /// The way on which they are met.
    way: &'s Way<'a>,
    /// What carries the client's text.
    fed: &'s Fed,
}

/// Says what is wrong with a filter, as the end of a sentence that begins with its name.
type Judge = fn(&Other<'_>, &Around<'_, '_>) -> Option<String>;

struct Rule {
    kinds: &'static [&'static str],
    side: Side,
    /// Whether it counts as well where no route in the files switches it on.
    even_off: bool,
    code: &'static Code,
    /// The remedy, where the code's own does not fit.
    remedy: Option<&'static str>,
    judge: Judge,
}

const fn rule(
    kinds: &'static [&'static str],
    side: Side,
    code: &'static Code,
    judge: Judge,
) -> Rule {
    Rule { kinds, side, even_off: false, code, remedy: None, judge }
}

const JWT: &[&str] = &["jwt_authn.v3.JwtAuthentication"];
const BASIC: &[&str] = &["basic_auth.v3.BasicAuth"];
const KEYS: &[&str] = &["api_key_auth.v3.ApiKeyAuth"];
const MUTATION: &[&str] = &["header_mutation.v3.HeaderMutation"];
const FILTER_STATE: &[&str] = &["set_filter_state.v3.Config"];
/// Filters whose own code, or a server, decides about headers.
const PROGRAMS: &[&str] = &[
    "lua.v3.Lua",
    "wasm.v3.Wasm",
    "ext_proc.v3.ExternalProcessor",
    "ext_authz.v3.ExtAuthz",
    "golang.v3alpha.Config",
    "dynamic_modules.v3.DynamicModuleFilter",
    "composite.v3.Composite",
];

/// Which filter is wrong on which side.
const RULES: &[Rule] = &[
    Rule {
        even_off: true,
        ..rule(CACHES, Side::Before, codes::CACHE_BEFORE_FILTER, |_, around| {
            Some(format!("is before {}", around.instance.name))
        })
    },
    rule(CACHES, Side::Behind, codes::CACHE_BEHIND_FILTER, cache_behind),
    // With Authorization there Envoy's cache neither keeps a response nor gives one.
    rule(CACHES, Side::Behind, codes::CACHE_BEFORE_FILTER, |_, around| {
        let guard = around.guard.filter(|_| around.instance.removes_the_token())?;
        Some(format!("is before the guard {guard}"))
    }),
    outcome_written(Side::Before),
    outcome_written(Side::Behind),
    Rule {
        even_off: true,
        ..rule(ROUTER, Side::Before, codes::FILTER_BEHIND_ROUTER, |_, around| {
            Some(format!("is before {}", around.instance.name))
        })
    },
    rule(JWT, Side::Before, codes::TOKEN_LOST_BEFORE, |jwt, around| {
        jwt::takes_the_token(jwt, around.way, true)
    }),
    rule(BASIC, Side::Before, codes::TOKEN_LOST_BEFORE, |basic, _| wants_basic(basic)),
    rule(KEYS, Side::Before, codes::TOKEN_LOST_BEFORE, |keys, _| wants_key(keys)),
    rule(
        &["aws_request_signing.v3.AwsRequestSigning"],
        Side::Before,
        codes::TOKEN_LOST_BEFORE,
        |signing, _| {
            let in_query = signing.config.as_ref()?.has("query_string");
            (!in_query).then(|| "writes its signature to Authorization".to_owned())
        },
    ),
    rule(&["header_to_metadata.v3.Config"], Side::Before, codes::TOKEN_LOST_BEFORE, |other, _| {
        let removes =
            |rule: &Node<'_>| is_authorization(rule.text("header")) && rule.is_true("remove");
        let rules = other.configs().into_iter().flat_map(|c| c.list("request_rules"));
        rules.into_iter().any(|rule| removes(&rule)).then(|| "removes Authorization".to_owned())
    }),
    rule(&["gcp_authn.v3.GcpAuthnFilterConfig"], Side::Before, codes::TOKEN_FOR_ALL, |other, _| {
        let header = other.config.as_ref()?.get("token_header");
        let name = header.as_ref().and_then(|header| header.text("name"));
        let own = header.is_none() || is_authorization(name);
        own.then(|| "writes a token of its own to Authorization".to_owned())
    }),
    rule(&["oauth2.v3.OAuth2"], Side::Before, codes::TOKEN_LOST_BEFORE, |oauth2, _| {
        let config = oauth2.config.as_ref()?.get("config")?;
        let keeps = ["forward_bearer_token", "preserve_authorization_header"];
        let keeps =
            keeps.iter().any(|field| config.is_true(field)) || config.says("pass_through_matcher");
        (!keeps).then(|| "removes Authorization: it has no forward_bearer_token".to_owned())
    }),
    rule(MUTATION, Side::Before, codes::TOKEN_LOST_BEFORE, |other, _| {
        headers::loses_the_token(&mutations(other)).then(|| "removes Authorization".to_owned())
    }),
    rule(MUTATION, Side::Before, codes::TOKEN_FOR_ALL, |other, _| {
        headers::gives_a_token(&mutations(other)).then(|| "writes a fixed Authorization".to_owned())
    }),
    rule(
        &["credential_injector.v3.CredentialInjector"],
        Side::Before,
        codes::TOKEN_FOR_ALL,
        |injector, _| {
            let credential = injector.config.as_ref()?.at(&["credential", "typed_config"])?;
            let header = credential.text("header").unwrap_or("authorization");
            let own = header.eq_ignore_ascii_case("authorization");
            own.then(|| "writes a credential of its own to Authorization".to_owned())
        },
    ),
    rule(JWT, Side::Behind, codes::TOKEN_NEEDED_BEHIND, |jwt, around| {
        let gone = around.instance.removes_the_token();
        let wanted = jwt::takes_the_token(jwt, around.way, false).filter(|_| gone)?;
        Some(format!("{wanted}, which {} removes", around.instance.name))
    }),
    rule(BASIC, Side::Behind, codes::TOKEN_NEEDED_BEHIND, |basic, _| wants_basic(basic)),
    rule(KEYS, Side::Behind, codes::TOKEN_NEEDED_BEHIND, |keys, _| wants_key(keys)),
    rule(MUTATION, Side::Behind, codes::IDENTITY_OVERWRITTEN, |other, around| {
        let written = headers::forged(&mutations(other), around.instance, around.fed)?;
        Some(format!("writes {written}, behind {}", around.instance.name))
    }),
    rule(PROGRAMS, Side::Behind, codes::FILTER_NOT_JUDGED, |_, around| {
        Some(format!("is behind {}, and may change what that sets", around.instance.name))
    }),
    rule(PROGRAMS, Side::Before, codes::FILTER_NOT_JUDGED, |_, around| {
        Some(format!("is before {}, and may change or write the token", around.instance.name))
    }),
];

/// Looks at the filters around the instances of a manager.
pub(crate) fn check<'a>(
    manager: &Manager<'a>,
    instances: &[(usize, &Instance<'a>)],
    ways: Option<&[Way<'a>]>,
    world: &World<'a>,
    findings: &mut Findings,
) {
    let by_default = instances.iter().filter(|(_, instance)| !instance.disabled);
    let whole = Way::of(manager.node.clone(), by_default.map(|(index, _)| *index).collect());
    let all: Vec<&Instance<'a>> = instances.iter().map(|(_, instance)| *instance).collect();
    check_all(&manager.filters, &all, &whole, findings);
    for way in ways.unwrap_or(std::slice::from_ref(&whole)) {
        let on = instances.iter().filter(|(index, _)| way.on.contains(index));
        let on: Vec<&Instance<'a>> = on.map(|(_, instance)| *instance).collect();
        for instance in &on {
            check_early(manager, instance, findings);
        }
        check_way(&manager.filters, &all, &on, (way, world), findings);
    }
}

/// Looks at a list of filters that an upgrade has for itself, for the routes that allow the upgrade.
pub(crate) fn check_list<'a>(
    filters: &Node<'a>,
    ways: &[&Way<'a>],
    world: &World<'a>,
    findings: &mut Findings,
) {
    let entries = filters.items();
    let all = world.instances.iter().filter(|instance| instance.node.is_inside(filters));
    let all: Vec<&Instance<'a>> = all.collect();
    let whole = Way::of(filters.clone(), Vec::new());
    check_all(&entries, &all, &whole, findings);
    let ways = if ways.is_empty() { &[&whole][..] } else { ways };
    for way in ways {
        let is_on = |instance: &&Instance<'a>| {
            entries.iter().any(|entry| holds(entry, instance) && way.met(entry).is_some())
        };
        let on: Vec<&Instance<'a>> = all.iter().copied().filter(is_on).collect();
        if let [first, second, ..] = &on[..] {
            let found = format!("{} and {} are in one list of filters", first.name, second.name);
            let code = match first.removes_the_token() {
                true => codes::TOKEN_LOST_BEFORE,
                false => codes::ROUTE_WITH_TWO_INSTANCES,
            };
            let remedy = "leave one instance in the upgrade's `filters`, or remove `filters`";
            findings.add_with(code, filters, found, Some(remedy.to_owned()));
        }
        check_way(&entries, &all, &on, (way, world), findings);
    }
}

/// Whether an instance is an entry, or in it.
fn holds(entry: &Node<'_>, instance: &Instance<'_>) -> bool {
    let node = &instance.node;
    let same = std::ptr::eq(node.document, entry.document) && node.place == entry.place;
    same || node.is_inside(entry)
}

/// As if every filter were on, for what a route elsewhere may switch on.
fn check_all<'a>(
    entries: &[Node<'a>],
    instances: &[&Instance<'a>],
    way: &Way<'a>,
    findings: &mut Findings,
) {
    let all: Vec<Vec<Other<'a>>> = entries.iter().map(|e| other::all(e, &[])).collect();
    for instance in instances {
        judge(entries, &all, (instance, instances, way), true, findings);
    }
}

/// What a request meets on a way.
fn check_way<'a>(
    entries: &[Node<'a>],
    instances: &[&Instance<'a>],
    on: &[&Instance<'a>],
    (way, world): (&Way<'a>, &World<'a>),
    findings: &mut Findings,
) {
    let mut met: Vec<Vec<Other<'a>>> = entries.iter().map(|entry| other::met(entry, way)).collect();
    // Behind the router.
    met.push(other::upstream(&met, way, world));
    for instance in on {
        judge(entries, &met, (instance, instances, way), false, findings);
        let fed = Fed::of(&met, position(entries, instance), instance);
        check_added(way, instance, &fed, findings);
    }
}

/// The position of an instance among the entries of a list.
fn position(entries: &[Node<'_>], instance: &Instance<'_>) -> usize {
    let held = entries.iter().position(|entry| holds(entry, instance));
    let named = || entries.iter().position(|e| e.text("name") == Some(instance.name.as_str()));
    held.or_else(named).unwrap_or_default()
}

/// Judges what is around an instance; the others are no others.
fn judge<'a>(
    entries: &[Node<'a>],
    met: &[Vec<Other<'a>>],
    (instance, instances, way): (&Instance<'a>, &[&Instance<'a>], &Way<'a>),
    even_off: bool,
    findings: &mut Findings,
) {
    let at = position(entries, instance);
    let fed = Fed::of(met, at, instance);
    let is_instance = |other: &Other<'_>| {
        instances.iter().any(|one| holds(&other.entry, one) || one.name == other.name())
    };
    for (index, others) in met.iter().enumerate() {
        let side = if index < at { Side::Before } else { Side::Behind };
        let between = met.iter().take(index.max(at)).skip(index.min(at).saturating_add(1));
        let between: Vec<&Other<'a>> = between.flatten().collect();
        let behind = met.iter().skip(index.saturating_add(1)).flatten();
        let guard = behind.map(|other| &other.entry).find(|entry| guard::is_on(entry, way));
        let guard = guard.and_then(|entry| entry.text("name"));
        let around = Around { instance, between: &between, guard, way, fed: &fed };
        for other in others.iter().filter(|other| !is_instance(other)) {
            let rules = RULES.iter().filter(|rule| rule.even_off == even_off && rule.side == side);
            for rule in rules.filter(|rule| rule.kinds.contains(&other.kind)) {
                if let Some(wrong) = (rule.judge)(other, &around) {
                    let found = format!("{} {wrong}", other.name());
                    let remedy = rule.remedy.map(str::to_owned);
                    findings.add_with(rule.code, &other.entry, found, remedy);
                }
            }
        }
    }
}

/// A filter that writes itself what the guard reads.
const fn outcome_written(side: Side) -> Rule {
    const REMEDY: &str = "remove the change: only the filter may write wasm.oidc_outcome, by which the \
                          guard knows that it ran";
    let rule = rule(FILTER_STATE, side, codes::NO_GUARD, |other, around| {
        let guard = around.guard?;
        let configs = other.configs();
        let mut written = configs.iter().flat_map(|c| c.list("on_request_headers"));
        let wanted = |value: &Node<'_>| value.text("object_key") == Some(guard::OUTCOME);
        written.any(|value| wanted(&value)).then(|| {
            format!("writes {}, which the guard {guard} reads, for every request", guard::OUTCOME)
        })
    });
    Rule { remedy: Some(REMEDY), ..rule }
}

fn is_authorization(name: Option<&str>) -> bool {
    name.is_some_and(|name| name.eq_ignore_ascii_case("authorization"))
}

/// The changes that a filter makes to a request's headers.
fn mutations<'a>(other: &Other<'a>) -> Vec<Mutation<'a>> {
    let lists = other.configs().into_iter().filter_map(|config| config.get("mutations"));
    lists.flat_map(|list| headers::mutations(&list.list("request_mutations"))).collect()
}

/// What a cache behind the filter cannot see: that its responses are some user's own.
fn cache_behind(_: &Other<'_>, around: &Around<'_, '_>) -> Option<String> {
    let instance = around.instance;
    if !instance.removes_the_token() {
        return None;
    }
    let between = around.between.iter().filter(|other| MUTATION.contains(&other.kind));
    let changes: Vec<Mutation<'_>> = between.flat_map(|other| mutations(other)).collect();
    let mut told = instance.identity_headers();
    told.retain(|name| !headers::removed(&changes, name));
    (!told.is_empty()).then(|| {
        let told = told.join(", ");
        format!("is behind {}, which removes Authorization and sets {told}", instance.name)
    })
}

fn wants_basic(basic: &Other<'_>) -> Option<String> {
    let header = basic.config.as_ref()?.text("authentication_header").unwrap_or_default();
    let own = header.is_empty() || header.eq_ignore_ascii_case("authorization");
    own.then(|| "wants a password in Authorization, where the filter wants a token".to_owned())
}

fn wants_key(keys: &Other<'_>) -> Option<String> {
    let sources = keys.config.as_ref()?.list("key_sources");
    let own = !sources.is_empty() && sources.iter().all(|s| is_authorization(s.text("header")));
    own.then(|| "wants an API key in Authorization, where the filter wants a token".to_owned())
}

/// Changes of headers before any filter and any route.
pub(crate) fn check_early(manager: &Manager<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    const EARLY: &str =
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation";
    for extension in manager.node.list("early_header_mutation_extensions") {
        let config = extension.get("typed_config").and_then(|config| config.message(EARLY));
        let Some(config) = config else { continue };
        let changes = headers::mutations(&config.list("mutations"));
        let name = extension.text("name").unwrap_or_default();
        if headers::loses_the_token(&changes) {
            let found = format!("{name} removes Authorization before {}", instance.name);
            findings.add(codes::TOKEN_LOST_BEFORE, &extension, found);
        }
        if headers::gives_a_token(&changes) {
            let found = format!("{name} writes a fixed Authorization before {}", instance.name);
            findings.add(codes::TOKEN_FOR_ALL, &extension, found);
        }
    }
}

/// Looks at a filter that a manifest puts before or behind an instance. Of a cache the changes of all
/// other filters in the manifests count, wherever these stand.
pub(crate) fn check_beside<'a>(
    entry: &Node<'a>,
    others: &[Node<'a>],
    instance: &Instance<'a>,
    behind: bool,
    findings: &mut Findings,
) {
    let others: Vec<Other<'a>> = others.iter().flat_map(|o| other::all(o, &[])).collect();
    let between: Vec<&Other<'a>> = others.iter().collect();
    let (way, fed) = (Way::of(entry.clone(), Vec::new()), Fed::default());
    let around = Around { instance, between: &between, guard: None, way: &way, fed: &fed };
    let side = if behind { Side::Behind } else { Side::Before };
    let off = entry.is_true("disabled");
    for other in &other::all(entry, &[]) {
        let rules = RULES.iter().filter(|rule| rule.side == side && (rule.even_off || !off));
        for rule in rules.filter(|rule| rule.kinds.contains(&other.kind)) {
            if let Some(wrong) = (rule.judge)(other, &around) {
                let remedy = rule.remedy.map(str::to_owned);
                findings.add_with(rule.code, entry, format!("{} {wrong}", other.name()), remedy);
            }
        }
    }
}

/// Headers that a route adds: Envoy does so behind all filters.
pub(super) fn check_added(
    way: &Way<'_>,
    instance: &Instance<'_>,
    fed: &Fed,
    findings: &mut Findings,
) {
    for level in &way.levels {
        for added in level.list("request_headers_to_add") {
            let change: Vec<Mutation<'_>> = headers::written(&added).into_iter().collect();
            if let Some(written) = headers::forged(&change, instance, fed) {
                let found = format!("{written}, behind {}", instance.name);
                findings.add(codes::IDENTITY_OVERWRITTEN, &added, found);
            }
        }
    }
}
