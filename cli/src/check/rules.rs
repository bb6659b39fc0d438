//! Which filter before or behind an instance is a mistake there: one table. It says nothing of where the
//! filters of a list are met.

use super::codes::{self, Code};
use super::fed::Fed;
use super::headers::{self, Mutation};
use super::instance::Instance;
use super::other::{CACHES, Other, ROUTER};
use super::routes::Way;
use super::{guard, jwt};
use crate::tree::Node;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It sees the request first.
    Before,
    /// It sees what the instance lets pass.
    Behind,
}

/// What surrounds a filter that is judged.
pub(super) struct Around<'s, 'a> {
    pub(super) instance: &'s Instance<'a>,
    /// The filters between it and the instance.
    pub(super) between: &'s [&'s Other<'a>],
    /// The name of a guard behind it.
    pub(super) guard: Option<&'a str>,
    /// The way on which they are met.
    pub(super) way: &'s Way<'a>,
    /// What carries the client's text.
    pub(super) fed: &'s Fed,
}

/// Says what is wrong with a filter, as the end of a sentence that begins with its name.
pub(super) type Judge = fn(&Other<'_>, &Around<'_, '_>) -> Option<String>;

pub(super) struct Rule {
    pub(super) kinds: &'static [&'static str],
    pub(super) side: Side,
    /// Whether it counts as well where no route in the files switches it on.
    pub(super) even_off: bool,
    pub(super) code: &'static Code,
    /// The remedy, where the code's own does not fit.
    pub(super) remedy: Option<&'static str>,
    pub(super) judge: Judge,
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
const OAUTH2: &[&str] = &["oauth2.v3.OAuth2"];
/// Filters that change headers as their configuration says.
const MUTATION: &[&str] = &["header_mutation.v3.HeaderMutation", "transform.v3.TransformConfig"];
const FILTER_STATE: &[&str] = &["set_filter_state.v3.Config"];
/// Filters whose own code, or a server, decides about headers.
pub(super) const PROGRAMS: &[&str] = &[
    "lua.v3.Lua",
    "wasm.v3.Wasm",
    "ext_proc.v3.ExternalProcessor",
    "ext_authz.v3.ExtAuthz",
    "golang.v3alpha.Config",
    "dynamic_modules.v3.DynamicModuleFilter",
    "composite.v3.Composite",
];

/// Which filter is wrong on which side.
pub(super) const RULES: &[Rule] = &[
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
    wants(BASIC, Side::Before, OTHER_PASSWORD, |basic, _| wants_basic(basic)),
    wants(KEYS, Side::Before, OTHER_KEY, |keys, _| wants_key(keys)),
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
    rule(OAUTH2, Side::Before, codes::TOKEN_LOST_BEFORE, |oauth2, around| {
        let config = oauth2.config.as_ref()?.get("config")?;
        let keeps = ["forward_bearer_token", "preserve_authorization_header"];
        let keeps = keeps.iter().any(|field| config.is_true(field))
            || passes_through(&config, around.way, true);
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
    wants(BASIC, Side::Behind, OTHER_PASSWORD, |basic, _| wants_basic(basic)),
    wants(KEYS, Side::Behind, OTHER_KEY, |keys, _| wants_key(keys)),
    wants(OAUTH2, Side::Behind, LOGIN_IN_FRONT, |oauth2, around| {
        let config = oauth2.config.as_ref()?.get("config")?;
        let seen = !around.instance.removes_the_token();
        (!passes_through(&config, around.way, seen)).then(|| {
            let own = &around.instance.name;
            format!("wants its cookie, and knows no token behind {own}")
        })
    }),
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

const OTHER_PASSWORD: &str = "have the password in another header, by authentication_header";
const OTHER_KEY: &str = "have the key in another header, by key_sources";
const LOGIN_IN_FRONT: &str =
    "move it before the filter, with `forward_bearer_token: true`, as docs/recipes.md shows";

/// A filter that wants something else of the client than a token. No order of the two filters mends that,
/// so it has a remedy of its own.
const fn wants(
    kinds: &'static [&'static str],
    side: Side,
    remedy: &'static str,
    judge: Judge,
) -> Rule {
    let code = match side {
        Side::Before => codes::TOKEN_LOST_BEFORE,
        Side::Behind => codes::TOKEN_NEEDED_BEHIND,
    };
    Rule { remedy: Some(remedy), ..rule(kinds, side, code, judge) }
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
pub(super) fn mutations<'a>(other: &Other<'a>) -> Vec<Mutation<'a>> {
    let of_one = |config: Node<'a>| match config.get("request_transform") {
        Some(transformation) => transformation.list("headers_mutations"),
        None => config.get("mutations").map(|m| m.list("request_mutations")).unwrap_or_default(),
    };
    let lists = other.configs().into_iter().map(of_one);
    lists.flat_map(|list| headers::mutations(&list)).collect()
}

/// Whether a login leaves the requests of a way alone that have a token. Where it does not see the token
/// (`seen`), only their path can say so.
fn passes_through(config: &Node<'_>, way: &Way<'_>, seen: bool) -> bool {
    const TOKEN: &str = "Bearer eyJhbGciOi.eyJzdWIi.c2ln";
    config.list("pass_through_matcher").iter().any(|matcher| {
        let form = matcher.get("string_match");
        let absent = matcher.get("present_match").is_some_and(|present| *present.value == false);
        let takes = |text: &str| {
            let takes = form.as_ref().map_or(!absent, |form| guard::takes(form, text));
            takes != matcher.is_true("invert_match")
        };
        match matcher.text("name") {
            Some(":path") => samples(way).iter().all(|path| takes(path)),
            name => seen && is_authorization(name) && takes(TOKEN),
        }
    })
}

/// Some paths that a way takes; none where that is not plain.
fn samples(way: &Way<'_>) -> Vec<String> {
    let Some(matched) = &way.matched else { return Vec::new() };
    let Some((start, _)) = jwt::start(matched) else { return Vec::new() };
    if matched.text("path").is_some() {
        return vec![start.to_owned()];
    }
    let ends = ["/q7", "/Zz-9/k.w/0"];
    let start = start.trim_end_matches('/');
    ends.iter().map(|end| format!("{start}{end}")).collect()
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
