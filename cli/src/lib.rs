//! What of `oidc-connector` tests and other crates use, too.

pub mod schema;
