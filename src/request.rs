//! The client's request: its headers, its one bearer token, the provider's endpoint that it chooses,
//! and what has to go from it before it may be forwarded. Nothing here knows an answer.

pub mod bearer;
pub mod correlation;
pub mod endpoint;
pub mod headers;
pub mod preflight;
pub mod strip;
