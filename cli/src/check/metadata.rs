//! Whether clients that follow `protected_resource` reach the instance: the resource itself, and its
//! metadata. Where a route depends on more than host and path nothing is said.

use regex_lite::Regex;

use super::codes;
use super::finding::Findings;
use super::instance::Instance;
use super::routes::{self, configurations, label};
use super::world::{Manager, World};
use crate::tree::Node;

/// Where a request goes, by its host and path.
enum Lead<'a> {
    /// No virtual host or route takes it.
    Nowhere,
    /// This route, with the levels at which filters are switched for it.
    Route(Node<'a>, Vec<Node<'a>>),
    /// It cannot be told.
    Unknown,
}

/// Looks at a manager's instances that have metadata.
pub(crate) fn check(
    manager: &Manager<'_>,
    instances: &[(usize, &Instance<'_>)],
    world: &World<'_>,
    findings: &mut Findings,
) {
    let Some(configs) = configurations(manager, world) else { return };
    // Of several configurations a scope selects one.
    let [config] = &configs[..] else { return };
    for (_, instance) in instances {
        let metadata = instance.policy.as_ref().and_then(|policy| policy.metadata.as_ref());
        let Some(metadata) = metadata else { continue };
        let Some((scheme, rest)) = metadata.resource.split_once("://") else { continue };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let authority = authority.strip_suffix(default).unwrap_or(authority).to_ascii_lowercase();
        // Envoy's filters see a request also where no route takes it, as far as they are on by default.
        let answers = !instance.disabled;
        let astray = |path: &str, is_answered: bool| -> Option<String> {
            match lead(config, &[&authority, &format!("{authority}{default}")], path) {
                Lead::Unknown => None,
                Lead::Nowhere if is_answered => None,
                Lead::Nowhere => Some(format!("no route takes {authority}{path}")),
                Lead::Route(route, levels) => {
                    let mut switches =
                        levels.iter().filter_map(|level| routes::switch(level, &instance.name));
                    let is_on = switches.next().unwrap_or(!instance.disabled);
                    (!is_on).then(|| {
                        let (label, name) = (label(&route), &instance.name);
                        format!("{label} takes {authority}{path}, and {name} is off there")
                    })
                }
            }
        };
        if let Some(found) = astray(path, false) {
            findings.add(codes::RESOURCE_ELSEWHERE, &instance.place, found);
        }
        if let Some(found) = astray(metadata.path(), answers) {
            findings.add(codes::METADATA_UNREACHABLE, &instance.place, found);
        }
    }
}

/// The route that takes a request for one of these spellings of a host.
fn lead<'a>(config: &Node<'a>, authorities: &[&str], path: &str) -> Lead<'a> {
    let hosts = config.list("virtual_hosts");
    if config.has("vhds") {
        return Lead::Unknown;
    }
    // The most particular domain takes it: exact, then the longest wildcard, `*` last.
    let rank = |host: &Node<'a>| {
        let domains = host.list("domains").into_iter().filter_map(|domain| domain.value.as_str());
        domains
            .filter_map(|domain| authorities.iter().filter_map(|a| covers(domain, a)).max())
            .max()
    };
    let best = hosts.iter().filter_map(|host| Some((rank(host)?, host)));
    // The first of equals.
    let best = best.reduce(|one, other| if other.0 > one.0 { other } else { one });
    let Some((_, host)) = best else { return Lead::Nowhere };
    if host.has("matcher") {
        return Lead::Unknown;
    }
    for route in host.list("routes") {
        let Some(matched) = route.get("match") else { return Lead::Unknown };
        match takes(&matched, path) {
            Some(false) => {}
            Some(true) if is_simple(&matched) && routes::weighted(&route).is_empty() => {
                return Lead::Route(route.clone(), vec![route, host.clone(), config.clone()]);
            }
            Some(true) | None => return Lead::Unknown,
        }
    }
    Lead::Nowhere
}

/// How particularly a domain of a virtual host covers a host.
fn covers(domain: &str, authority: &str) -> Option<(u8, usize)> {
    let domain = domain.to_ascii_lowercase();
    if domain == "*" {
        return Some((0, 0));
    }
    let covered = |rank: u8, part: &str, is_part: bool| {
        (is_part && authority.len() > part.len()).then_some((rank, part.len()))
    };
    if let Some(suffix) = domain.strip_prefix('*') {
        return covered(2, suffix, authority.ends_with(suffix));
    }
    if let Some(prefix) = domain.strip_suffix('*') {
        return covered(1, prefix, authority.starts_with(prefix));
    }
    (domain == authority).then_some((3, 0))
}

/// Whether a route looks at nothing but the path.
fn is_simple(matched: &Node<'_>) -> bool {
    const PATHS: [&str; 4] = ["prefix", "path", "path_separated_prefix", "safe_regex"];
    let known = |name: &str| {
        PATHS.iter().any(|path| {
            matched.get(path).is_some_and(|node| node.place.ends_with(&format!(".{name}")))
        })
    };
    matched
        .members()
        .into_iter()
        .all(|(name, _)| known(name) || matches!(name, "case_sensitive" | "caseSensitive"))
}

/// Whether a route takes a path, whatever else it asks; `None` if that cannot be told.
fn takes(matched: &Node<'_>, path: &str) -> Option<bool> {
    let case = matched.get("case_sensitive");
    let folds = case.is_some() && !matched.is_true("case_sensitive");
    let fold = |text: &str| if folds { text.to_ascii_lowercase() } else { text.to_owned() };
    let path = fold(path);
    if let Some(prefix) = matched.text("prefix") {
        return Some(path.starts_with(&fold(prefix)));
    }
    if let Some(exact) = matched.text("path") {
        return Some(path == fold(exact));
    }
    if let Some(prefix) = matched.text("path_separated_prefix") {
        let rest = path.strip_prefix(&fold(prefix)).map(str::to_owned);
        return Some(rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')));
    }
    let regex = matched.at(&["safe_regex", "regex"])?;
    let regex = Regex::new(&format!("^(?:{})$", regex.value.as_str()?)).ok()?;
    Some(regex.is_match(&path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input;

    fn document(json: &str) -> crate::tree::Document {
        input::documents("f.json", json).unwrap().remove(0)
    }

    #[test]
    fn route_takes_a_path_as_envoy_says() {
        for (matched, path, expected) in [
            (r#"{"prefix": "/mcp"}"#, "/mcp/a", Some(true)),
            (r#"{"prefix": "/mcp"}"#, "/MCP", Some(false)),
            (r#"{"prefix": "/mcp", "case_sensitive": false}"#, "/MCP", Some(true)),
            (r#"{"prefix": "/mcp", "caseSensitive": true}"#, "/MCP", Some(false)),
            (r#"{"path": "/mcp"}"#, "/mcp", Some(true)),
            (r#"{"path": "/mcp"}"#, "/mcp/", Some(false)),
            (r#"{"pathSeparatedPrefix": "/mcp"}"#, "/mcp/a", Some(true)),
            (r#"{"path_separated_prefix": "/mcp"}"#, "/mcp", Some(true)),
            (r#"{"path_separated_prefix": "/mcp"}"#, "/mcps", Some(false)),
            (r#"{"safe_regex": {"regex": "/m.p"}}"#, "/mcp", Some(true)),
            (r#"{"safe_regex": {"regex": "/m"}}"#, "/mcp", Some(false)),
            (r#"{"safe_regex": {"regex": "("}}"#, "/mcp", None),
            (r#"{"path_match_policy": {}}"#, "/mcp", None),
        ] {
            let document = document(matched);
            assert_eq!(takes(&Node::root(&document), path), expected, "{matched} {path}");
        }
    }

    #[test]
    fn most_particular_domain_takes_a_host() {
        let hosts = [
            ("any", r#"["*"]"#),
            ("suffix", r#"["*.example.com"]"#),
            ("longer", r#"["*.api.example.com"]"#),
            ("prefix", r#"["api.example.*"]"#),
            ("exact", r#"["other.test", "API.example.org", "port.test:443"]"#),
        ];
        let hosts = hosts.map(|(name, domains)| {
            format!(
                r#"{{"name": "{name}", "domains": {domains},
                    "routes": [{{"name": "{name}", "match": {{"prefix": "/"}}}}]}}"#
            )
        });
        let document = document(&format!(r#"{{"virtual_hosts": [{}]}}"#, hosts.join(",")));
        let config = Node::root(&document);
        for (authority, expected) in [
            ("api.example.org", "exact"),
            ("port.test", "exact"),
            ("a.example.com", "suffix"),
            ("a.api.example.com", "longer"),
            ("api.example.net", "prefix"),
            ("api.example.com", "suffix"),
            ("example.com", "any"),
            (".example.com", "any"),
        ] {
            match lead(&config, &[authority, &format!("{authority}:443")], "/") {
                Lead::Route(route, _) => {
                    assert_eq!(route.text("name"), Some(expected), "{authority}");
                }
                Lead::Nowhere | Lead::Unknown => panic!("{authority}"),
            }
        }
    }
}
