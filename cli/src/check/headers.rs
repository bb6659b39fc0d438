//! Changes of request headers that stand in Envoy's own configuration: what they do to the token, and
//! whether they write what a client says into a header that only the filter may set.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fed::Fed;
use super::guard;
use super::instance::Instance;
use crate::tree::Node;

const AUTHORIZATION: &str = "authorization";

/// One change.
pub(crate) enum Mutation<'a> {
    /// The header of that name goes.
    Remove(&'a str),
    /// Every header whose name this takes goes.
    RemoveWhere(Node<'a>),
    /// The header of that name gets that value.
    Write(&'a str, Cow<'a, str>),
}

/// The changes of a list, in their order.
pub(crate) fn mutations<'a>(list: &[Node<'a>]) -> Vec<Mutation<'a>> {
    let one = |node: &Node<'a>| {
        if let Some(name) = node.text("remove") {
            return Some(Mutation::Remove(name));
        }
        if let Some(matcher) = node.at(&["remove_on_match", "key_matcher"]) {
            return Some(Mutation::RemoveWhere(matcher));
        }
        written(&node.get("append")?)
    };
    list.iter().filter_map(one).collect()
}

/// The change that adds or replaces one header.
pub(crate) fn written<'a>(option: &Node<'a>) -> Option<Mutation<'a>> {
    let header = option.get("header")?;
    // Bytes are in base64.
    let raw = || {
        let raw = STANDARD.decode(header.text("raw_value")?).ok()?;
        Some(Cow::Owned(String::from_utf8_lossy(&raw).into_owned()))
    };
    let value = header.text("value").filter(|value| !value.is_empty()).map(Cow::Borrowed);
    Some(Mutation::Write(header.text("key")?, value.or_else(raw)?))
}

impl Mutation<'_> {
    fn removes(&self, name: &str) -> bool {
        match self {
            Mutation::Remove(own) => own.eq_ignore_ascii_case(name),
            Mutation::RemoveWhere(matcher) => guard::takes(matcher, name),
            Mutation::Write(..) => false,
        }
    }
}

/// Whether a header of that name is gone after the changes.
pub(crate) fn removed(mutations: &[Mutation<'_>], name: &str) -> bool {
    mutations.iter().fold(false, |gone, mutation| match mutation {
        Mutation::Write(own, _) => gone && !own.eq_ignore_ascii_case(name),
        Mutation::Remove(_) | Mutation::RemoveWhere(_) => gone || mutation.removes(name),
    })
}

/// Whether the client's token is gone after the changes.
pub(crate) fn loses_the_token(mutations: &[Mutation<'_>]) -> bool {
    removed(mutations, AUTHORIZATION)
}

/// Whether every request gets the same token.
pub(crate) fn gives_a_token(mutations: &[Mutation<'_>]) -> bool {
    mutations.iter().any(|mutation| match mutation {
        Mutation::Write(name, value) => {
            let fixed = !value.contains('%') || value.contains("%ENVIRONMENT(");
            name.eq_ignore_ascii_case(AUTHORIZATION) && fixed
        }
        Mutation::Remove(_) | Mutation::RemoveWhere(_) => false,
    })
}

/// The first header that only the instance may set, and that gets what the client says.
pub(super) fn forged(
    mutations: &[Mutation<'_>],
    instance: &Instance<'_>,
    fed: &Fed,
) -> Option<String> {
    mutations.iter().find_map(|mutation| match mutation {
        Mutation::Write(name, value) => {
            let forged = instance.strips(name) && is_the_clients(value, instance, fed);
            forged.then(|| format!("{name} from {value}"))
        }
        Mutation::Remove(_) | Mutation::RemoveWhere(_) => None,
    })
}

/// Operators that have nothing of what the client writes into a request.
const OTHERS: [&str; 30] = [
    "ACCESS_LOG_",
    "BYTES_",
    "CLUSTER_METADATA",
    "COMMON_DURATION",
    "CONNECTION_",
    "CUSTOM_FLAGS",
    "DOWNSTREAM_",
    "DURATION",
    "EMIT_TIME",
    "ENVIRONMENT",
    "FILTER_CHAIN_NAME",
    "GRPC_STATUS",
    "HOST_METADATA",
    "HOSTNAME",
    "LOCAL_REPLY_BODY",
    "PROTOCOL",
    "QUIC_",
    "REQUEST_DURATION",
    "REQUEST_TX_DURATION",
    "RESPONSE_",
    "RESP",
    "ROUNDTRIP_DURATION",
    "ROUTE_NAME",
    "START_TIME",
    "STREAM_ID",
    "TLS_",
    "TRAILER",
    "UNIQUE_ID",
    "UPSTREAM_",
    "VIRTUAL_CLUSTER_NAME",
];

/// Whether a format has something of the request in it that the instance does not strip. An operator
/// that is not known may have it.
pub(super) fn is_the_clients(format: &str, instance: &Instance<'_>, fed: &Fed) -> bool {
    // Operators stand between two percent signs; two of these are one sign.
    format.split('%').skip(1).step_by(2).filter(|operator| !operator.is_empty()).any(|operator| {
        let (name, rest) = operator.split_once('(').unwrap_or((operator, ""));
        let arguments = rest.rsplit_once(')').map_or(rest, |(arguments, _)| arguments);
        let first = arguments.split(':').next().unwrap_or_default();
        match name {
            "REQ" | "REQ_WITHOUT_QUERY" | "REQUEST_HEADER" => {
                let names = arguments.split(')').next().unwrap_or_default();
                names.split('?').any(|name| !name.is_empty() && !instance.strips(name.trim()))
            }
            "DYNAMIC_METADATA" => fed.metadata(first),
            "FILTER_STATE" | "PER_REQUEST_STATE" => fed.state(first),
            "METADATA" => match arguments.strip_prefix("DYNAMIC:") {
                Some(rest) => fed.metadata(rest.split(':').next().unwrap_or_default()),
                None => false,
            },
            // An expression reads a request's headers and path by this name.
            "CEL" => arguments.contains("request.") || arguments.contains("request["),
            _ => !OTHERS.iter().any(|known| name.starts_with(known)),
        }
    })
}
