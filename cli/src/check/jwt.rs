//! Envoy's filter that verifies JWTs: whether it takes the token, or needs it, on a route.

use std::collections::BTreeSet;

use super::other::Other;
use super::routes::Way;
use crate::tree::Node;

/// Requirements that name no provider, and are met without a token.
const WITHOUT: &[&str] =
    &["allow_missing", "allow_missing_or_failed", "extract_only_without_validation"];
/// Those of them that are known to verify a token, if there is one, and then to remove it.
const TAKING: &[&str] = &["allow_missing", "allow_missing_or_failed"];

/// What a filter that verifies JWTs does with the token on a way: where it is before the filter, whether it
/// removes the token; else whether it needs it.
pub(super) fn takes_the_token(jwt: &Other<'_>, way: &Way<'_>, before: bool) -> Option<String> {
    let config = jwt.config.as_ref()?;
    let known = config.get("providers").map(|all| all.members()).unwrap_or_default();
    let all: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let mut names = BTreeSet::new();
    for requirement in requirements(jwt, config, way) {
        if before {
            names.extend(providers(&requirement, &all, TAKING));
        } else if !is_optional(&requirement) {
            names.extend(providers(&requirement, &all, &[]));
        }
    }
    let reads = |provider: &Node<'_>| {
        let headers = provider.list("from_headers");
        let elsewhere = ["from_params", "from_cookies"].iter().any(|f| provider.says(f));
        let named = |header: &Node<'_>| {
            header.text("name").is_some_and(|name| name.eq_ignore_ascii_case("authorization"))
        };
        headers.iter().any(named) || (headers.is_empty() && !elsewhere)
    };
    let mut reading =
        known.iter().filter(|(name, provider)| names.contains(name) && reads(provider));
    let (name, _) = reading.find(|(_, provider)| !before || !provider.is_true("forward"))?;
    Some(match before {
        true => format!("removes the token: its provider {name} has no `forward: true`"),
        false => format!("needs the token for its provider {name}"),
    })
}

/// The providers whose tokens it may verify on a way.
pub(super) fn used<'a>(jwt: &Other<'a>, way: &Way<'_>) -> Vec<Node<'a>> {
    let Some(config) = &jwt.config else { return Vec::new() };
    let known = config.get("providers").map(|all| all.members()).unwrap_or_default();
    let all: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let requirements = requirements(jwt, config, way);
    let names: BTreeSet<&str> =
        requirements.iter().flat_map(|r| providers(r, &all, WITHOUT)).collect();
    let used = known.into_iter().filter(|(name, _)| names.contains(name));
    used.map(|(_, provider)| provider).collect()
}

/// What it may require of the requests of a way.
fn requirements<'a>(jwt: &Other<'a>, config: &Node<'a>, way: &Way<'_>) -> Vec<Node<'a>> {
    let named = |name: &str| config.get("requirement_map")?.member(name);
    // What the routes say comes first.
    for said in jwt.configs().iter().skip(1) {
        if said.is_true("disabled") {
            return Vec::new();
        }
        if let Some(name) = said.text("requirement_name") {
            return named(name).into_iter().collect();
        }
    }
    let mut requirements = Vec::new();
    for rule in config.list("rules") {
        let matched = rule.get("match");
        if matched.as_ref().is_some_and(|matched| !may_meet(matched, way)) {
            continue;
        }
        let by_name = || named(rule.text("requirement_name")?);
        let required = rule.get("requires").or_else(by_name);
        requirements.extend(required);
        // The first rule that matches counts alone.
        if matched.as_ref().is_some_and(|matched| takes_all(matched, way)) {
            return requirements;
        }
    }
    let by_state = config.at(&["filter_state_rules", "requires"]);
    let by_state = by_state.map(|all| all.members()).unwrap_or_default();
    requirements.extend(by_state.into_iter().map(|(_, requirement)| requirement));
    requirements
}

/// Whether a requirement is met without a token.
fn is_optional(requirement: &Node<'_>) -> bool {
    let parts = |field: &str| {
        requirement.get(field).map(|set| set.list("requirements")).unwrap_or_default()
    };
    let all = parts("requires_all");
    WITHOUT.iter().any(|field| requirement.has(field))
        || parts("requires_any").iter().any(is_optional)
        || !all.is_empty() && all.iter().all(is_optional)
}

/// The names of the providers that a requirement tries. One with a field of `open` names none and tries
/// `all`; beside others in `requires_any` it tries theirs.
fn providers<'a>(requirement: &Node<'a>, all: &[&'a str], open: &[&str]) -> BTreeSet<&'a str> {
    let names_none = |part: &Node<'_>| open.iter().any(|field| part.has(field));
    let parts = |field: &str| {
        requirement.get(field).map(|set| set.list("requirements")).unwrap_or_default()
    };
    let (without, named): (Vec<_>, Vec<_>) =
        parts("requires_any").into_iter().partition(|part| names_none(part));
    let audiences = requirement.get("provider_and_audiences");
    let audiences = audiences.and_then(|named| named.text("provider_name"));
    let own = requirement.text("provider_name").into_iter().chain(audiences);
    let inner = parts("requires_all").into_iter().chain(named);
    let mut names: BTreeSet<&'a str> = inner.flat_map(|part| providers(&part, all, open)).collect();
    names.extend(own);
    if names_none(requirement) || names.is_empty() && !without.is_empty() {
        names.extend(all);
    }
    names
}

/// What the paths begin with that a match takes, and whether it takes all of these; `None` if that is not
/// plain.
pub(super) fn start<'a>(matched: &Node<'a>) -> Option<(&'a str, bool)> {
    let exact = matched.text("path").or_else(|| matched.text("path_separated_prefix"));
    let conditions = ["headers", "query_parameters", "cookies", "runtime_fraction"];
    let simple = !conditions.iter().any(|field| matched.says(field))
        && (matched.get("case_sensitive").is_none() || matched.is_true("case_sensitive"));
    match matched.text("prefix") {
        Some(prefix) => Some((prefix, simple)),
        None => exact.map(|path| (path, false)),
    }
}

/// Whether a rule may apply to a request of a way.
fn may_meet(matched: &Node<'_>, way: &Way<'_>) -> bool {
    let Some(own) = &way.matched else { return true };
    let (Some((rule, _)), Some((route, _))) = (start(matched), start(own)) else { return true };
    if route.starts_with(rule) {
        return true;
    }
    if !rule.starts_with(route) {
        return false;
    }
    // Routes before that one take its requests.
    let before = way.host.iter().flat_map(|host| host.list("routes"));
    let before = before.filter_map(|route| route.get("match"));
    let mut before = before.take_while(|earlier| earlier.place != own.place);
    !before.any(|earlier| {
        start(&earlier).is_some_and(|(earlier, all)| all && rule.starts_with(earlier))
    })
}

/// Whether a rule applies to every request of a way.
fn takes_all(matched: &Node<'_>, way: &Way<'_>) -> bool {
    let Some((rule, true)) = start(matched) else { return false };
    let route = way.matched.as_ref().and_then(start);
    rule == "/" || route.is_some_and(|(route, _)| route.starts_with(rule))
}
