//! Target: bytes → a JSON document. Input: the bytes.
//!
//! The reader of plain documents and the strict one agree on everything: value, or what is wrong
//! where.

use oidc_token_connector::claims::json::{parse, parse_strictly};

/// Runs the target.
pub fn check(data: &[u8]) {
    assert_eq!(parse(data), parse_strictly(data));
}
