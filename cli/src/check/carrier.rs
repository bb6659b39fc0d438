//! What carries a call to a provider, whichever control plane makes the cluster.

use super::pool::Pool;
use super::tls::Tls;
use crate::tree::Node;

/// How a cluster's connections are made.
#[derive(Debug)]
pub(crate) struct Carrier<'a> {
    /// Where it says so.
    pub(crate) node: Node<'a>,
    /// Whether a forward proxy is asked with CONNECT.
    pub(crate) proxy: bool,
    /// Where that proxy is: the addresses that say it.
    pub(crate) proxy_addresses: Vec<Node<'a>>,
    /// How they are encrypted.
    pub(crate) tls: Tls,
    /// What to do if they are not, where Envoy's own words do not fit.
    pub(crate) remedy: Option<String>,
    /// What is known of the connections themselves.
    pub(crate) pool: Pool<'a>,
}

/// What a cluster's name leads to.
pub(crate) enum Resolved<'a> {
    /// A cluster.
    Found(Box<Carrier<'a>>),
    /// Nothing: where it should be has been seen. With what to do, if that is known.
    Missing(Option<String>),
    /// Where it should be has not been seen.
    NotSeen,
}
