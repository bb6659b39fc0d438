//! An Envoy filter that lets a request through only if an OpenID provider vouches for its token.
//!
//! The story of a request: the [`shell`](crate#the-shell) reads the whole header map once and hands
//! it to [`filter::Gate::handle`]. [`request`] finds exactly one token, chooses the UserInfo endpoint by
//! the region header, and lists what has to go; [`provider`] builds the call; the request is held.
//! When the call ends, [`verdict`] judges the answer: a permit, which [`filter::header_edit`] turns
//! into header edits (strip first, then add what [`claims`] finds), or a refusal, which [`reply`]
//! turns into the answer that the client gets. The shell carries out what was decided, and counts it.
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

pub mod claims;
pub mod config;
pub mod filter;
pub mod outcome;
pub mod policy;
pub mod provider;
pub mod refusal;
pub mod reply;
pub mod request;
pub mod time;
pub mod verdict;

#[cfg(any(target_arch = "wasm32", test))]
mod memory;
#[cfg(test)]
mod sim;

#[cfg(target_arch = "wasm32")]
mod shell;
