//! What all files that `init` writes are made of.

use serde_json::{Map, Value as Json};

use super::discovery::{Discovered, Method};
use super::options::{Options, VARIABLE};
use crate::bootstrap::clusters::Cluster;
use crate::bootstrap::pretty;

/// What all files are made of.
#[derive(Debug)]
pub(super) struct Made<'a> {
    pub(super) discovered: &'a Discovered,
    /// The filter's configuration.
    pub(super) config: &'a Map<String, Json>,
    /// The cluster to the provider.
    pub(super) cluster: &'a Cluster,
    /// The file with the authorities that vouch for it.
    pub(super) ca: &'a str,
    pub(super) options: &'a Options,
}

impl Made<'_> {
    /// The variable that the filter reads.
    pub(super) fn variable(&self) -> Option<&'static str> {
        matches!(self.discovered.method, Method::Introspection { .. }).then_some(VARIABLE)
    }

    /// The filter's configuration as JSON text.
    pub(super) fn filter(&self) -> String {
        pretty(self.config)
    }
}
