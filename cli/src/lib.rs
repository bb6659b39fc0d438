//! All of `oidc-connector`, whose `main.rs` only chooses the subcommand. Fuzz targets and the tests
//! that run a migrated configuration on the real Envoy use it too.

pub mod check;
pub mod explain;
mod input;
pub mod migrate;
pub mod outcomes;
mod output;
pub mod schema;
mod tree;
mod written;
mod yaml;
