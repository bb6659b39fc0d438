//! The parts of `oidc-connector` that other crates of this workspace use: the tests that run what `init` and
//! `migrate` write on the real Envoy.

mod bootstrap;
pub mod init;
pub mod migrate;
pub mod outcomes;
pub mod schema;
