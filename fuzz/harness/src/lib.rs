//! The checks of the fuzz targets, as plain functions: libFuzzer drives them, and a native test
//! replays the committed corpus through them.
//!
//! Each module is one target: bytes in, a panic where a promise is broken. A target must reach the
//! core through its public interface alone, and must judge it by rules written down here a second
//! time, never by the core's own helpers.

pub mod bearer;
pub mod block;
pub mod challenge;
pub mod check;
pub mod claimed;
pub mod claims;
pub mod config;
pub mod document;
pub mod drive;
pub mod endpoint;
pub mod gate_ops;
pub mod introspection;
pub mod json;
pub mod jsonpath;
pub mod kinds;
pub mod message;
pub mod migrate;
pub mod model;
pub mod rules;
pub mod token;

/// A target: panics where a promise is broken.
pub type Check = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Check)] = &[
    ("bearer", bearer::check),
    ("block", block::check),
    ("challenge", challenge::check),
    ("check", check::check),
    ("claims", claims::check),
    ("config", config::check),
    ("endpoint", endpoint::check),
    ("gate_ops", gate_ops::check),
    ("introspection", introspection::check),
    ("json", json::check),
    ("jsonpath", jsonpath::check),
    ("migrate", migrate::check),
    ("token", token::check),
];
