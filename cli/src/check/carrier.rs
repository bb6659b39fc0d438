//! The cluster of a call to a provider, whichever control plane creates it.

use super::pool::Pool;
use super::tls::Tls;
use crate::tree::Node;

/// How a cluster's connections are made.
#[derive(Debug)]
pub(crate) struct Carrier<'a> {
    /// The place of this setting.
    pub(crate) node: Node<'a>,
    /// Whether calls go through a forward proxy with CONNECT.
    pub(crate) proxy: bool,
    /// Where that proxy is: the addresses that say it.
    pub(crate) proxy_addresses: Vec<Node<'a>>,
    /// How they are encrypted.
    pub(crate) tls: Tls,
    /// The remedy if they are not, where Envoy's own field names do not apply.
    pub(crate) remedy: Option<String>,
    /// The connections.
    pub(crate) pool: Pool<'a>,
}

/// The result of looking up a cluster's name.
pub(crate) enum Resolved<'a> {
    /// A cluster.
    Found(Box<Carrier<'a>>),
    /// Nothing: where it should be has been seen. With what to do, if that is known.
    Missing(Option<String>),
    /// Where it should be has not been seen.
    NotSeen,
}
