//! The guard behind the filter: Envoy's RBAC filter that reads the filter's outcome of each
//! request. It refuses requests where Envoy skips the filter. Other conditions of such a filter are
//! not checked: they let fewer requests pass.

use oidc_token_connector::outcome::Outcome;
use oidc_token_connector::policy::{AccessLog, Credentials, Policy, Preflight};
use regex_lite::Regex;

use super::finding::Findings;
use super::instance::{Instance, Platform};
use super::routes::{self, Way};
use super::world::{Manager, World};
use super::{codes, other, scope};
use crate::tree::Node;

/// Envoy's filter for it, and what a route says of that.
const RBAC: &str = "envoy.extensions.filters.http.rbac.v3.RBAC";
const PER_ROUTE: &str = "envoy.extensions.filters.http.rbac.v3.RBACPerRoute";
/// Under what name the filter says what became of a request.
pub(super) const OUTCOME: &str = "wasm.oidc_outcome";

/// The fields of a policy's condition, which is not looked into.
const CONDITIONS: [&str; 2] = ["condition", "checked_condition"];

/// A filter that refuses requests of which the filter says nothing.
#[derive(Debug)]
struct Guard<'a> {
    /// Its entry in the list of filters.
    node: Node<'a>,
    /// Its rules; `None` if they are such as are not looked into.
    rules: Option<Node<'a>>,
}

impl<'a> Guard<'a> {
    /// The guard in an entry of `http_filters`, if it is one.
    fn of(entry: &Node<'a>) -> Option<Guard<'a>> {
        if let Some(discovery) = entry.get("config_discovery") {
            // A discovered filter may be one.
            let urls = discovery.list("type_urls");
            let may = urls.iter().any(|url| url.value.as_str().is_some_and(|u| u.ends_with(RBAC)));
            return may.then(|| Guard { node: entry.clone(), rules: None });
        }
        Guard::with(entry, &entry.get("typed_config")?.message(RBAC)?)
    }

    fn with(entry: &Node<'a>, config: &Node<'a>) -> Option<Guard<'a>> {
        let guard = |rules| Guard { node: entry.clone(), rules };
        if let Some(matcher) = config.get("matcher") {
            return speaks_of_it(&matcher).then(|| guard(None));
        }
        let rules = config.get("rules")?;
        guards(&rules).then(|| guard(Some(rules)))
    }

    /// The guard in an entry of `http_filters` as it is on a route.
    fn on(entry: &Node<'a>, way: &Way<'a>) -> Option<Guard<'a>> {
        let name = entry.text("name").unwrap_or_default();
        let mut levels = way.levels.iter();
        let said = levels.find_map(|level| level.get("typed_per_filter_config")?.member(name));
        match said.as_ref().map(|said| (said, said.message(PER_ROUTE))) {
            None if entry.is_true("disabled") => None,
            Some((said, None)) if !routes::switches_on(said) => None,
            None | Some((_, None)) => Guard::of(entry),
            Some((_, Some(own))) => Guard::with(entry, &own.get("rbac")?),
        }
    }

    fn name(&self) -> &'a str {
        self.node.text("name").unwrap_or_default()
    }

    /// Whether its rules certainly let pass what the filter says this of, because of that.
    fn names(&self, outcome: &str) -> bool {
        let Some(rules) = &self.rules else { return false };
        let policies = policies(rules);
        if policies.iter().any(|p| CONDITIONS.iter().any(|field| p.has(field))) {
            return false;
        }
        let named = |principal: &Node<'_>| asks(principal) && may_be(principal, outcome);
        match denies(rules) {
            true => self.lets_pass(outcome),
            false => {
                policies.iter().flat_map(|policy| policy.list("principals")).any(|p| named(&p))
            }
        }
    }

    /// Whether its refusals count apart from those of other RBAC filters: what a route says of
    /// the rules changes no name of a counter. A discovered filter may say anything.
    fn counts_apart(&self) -> bool {
        let config = self.node.get("typed_config").and_then(|config| config.message(RBAC));
        config.is_none_or(|config| {
            config.text("rules_stat_prefix").is_some_and(|prefix| !prefix.is_empty())
        })
    }

    /// Whether it may let a request pass of which the filter says this.
    fn lets_pass(&self, outcome: &str) -> bool {
        let Some(rules) = &self.rules else { return true };
        let policies = policies(rules);
        if denies(rules) {
            let refuses = |principal: &Node<'_>| {
                principal.get("not_id").is_some_and(|not| asks(&not) && !may_be(&not, outcome))
            };
            let everything = policies.iter().filter(|policy| any(policy, "permissions"));
            return !everything.flat_map(|policy| policy.list("principals")).any(|p| refuses(&p));
        }
        let mut principals = policies.iter().flat_map(|policy| policy.list("principals"));
        principals.any(|principal| may_be(&principal, outcome))
    }
}

/// Whether a filter is a guard, or may be one.
pub(super) fn is_guard(entry: &Node<'_>) -> bool {
    Guard::of(entry).is_some()
}

/// Whether an entry is a guard that is on for a way.
pub(super) fn is_on<'a>(entry: &Node<'a>, way: &Way<'a>) -> bool {
    Guard::on(entry, way).is_some()
}

fn policies<'a>(rules: &Node<'a>) -> Vec<Node<'a>> {
    let policies = rules.get("policies").map(|all| all.members()).unwrap_or_default();
    policies.into_iter().map(|(_, policy)| policy).collect()
}

/// Whether the action is to refuse what matches.
fn denies(rules: &Node<'_>) -> bool {
    rules.get("action").is_some_and(|action| *action.value == "DENY" || *action.value == 1)
}

/// Whether a policy's permissions, or principals, are all there are.
fn any(policy: &Node<'_>, list: &str) -> bool {
    policy.list(list).iter().any(|part| part.is_true("any"))
}

/// Whether something that is not looked into is about the outcome.
fn speaks_of_it(node: &Node<'_>) -> bool {
    node.value.to_string().contains(OUTCOME)
}

/// Whether rules refuse a request without an outcome: one policy requires the outcome and none lets
/// everything pass, or one refuses everything without it.
fn guards(rules: &Node<'_>) -> bool {
    let policies = policies(rules);
    if denies(rules) {
        return policies.iter().any(|policy| {
            let refuses = |principal: &Node<'_>| principal.get("not_id").is_some_and(|p| asks(&p));
            any(policy, "permissions") && policy.list("principals").iter().any(refuses)
        });
    }
    let asking = |policy: &Node<'_>| {
        let principals = policy.list("principals");
        let mut conditions = CONDITIONS.iter().filter_map(|field| policy.get(field));
        !principals.is_empty() && principals.iter().all(asks)
            || conditions.any(|condition| speaks_of_it(&condition))
    };
    let open = |policy: &Node<'_>| {
        any(policy, "permissions")
            && any(policy, "principals")
            && !CONDITIONS.iter().any(|field| policy.has(field))
    };
    let allows = rules.get("action").is_none_or(|a| *a.value == "ALLOW" || *a.value == 0);
    allows && policies.iter().any(asking) && !policies.iter().any(open)
}

/// Whether a principal matches no request without an outcome.
fn asks(principal: &Node<'_>) -> bool {
    let ids = |field: &str| principal.get(field).map(|set| set.list("ids")).unwrap_or_default();
    let either = ids("or_ids");
    principal.get("filter_state").is_some_and(|state| state.text("key") == Some(OUTCOME))
        || ids("and_ids").iter().any(asks)
        || !either.is_empty() && either.iter().all(asks)
}

/// Whether a principal may be one of whom the filter says this.
fn may_be(principal: &Node<'_>, outcome: &str) -> bool {
    if let Some(state) = principal.get("filter_state") {
        let matcher = state.get("string_match");
        return state.text("key") != Some(OUTCOME) || matcher.is_none_or(|m| takes(&m, outcome));
    }
    if let Some(not) = principal.get("not_id") {
        return !asks(&not) || !may_be(&not, outcome);
    }
    if let Some(all) = principal.get("and_ids") {
        return all.list("ids").iter().all(|part| may_be(part, outcome));
    }
    match principal.get("or_ids") {
        Some(either) => either.list("ids").iter().any(|part| may_be(part, outcome)),
        None => true,
    }
}

/// Whether a matcher takes a text; one that is not understood may.
pub(crate) fn takes(matcher: &Node<'_>, text: &str) -> bool {
    type Judge = fn(&str, &str) -> bool;
    const FORMS: [(&str, Judge); 4] = [
        ("exact", |text, part| text == part),
        ("prefix", |text, part| text.starts_with(part)),
        ("suffix", |text, part| text.ends_with(part)),
        ("contains", |text, part| text.contains(part)),
    ];
    let fold = matcher.is_true("ignore_case");
    let folded = |text: &str| if fold { text.to_ascii_lowercase() } else { text.to_owned() };
    for (form, judge) in FORMS {
        if let Some(part) = matcher.text(form) {
            return judge(&folded(text), &folded(part));
        }
    }
    let regex = matcher.at(&["safe_regex", "regex"]).and_then(|node| node.value.as_str());
    // Envoy's expressions have to match all of it.
    let regex = regex.and_then(|regex| Regex::new(&format!("^(?:{regex})$")).ok());
    regex.is_none_or(|regex| regex.is_match(text))
}

/// Looks for the guard behind a manager's instances.
pub(crate) fn check<'a>(
    manager: &Manager<'a>,
    instances: &[(usize, &Instance<'a>)],
    ways: Option<&[Way<'a>]>,
    findings: &mut Findings,
) {
    let named =
        |name: &str| manager.filters.iter().position(|filter| filter.text("name") == Some(name));
    // The position of the last of those instances.
    let last = |on: &[usize]| {
        let on = instances.iter().filter(|(index, _)| on.contains(index));
        on.filter_map(|(_, instance)| named(&instance.name)).max()
    };
    let by_default: Vec<usize> =
        instances.iter().filter(|(_, i)| !i.disabled).map(|(index, _)| *index).collect();
    let whole = [Way::of(manager.node.clone(), by_default)];
    let mut bare: Vec<(&Way<'a>, usize)> = Vec::new();
    let mut guarded = false;
    let mut guards: Vec<Guard<'a>> = Vec::new();
    for way in ways.unwrap_or(&whole) {
        // Nothing behind the router is met; if an instance is there, that is said instead.
        let router = manager.filters.iter().position(other::is_router);
        let end = router.filter(|router| last(&way.on).is_none_or(|last| last < *router));
        let entries = manager.filters.iter().enumerate().take(end.unwrap_or(usize::MAX));
        let on = entries.filter_map(|(index, entry)| Some((index, Guard::on(entry, way)?)));
        let on: Vec<(usize, Guard<'a>)> = on.collect();
        let Some(last) = last(&way.on) else {
            check_public(way, &on, findings);
            continue;
        };
        for (index, guard) in &on {
            check_counter(guard, findings);
            let met = instances.iter().filter(|(index, _)| way.on.contains(index));
            let met: Vec<&Instance<'a>> = met.map(|(_, instance)| *instance).collect();
            if *index < last {
                let found = format!("{} is before the filter", guard.name());
                findings.add(codes::GUARD_REFUSES, &guard.node, found);
            } else {
                check_words(guard, &met, findings);
            }
        }
        guarded |= !on.is_empty();
        if on.is_empty() {
            bare.push((way, last));
        }
        guards.extend(on.into_iter().map(|(_, guard)| guard));
    }
    for guard in &guards {
        check_width(guard, instances, findings);
    }
    for (way, last) in bare {
        if guarded {
            let label = routes::label(&way.node);
            let found = format!("no guard is on for {label}, but an instance is");
            findings.add(codes::NO_GUARD, &way.node, found);
        } else if let Some(entry) = manager.filters.get(last) {
            let name = entry.text("name").unwrap_or_default();
            findings.add(codes::NO_GUARD, entry, format!("no guard is behind {name}"));
        }
    }
}

/// On a public route the guard would refuse every request.
fn check_public(way: &Way<'_>, on: &[(usize, Guard<'_>)], findings: &mut Findings) {
    if let (Some(_), Some((_, guard))) = (way.public, on.first()) {
        let label = routes::label(&way.node);
        let found = format!("{label} is public, and {} is on there", guard.name());
        findings.add(codes::GUARD_REFUSES, &way.node, found);
    }
}

/// Whether the guard lets pass what no instance in front of it lets pass. What a control plane makes
/// is not judged: the guard there may be for instances of other manifests.
fn check_width(guard: &Guard<'_>, instances: &[(usize, &Instance<'_>)], findings: &mut Findings) {
    let mut policies: Vec<&Policy> = Vec::new();
    for (_, instance) in instances {
        // Of one that does not load nothing is known.
        let Some(policy) = &instance.policy else { return };
        policies.push(policy);
    }
    let preflights = policies.iter().any(|policy| policy.preflight == Preflight::Pass);
    let anonymous = policies.iter().any(|policy| policy.credentials == Credentials::Optional);
    for (outcome, is_wanted, setting) in [
        (Outcome::Preflight, preflights, "preflight: pass"),
        (Outcome::Anonymous, anonymous, "credentials: optional"),
    ] {
        let outcome = outcome.as_str();
        if !is_wanted && guard.names(&format!("{outcome};none;none")) {
            let name = guard.name();
            let found = format!("{name} accepts {outcome};, and no instance has {setting}");
            findings.add(codes::GUARD_TOO_WIDE, &guard.node, found);
        }
    }
}

/// Whether an alert can tell the guard's refusals from others.
fn check_counter(guard: &Guard<'_>, findings: &mut Findings) {
    if !guard.counts_apart() {
        let found = format!("{} has no rules_stat_prefix", guard.name());
        findings.add(codes::GUARD_NOT_COUNTED, &guard.node, found);
    }
}

/// Whether the guard lets pass what the instances let pass.
fn check_words(guard: &Guard<'_>, instances: &[&Instance<'_>], findings: &mut Findings) {
    const SOURCES: [&str; 5] = ["asked", "joined", "hit", "shared", "stale"];
    let name = guard.name();
    for instance in instances {
        let Some(policy) = &instance.policy else { continue };
        let own = &instance.name;
        if policy.access_log == AccessLog::Silent {
            let found = format!("{name} reads {OUTCOME}, and {own} has no access_log_state");
            findings.add(codes::GUARD_REFUSES, &instance.place, found);
            continue;
        }
        let endpoints = instance.endpoints();
        let outcomes = endpoints.iter().flat_map(|endpoint| {
            SOURCES.iter().map(|source| format!("pass;{source};{}", endpoint.region))
        });
        if let Some(outcome) = outcomes.into_iter().find(|outcome| !guard.lets_pass(outcome)) {
            let found = format!("{name} refuses requests that {own} lets pass as {outcome}");
            findings.add(codes::GUARD_REFUSES, &guard.node, found);
        }
        if policy.preflight == Preflight::Pass && !guard.lets_pass("preflight;none;none") {
            let found = format!("{name} refuses the preflights that {own} lets pass");
            findings.add(codes::GUARD_REFUSES, &guard.node, found);
        }
        let anonymous = format!("{};none;none", Outcome::Anonymous.as_str());
        if policy.credentials == Credentials::Optional && !guard.lets_pass(&anonymous) {
            let found =
                format!("{name} refuses the requests without credentials that {own} lets pass");
            findings.add(codes::GUARD_REFUSES, &guard.node, found);
        }
    }
}

/// Looks for the guard behind an instance of which a control plane makes Envoy's configuration.
pub(crate) fn check_made(instance: &Instance<'_>, world: &World<'_>, findings: &mut Findings) {
    let values: Vec<Node<'_>> = match instance.platform {
        Platform::Istio => scope::around(world, instance, "HTTP_FILTER"),
        Platform::Gateway => {
            let patches = world.gateway.patches.iter();
            patches.filter_map(|patch| patch.at(&["operation", "value"])).collect()
        }
        Platform::Envoy | Platform::Alone => return,
    };
    let guards: Vec<Guard<'_>> = values.iter().filter_map(Guard::of).collect();
    if guards.is_empty() {
        let found = format!("no guard behind {} is in these files", instance.name);
        findings.add(codes::GUARD_NOT_SEEN, &instance.node, found);
    }
    for guard in &guards {
        check_counter(guard, findings);
        check_words(guard, &[instance], findings);
    }
}

/// Looks for the guard in a list of filters that an upgrade has for itself.
pub(crate) fn check_list(
    filters: &Node<'_>,
    kind: &str,
    world: &World<'_>,
    findings: &mut Findings,
) {
    let entries = filters.items();
    let is_instance = |entry: &Node<'_>| {
        let same = |node: &Node<'_>| {
            std::ptr::eq(node.document, entry.document) && node.place == entry.place
        };
        world.instances.iter().any(|instance| same(&instance.node) && !instance.disabled)
    };
    let Some(last) = entries.iter().rposition(is_instance) else { return };
    let guards: Vec<Guard<'_>> = entries
        .iter()
        .skip(last)
        .take_while(|e| !other::is_router(e))
        .filter_map(Guard::of)
        .collect();
    for guard in &guards {
        check_counter(guard, findings);
    }
    if guards.is_empty() {
        let found = format!("no guard is in the list of filters of the upgrade {kind}");
        findings.add(codes::NO_GUARD, filters, found);
    }
}
