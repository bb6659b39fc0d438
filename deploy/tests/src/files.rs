//! The files as data.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One object of a manifest, and its file.
pub(crate) struct Object {
    pub(crate) file: &'static str,
    pub(crate) value: Value,
}

/// Every file of manifests.
const MANIFESTS: [&str; 3] = [
    "deploy/istio/wasmplugin.yaml",
    "deploy/istio/envoyfilter.yaml",
    "deploy/envoy-gateway/policy.yaml",
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn text(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The documents of a YAML text.
pub(crate) fn documents(name: &str, text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The only document of a YAML file.
pub(crate) fn document(file: &str) -> Value {
    let mut all = documents(file, &text(file));
    assert_eq!(all.len(), 1, "{file} has several documents");
    all.remove(0)
}

/// Every object of every manifest, in order.
pub(crate) fn objects() -> Vec<Object> {
    let of = |file| {
        let values = documents(file, &text(file));
        values.into_iter().map(move |value| Object { file, value })
    };
    MANIFESTS.into_iter().flat_map(of).collect()
}

/// The only object of this kind and name.
pub(crate) fn object(kind: &str, name: &str) -> Value {
    let mut found: Vec<Value> = objects()
        .into_iter()
        .map(|object| object.value)
        .filter(|value| value["kind"] == kind && value["metadata"]["name"] == name)
        .collect();
    assert_eq!(found.len(), 1, "{kind} {name}");
    found.remove(0)
}
