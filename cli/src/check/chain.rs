//! The filters before and behind an instance, and what they do there to the token, to the identity
//! headers and to responses. One table says which filter is a mistake on which side.
//!
//! A filter whose code decides what it does is not judged, and a note says so.

use super::codes::{self, Code};
use super::finding::Findings;
use super::headers::{self, Mutation};
use super::instance::Instance;
use super::routes::Way;
use super::world::Manager;
use crate::tree::Node;

/// A filter that is on where an instance is.
struct Other<'a> {
    /// Its entry.
    entry: Node<'a>,
    /// The message of its configuration, without `envoy.extensions.filters.http.`.
    kind: &'a str,
    /// The configuration; nothing where it is discovered.
    config: Option<Node<'a>>,
    /// What the routes say of it.
    of_routes: Vec<Node<'a>>,
}

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
}

/// Says what is wrong with a filter, as the end of a sentence that begins with its name.
type Judge = fn(&Other<'_>, &Around<'_, '_>) -> Option<String>;

struct Rule {
    kinds: &'static [&'static str],
    side: Side,
    /// Whether it counts as well where no route in the files switches it on.
    even_off: bool,
    code: &'static Code,
    judge: Judge,
}

const fn rule(
    kinds: &'static [&'static str],
    side: Side,
    code: &'static Code,
    judge: Judge,
) -> Rule {
    Rule { kinds, side, even_off: false, code, judge }
}

const CACHES: &[&str] = &["cache.v3.CacheConfig", "cache_v2.v3.CacheV2Config"];
const JWT: &[&str] = &["jwt_authn.v3.JwtAuthentication"];
const BASIC: &[&str] = &["basic_auth.v3.BasicAuth"];
const MUTATION: &[&str] = &["header_mutation.v3.HeaderMutation"];
const ROUTER: &[&str] = &["router.v3.Router"];
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
    Rule {
        even_off: true,
        ..rule(ROUTER, Side::Before, codes::FILTER_BEHIND_ROUTER, |_, around| {
            Some(format!("is before {}", around.instance.name))
        })
    },
    rule(JWT, Side::Before, codes::TOKEN_LOST_BEFORE, |jwt, _| takes_the_token(jwt, true)),
    rule(BASIC, Side::Before, codes::TOKEN_LOST_BEFORE, |basic, _| wants_basic(basic)),
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
        let wanted = takes_the_token(jwt, false).filter(|_| gone)?;
        Some(format!("{wanted}, which {} removes", around.instance.name))
    }),
    rule(BASIC, Side::Behind, codes::TOKEN_NEEDED_BEHIND, |basic, _| wants_basic(basic)),
    rule(MUTATION, Side::Behind, codes::IDENTITY_OVERWRITTEN, |other, around| {
        let written = headers::forged(&mutations(other), around.instance)?;
        Some(format!("writes {written}, behind {}", around.instance.name))
    }),
    rule(PROGRAMS, Side::Behind, codes::FILTER_NOT_JUDGED, |_, around| {
        Some(format!("is behind {}, and may change what that sets", around.instance.name))
    }),
];

impl<'a> Other<'a> {
    /// The filter in an entry, with what the routes say of it.
    fn of(entry: &Node<'a>, of_routes: Vec<Node<'a>>) -> Other<'a> {
        const WITH_MATCHER: &str = "envoy.extensions.common.matching.v3.ExtensionWithMatcher";
        let any = entry.get("typed_config").and_then(|config| config.any());
        // What is inside is on for some requests at least.
        let any = any.and_then(|(message, fields)| match message {
            WITH_MATCHER => fields.at(&["extension_config", "typed_config"])?.any(),
            _ => Some((message, fields)),
        });
        let urls = entry.get("config_discovery").map(|node| node.list("type_urls"));
        let url = urls.iter().flatten().find_map(|url| url.value.as_str()?.rsplit('/').next());
        // Older releases knew a filter by its name.
        let by_name = match entry.text("name") {
            Some("envoy.filters.http.cache") => CACHES.first(),
            Some("envoy.filters.http.cache_v2") => CACHES.get(1),
            Some("envoy.filters.http.router") => ROUTER.first(),
            _ => None,
        };
        let (message, config) = match any {
            Some((message, fields)) => (message, Some(fields)),
            None => (url.or(by_name.copied()).unwrap_or_default(), None),
        };
        let kind = message.strip_prefix("envoy.extensions.filters.http.").unwrap_or(message);
        Other { entry: entry.clone(), kind, config, of_routes }
    }

    fn name(&self) -> &'a str {
        self.entry.text("name").unwrap_or_default()
    }
}

/// Looks at the filters around the instances of a manager.
pub(crate) fn check<'a>(
    manager: &Manager<'a>,
    instances: &[(usize, &Instance<'a>)],
    ways: Option<&[Way<'a>]>,
    findings: &mut Findings,
) {
    // As if every filter were on, for what a route elsewhere may switch on.
    let filters = manager.filters.iter();
    let all: Vec<Option<Other<'a>>> =
        filters.map(|entry| Some(Other::of(entry, Vec::new()))).collect();
    let names: Vec<&str> = instances.iter().map(|(_, instance)| instance.name.as_str()).collect();
    for (_, instance) in instances {
        judge(&all, (instance, &names), true, findings);
    }
    let by_default = instances.iter().filter(|(_, instance)| !instance.disabled);
    let whole = [Way::of(manager.node.clone(), by_default.map(|(index, _)| *index).collect())];
    for way in ways.unwrap_or(&whole) {
        let met: Vec<Option<Other<'a>>> =
            manager.filters.iter().map(|entry| met(entry, way)).collect();
        for (_, instance) in instances.iter().filter(|(index, _)| way.on.contains(index)) {
            check_early(manager, instance, findings);
            judge(&met, (instance, &names), false, findings);
            check_added(way, instance, findings);
        }
    }
}

/// The filter in an entry, if it is on for a way.
fn met<'a>(entry: &Node<'a>, way: &Way<'a>) -> Option<Other<'a>> {
    way.met(entry)?;
    let name = entry.text("name").unwrap_or_default();
    let levels = way.levels.iter();
    let said = levels.filter_map(|level| level.get("typed_per_filter_config")?.member(name));
    Some(Other::of(entry, said.collect()))
}

/// Judges what is around an instance; `names` are those of all instances, which are no others.
fn judge<'a>(
    met: &[Option<Other<'a>>],
    (instance, names): (&Instance<'a>, &[&str]),
    even_off: bool,
    findings: &mut Findings,
) {
    let own = |other: &Option<Other<'a>>| {
        other.as_ref().is_some_and(|other| other.name() == instance.name)
    };
    let Some(at) = met.iter().position(own) else { return };
    for (index, other) in met.iter().enumerate() {
        let Some(other) = other.as_ref().filter(|other| !names.contains(&other.name())) else {
            continue;
        };
        let side = if index < at { Side::Before } else { Side::Behind };
        let between = met.iter().take(index.max(at)).skip(index.min(at).saturating_add(1));
        let around = Around { instance, between: &between.flatten().collect::<Vec<_>>() };
        let rules = RULES.iter().filter(|rule| rule.even_off == even_off && rule.side == side);
        for rule in rules.filter(|rule| rule.kinds.contains(&other.kind)) {
            if let Some(wrong) = (rule.judge)(other, &around) {
                findings.add(rule.code, &other.entry, format!("{} {wrong}", other.name()));
            }
        }
    }
}

/// The changes that a filter makes to a request's headers.
fn mutations<'a>(other: &Other<'a>) -> Vec<Mutation<'a>> {
    let own = other.of_routes.iter().filter_map(|said| said.any()).map(|(_, fields)| {
        // Inside a FilterConfig, or as it is.
        fields.get("config").and_then(|config| config.any()).map_or(fields, |(_, inner)| inner)
    });
    let lists = other.config.clone().into_iter().chain(own);
    let lists = lists.filter_map(|config| config.get("mutations"));
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

/// What a filter that verifies JWTs does with the token: where it is before the filter, whether it
/// removes the token; else whether it needs it.
fn takes_the_token(jwt: &Other<'_>, before: bool) -> Option<String> {
    const RULES: [&str; 3] = ["rules", "filter_state_rules", "requirement_map"];
    let config = jwt.config.as_ref()?;
    let rules: Vec<Node<'_>> = RULES.iter().filter_map(|field| config.get(field)).collect();
    let optional = |node: &Node<'_>| {
        let text = node.value.to_string();
        text.contains("allow_missing") || text.contains("allowMissing")
    };
    if rules.is_empty() || (!before && rules.iter().any(optional)) {
        return None;
    }
    let reads = |provider: &Node<'_>| {
        let headers = provider.list("from_headers");
        let elsewhere = ["from_params", "from_cookies"].iter().any(|f| provider.says(f));
        let named = |header: &Node<'_>| {
            header.text("name").is_some_and(|name| name.eq_ignore_ascii_case("authorization"))
        };
        headers.iter().any(named) || (headers.is_empty() && !elsewhere)
    };
    let providers = config.get("providers").map(|all| all.members()).unwrap_or_default();
    let mut reading = providers.iter().filter(|(_, provider)| reads(provider));
    let (name, _) = reading.find(|(_, provider)| !before || !provider.is_true("forward"))?;
    Some(match before {
        true => format!("removes the token: its provider {name} has no `forward: true`"),
        false => format!("needs the token for its provider {name}"),
    })
}

fn wants_basic(basic: &Other<'_>) -> Option<String> {
    let header = basic.config.as_ref()?.text("authentication_header").unwrap_or_default();
    let own = header.is_empty() || header.eq_ignore_ascii_case("authorization");
    own.then(|| "wants a password in Authorization, where the filter wants a token".to_owned())
}

/// Changes of headers before any filter and any route.
fn check_early(manager: &Manager<'_>, instance: &Instance<'_>, findings: &mut Findings) {
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

/// Headers that a route adds: Envoy does so behind all filters.
fn check_added(way: &Way<'_>, instance: &Instance<'_>, findings: &mut Findings) {
    for level in &way.levels {
        for added in level.list("request_headers_to_add") {
            let change: Vec<Mutation<'_>> = headers::written(&added).into_iter().collect();
            if let Some(written) = headers::forged(&change, instance) {
                let found = format!("{written}, behind {}", instance.name);
                findings.add(codes::IDENTITY_OVERWRITTEN, &added, found);
            }
        }
    }
}
