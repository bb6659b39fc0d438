//! The parts of `oidc-connector` that other crates of this workspace use: the tests that run a
//! migrated configuration on the real Envoy.

pub mod migrate;
pub mod outcomes;
pub mod schema;
