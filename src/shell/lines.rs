//! Everything that the filter writes to Envoy's log: a closed list, by the `log` facade, behind
//! which the SDK's logger is. No token, no claim, no body of a configuration and nothing else of a
//! request or an answer may get into it. A new line is a new entry here; nothing else of this
//! crate calls `log`, which `clippy.toml` holds it to.

#![allow(clippy::disallowed_macros, reason = "here, and nowhere else")]

use std::fmt;
use std::panic::PanicHookInfo;

use log::Level;

use crate::filter::SiteEvent;
use crate::policy::Problem;

/// A line of Envoy's log.
pub(super) enum Line<'l> {
    /// A panic: where, and not its message, which may hold bytes of a request.
    Panic(&'l PanicHookInfo<'l>),
    /// Envoy does not hand over the configuration.
    Unreadable,
    /// A configuration has this problem. Its texts are written for the log, see `config/problem.rs`.
    Refused(&'l Problem),
    /// A configuration is taken that has this fault.
    Fault(&'l Problem),
    /// What a configuration asks of Envoy's own: names of clusters and hosts.
    Note(&'l str),
    /// A request met no configuration.
    Unconfigured,
    /// A connection has come: the module is loaded as a network filter.
    NetworkFilter,
    /// The host refused what it never refuses.
    HostRefused,
    /// A circuit breaker has changed, or a site refuses the gateway: its cluster and endpoint.
    Site(&'l SiteEvent),
}

impl Line<'_> {
    /// Writes it.
    pub(super) fn write(&self) {
        log::log!(self.level(), "{self}");
    }

    /// Whether an operator has to see to it, may have to, or need not.
    fn level(&self) -> Level {
        match self {
            Line::Panic(_)
            | Line::Unreadable
            | Line::Refused(_)
            | Line::Fault(_)
            | Line::Unconfigured
            | Line::NetworkFilter
            | Line::HostRefused => Level::Error,
            Line::Site(SiteEvent::ClientRefused { .. }) => Level::Error,
            Line::Site(SiteEvent::Opened { .. } | SiteEvent::Deaf { .. }) => Level::Warn,
            Line::Note(_) | Line::Site(SiteEvent::Closed { .. }) => Level::Info,
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Panic(info) => {
                let (file, line) = info.location().map_or(("", 0), |l| (l.file(), l.line()));
                write!(f, "panic at {file}:{line}")
            }
            Line::Unreadable => f.write_str(
                "configuration: cannot be read from Envoy; every request is answered with 500",
            ),
            Line::Refused(problem) => write!(f, "configuration refused: {problem}"),
            Line::Fault(fault) => write!(f, "configuration: {fault}"),
            Line::Note(note) => f.write_str(note),
            Line::Unconfigured => {
                f.write_str("request received before any configuration: answered with 500")
            }
            Line::NetworkFilter => f.write_str(
                "connection closed: got a network filter, expected an HTTP filter: use \
                 envoy.filters.http.wasm (Istio: no `type: NETWORK`)",
            ),
            Line::HostRefused => {
                f.write_str("Envoy refused to read or edit a request's headers; answered with 500")
            }
            Line::Site(SiteEvent::Opened { site }) => {
                write!(f, "circuit breaker opened: cluster {site} does not answer")
            }
            Line::Site(SiteEvent::Deaf { site }) => write!(
                f,
                "circuit breaker disabled: cluster {site} answers calls with a token, but no \
                 probe without one"
            ),
            Line::Site(SiteEvent::ClientRefused { cluster, region }) => write!(
                f,
                "introspection_client_refused: cluster {cluster}, region {region}: the endpoint refuses the \
                 gateway's own client or its request: if it does so for every token, check \
                 introspection_client and the endpoint"
            ),
            Line::Site(SiteEvent::Closed { site }) => {
                write!(f, "circuit breaker closed: cluster {site} answers again")
            }
        }
    }
}
