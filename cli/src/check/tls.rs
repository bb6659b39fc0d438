//! The trust of an Envoy cluster's TLS: which authority, and which name.

use regex_lite::Regex;

use super::pool;
use super::world::World;
use crate::tree::Node;

/// How connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// Not at all.
    Absent,
    /// With TLS.
    On {
        /// Whether the certificate must come from a trusted authority.
        ca: bool,
        /// Whether it must bear a given name.
        san: San,
    },
    /// By something that only Envoy knows.
    Unseen,
}

/// Whether a certificate's names are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum San {
    /// One must be the one that is given.
    Compared,
    /// No.
    Missing,
    /// By a matcher that any name satisfies.
    Any,
    /// By a secret that is not in the files, or not at all.
    Unseen,
}

/// A pinned certificate needs neither authority nor name.
const PINS: &[&str] =
    &["verify_certificate_hash", "verify_certificate_spki", "custom_validator_config"];

/// What a TLS context says of the certificates that it accepts; and what the secret that it names does,
/// which is `Some(None)` if that is not in the files.
pub(super) fn validation<'a>(
    context: &Node<'a>,
    world: &World<'a>,
) -> (Vec<Node<'a>>, Option<Option<Node<'a>>>) {
    const SECRET: &str = "validation_context_sds_secret_config";
    let common = context.get("common_tls_context");
    let common = common.as_ref();
    let combined = common.and_then(|common| common.get("combined_validation_context"));
    let combined = combined.as_ref();
    let secret = [common, combined].into_iter().flatten().find_map(|node| node.get(SECRET));
    let by_secret = secret.as_ref().map(|secret| world.validation(secret));
    let places = [
        common.and_then(|common| common.get("validation_context")),
        combined.and_then(|combined| combined.get("default_validation_context")),
        by_secret.clone().flatten(),
    ];
    (places.into_iter().flatten().collect(), by_secret)
}

fn matchers<'a>(places: &[Node<'a>]) -> Vec<Node<'a>> {
    const NAMES: &[&str] = &["match_typed_subject_alt_names", "match_subject_alt_names"];
    let of_one = |place: &Node<'a>| -> Vec<Node<'a>> {
        NAMES.iter().flat_map(|field| place.list(field)).collect()
    };
    places.iter().flat_map(of_one).collect()
}

/// The matchers of the names that a TLS context accepts; none where something else than they decides.
pub(crate) fn names<'a>(
    context: &Node<'a>,
    cluster: &Node<'_>,
    world: &World<'a>,
) -> Vec<Node<'a>> {
    let (places, _) = validation(context, world);
    let pinned = places.iter().any(|place| PINS.iter().any(|field| place.says(field)));
    let by_call = context.is_true("auto_sni_san_validation")
        || takes_from_call(cluster, "auto_san_validation");
    if pinned || by_call { Vec::new() } else { matchers(&places) }
}

/// The settings of a TLS context.
pub(crate) fn of_context<'a>(context: &Node<'a>, cluster: &Node<'_>, world: &World<'a>) -> Tls {
    const CAS: &[&str] = &["trusted_ca", "ca_certificate_provider_instance"];
    let (places, by_secret) = validation(context, world);
    // A secret that is not in the files may contain anything; its existence is enough for the
    // authority, because such secrets are made for that.
    let unseen = matches!(by_secret, Some(None));
    let says = |fields: &[&str]| {
        places.iter().any(|context| fields.iter().any(|field| context.says(field)))
    };
    // Enums may be numbers.
    let untrusted = places.iter().filter_map(|context| context.get("trust_chain_verification"));
    let untrusted =
        untrusted.into_iter().any(|node| *node.value == "ACCEPT_UNTRUSTED" || *node.value == 1);
    let system = places.iter().any(|context| context.has("system_root_certs"));
    let matchers = matchers(&places);
    let by_call = context.is_true("auto_sni_san_validation")
        || takes_from_call(cluster, "auto_san_validation");
    let san = if says(PINS) || by_call {
        San::Compared
    } else if matchers.iter().any(is_any) {
        San::Any
    } else if !matchers.is_empty() {
        San::Compared
    } else if unseen {
        San::Unseen
    } else {
        San::Missing
    };
    Tls::On { ca: !untrusted && (unseen || says(PINS) || says(CAS) || system), san }
}

/// Whether a matcher accepts unintended names.
fn is_any(matcher: &Node<'_>) -> bool {
    const NOBODYS: [&str; 3] = ["q7-x.invalid", "0.1z.example.invalid", "w.v.k-9.invalid"];
    NOBODYS.iter().all(|name| takes(matcher, name))
}

/// Whether a matcher accepts a name.
pub(crate) fn takes(matcher: &Node<'_>, name: &str) -> bool {
    let matcher = matcher.get("matcher").unwrap_or_else(|| matcher.clone());
    let fold = matcher.is_true("ignore_case");
    let folded = |text: &str| if fold { text.to_ascii_lowercase() } else { text.to_owned() };
    let by_text = |field: &str, judge: fn(&str, &str) -> bool| {
        matcher.text(field).is_some_and(|text| judge(&folded(name), &folded(text)))
    };
    let regex = matcher.at(&["safe_regex", "regex"]).and_then(|node| node.value.as_str());
    // Envoy's expressions have to match all of it. One that is not understood is not judged.
    let regex = regex.and_then(|regex| Regex::new(&format!("^(?:{regex})$")).ok());
    by_text("exact", is_exactly)
        || by_text("prefix", |name, text| name.starts_with(text))
        || by_text("suffix", |name, text| name.ends_with(text))
        || by_text("contains", |name, text| name.contains(text))
        || regex.is_some_and(|regex| regex.is_match(name))
}

/// Whether a name is that one, or one of those that a wildcard stands for.
fn is_exactly(name: &str, text: &str) -> bool {
    let below = text.strip_prefix("*.").zip(name.split_once('.'));
    name.eq_ignore_ascii_case(text)
        || below.is_some_and(|(domain, (_, rest))| rest.eq_ignore_ascii_case(domain))
}

/// Whether a cluster takes something of the call itself: `auto_sni`, `auto_san_validation`.
pub(crate) fn takes_from_call(cluster: &Node<'_>, field: &str) -> bool {
    let extended = pool::options(cluster);
    [extended.as_ref(), Some(cluster)].into_iter().flatten().any(|node| {
        let options = node.get("upstream_http_protocol_options");
        options.is_some_and(|options| options.is_true(field))
    })
}
