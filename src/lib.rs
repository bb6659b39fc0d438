//! An Envoy filter that lets a request through only if an OpenID provider vouches for its token.
//!
//! The story of a request: the [`shell`](crate#the-shell) reads the whole header map once and hands
//! it to [`gate::Gate::admit`]. [`bearer`] finds exactly one token, [`endpoint`] chooses the UserInfo
//! endpoint by the region header, [`userinfo`] builds the call; the request is held. When the call
//! ends, [`verdict`] judges the answer: a permit, which [`enrich`] turns into header edits (strip
//! first, then set what [`claims`] finds), or a refusal, which [`reply`] turns into the answer that
//! the client gets. The shell carries out what the gate decided, and counts it.
//!
//! # The shell
//!
//! `shell` is the only code that calls the host or is called by it, and exists only on wasm32: natively there is no
//! host to call, and the compiler keeps the core from trying.

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

pub mod bearer;
pub mod call_outcome;
pub mod challenge;
pub mod claims;
pub mod config;
pub mod correlation;
pub mod endpoint;
pub mod enrich;
mod expiry;
pub mod gate;
pub mod head;
pub mod json;
pub mod jsonpath;
pub mod outcome;
pub mod provider_error;
pub mod reply;
pub mod sabotage;
mod secret;
pub mod time;
pub mod token_key;
pub mod userinfo;
pub mod verdict;

#[cfg(test)]
mod sim;

#[cfg(target_arch = "wasm32")]
mod shell;
