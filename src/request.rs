//! The client's request: its headers, its one bearer token, and what has to go from it before it may be
//! forwarded. Nothing here knows a provider.

pub mod bearer;
pub mod block;
pub mod correlation;
pub mod headers;
pub mod preflight;
pub mod strip;
