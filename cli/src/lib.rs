//! What of `oidc-connector` the other crates of this workspace use, too: the tests that run a
//! migrated configuration on the real Envoy.

pub mod migrate;
pub mod outcomes;
pub mod schema;
