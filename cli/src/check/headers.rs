//! Changes of request headers that stand in Envoy's own configuration: what they do to the token, and
//! whether they write what a client says into a header that only the filter may set.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fed::{self, Fed};
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
            let forged = instance.strips(name) && fed::is_the_clients(value, instance, fed);
            forged.then(|| format!("{name} from {value}"))
        }
        Mutation::Remove(_) | Mutation::RemoveWhere(_) => None,
    })
}
