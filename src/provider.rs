//! The provider: how it is asked, and what its response says and proves. Nothing here knows who
//! waits for it.

pub mod call;
pub mod call_outcome;
pub mod challenge;
pub mod egress;
pub mod endpoint;
pub mod error;
pub mod error_text;
pub(crate) mod expiry;
pub mod introspection;
pub mod key;
pub mod method;
pub mod response;
pub mod settings;
pub mod subject;
pub mod userinfo;
