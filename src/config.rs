//! What every room reads its keys with: the document, places in it, problems, and the forms of values.
//!
//! It knows no room and no key. `policy.rs` brings the rooms together.

pub(crate) mod binary;
pub mod duration;
pub(crate) mod editor;
pub mod environment;
pub(crate) mod file;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod location;
pub(crate) mod names;
pub mod problem;
pub(crate) mod secret;
pub mod shape;
pub(crate) mod tree;
pub(crate) mod uri;

pub use problem::Problem;

use tree::Tree;

/// Largest configuration that is read, in bytes. Ten regions with a hundred headers each stay far
/// below it, and it bounds what a configuration can cost each of Envoy's threads.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// Reads a configuration as Envoy hands it over: JSON text (StringValue) or a binary
/// `google.protobuf.Struct`.
///
/// # Errors
///
/// Why the bytes are neither.
pub(crate) fn document(bytes: &[u8]) -> Result<Tree, Problem> {
    let read = if bytes.is_empty() {
        Err("empty configuration: give the filter a JSON object as `configuration`, in a \
             google.protobuf.StringValue or as a google.protobuf.Struct"
            .to_owned())
    } else if bytes.len() > MAX_CONFIG_BYTES {
        Err(format!("got {} bytes, expected at most {MAX_CONFIG_BYTES}", bytes.len()))
    } else if binary::is_struct(bytes) {
        binary::decode(bytes)
    } else {
        tree::read(bytes)
    };
    read.map_err(|message| Problem { path: String::new(), message })
}
