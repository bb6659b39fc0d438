//! Whether Envoy closes an idle connection to a provider, and so may do it before the provider does.
//! When the provider does is not in the files: a time that is there is not judged.

use std::time::Duration;

use super::duration;
use crate::tree::Node;

/// What Envoy does of its own accord.
const HOUR: Duration = Duration::from_secs(3600);

/// Idle connections that Envoy keeps.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    /// Where the time should be.
    pub(crate) at: Node<'a>,
    /// How long it keeps them.
    pub(crate) time: &'static str,
    /// The remedy, where Envoy's own field names do not apply.
    pub(crate) remedy: Option<String>,
}

/// The node's settings about idle connections; `None` if it has a time for them. `at` is the
/// place to mend.
pub(crate) fn kept<'a>(
    node: &Node<'a>,
    path: &[&str],
    field: &str,
    at: &Node<'a>,
) -> Option<Kept<'a>> {
    let time = match node.at(path).and_then(|node| Some((node.get(field)?, node))) {
        None => "an hour",
        Some((_, node)) if duration::of(&node, field).is_some_and(|time| time.is_zero()) => {
            "ever: 0s is off"
        }
        // As if it were not there.
        Some((_, node)) if duration::of(&node, field).is_some_and(|time| time >= HOUR) => "an hour",
        Some(_) => return None,
    };
    Some(Kept { at: at.clone(), time, remedy: None })
}
