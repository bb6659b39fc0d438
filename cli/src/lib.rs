//! All of `oidc-connector`, whose `main.rs` only chooses the subcommand. Fuzz targets and the tests
//! that run what `init` and `migrate` write on the real Envoy use it too.

mod bootstrap;
pub mod check;
pub mod explain;
pub mod init;
mod input;
pub mod migrate;
pub mod outcomes;
mod output;
pub mod schema;
mod tree;
mod written;
mod yaml;
