//! An Envoy filter that lets a request through only if an OpenID provider vouches for its token.

#![cfg_attr(
    test,
    allow(
        clippy::wildcard_enum_match_arm,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        clippy::type_complexity,
        reason = "tests may panic, and their tables may be wide"
    )
)]

pub mod json;
pub mod jsonpath;
