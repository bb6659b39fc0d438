//! The files as data.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What renders the manifests: the directory of its values, and of the results without a directory of
/// their own below `deploy/`.
const VALUES: &str = "deploy/helm/oidc-token-connector/ci";
const RENDERED: &str = "deploy/tests/rendered";

/// The manifests to apply without Helm, each the only file of its directory.
pub(crate) const PLAIN: [(&str, &str); 3] = [
    ("istio", "deploy/istio/wasmplugin.yaml"),
    ("istio-routes", "deploy/istio-routes/envoyfilter.yaml"),
    ("envoy-gateway", "deploy/envoy-gateway/policy.yaml"),
];

/// Everything that is applied to one gateway.
pub(crate) struct Set {
    /// Of its values.
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) objects: Vec<Value>,
}

impl Set {
    pub(crate) fn is_istio(&self) -> bool {
        self.name.starts_with("istio")
    }

    /// Whether Istio makes the filter from a WasmPlugin.
    pub(crate) fn is_plugin(&self) -> bool {
        !self.of_kind("WasmPlugin").is_empty()
    }

    /// Of one kind, in their order.
    pub(crate) fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    /// The only object of this kind and name.
    pub(crate) fn object(&self, kind: &str, name: &str) -> &Value {
        let found: Vec<&Value> = self
            .of_kind(kind)
            .into_iter()
            .filter(|object| object["metadata"]["name"] == name)
            .collect();
        assert_eq!(found.len(), 1, "{}: {kind} {name}", self.file);
        found[0]
    }

    /// The patches of an EnvoyFilter.
    pub(crate) fn patches(&self, name: &str) -> Vec<Value> {
        let patches = &self.object("EnvoyFilter", name)["spec"]["configPatches"];
        patches.as_array().expect("patches").clone()
    }
}

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

/// Every set of manifests: one for each file of values.
pub(crate) fn sets() -> Vec<Set> {
    let entries = fs::read_dir(root().join(VALUES)).expect("values");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.to_str().expect("text").to_owned());
    let mut names: Vec<String> =
        names.map(|name| name.strip_suffix("-values.yaml").expect("values").to_owned()).collect();
    names.sort();
    let of = |name: String| {
        let plain = PLAIN.iter().find(|(plain, _)| *plain == name);
        let file = plain.map_or(format!("{RENDERED}/{name}.yaml"), |(_, file)| (*file).to_owned());
        let objects = documents(&file, &text(&file));
        Set { name, file, objects }
    };
    names.into_iter().map(of).collect()
}

/// The sets of one platform.
pub(crate) fn sets_of(istio: bool) -> Vec<Set> {
    let all: Vec<Set> = sets().into_iter().filter(|set| set.is_istio() == istio).collect();
    assert!(all.len() > 1);
    all
}

/// The set of these values.
pub(crate) fn set(name: &str) -> Set {
    let found = sets().into_iter().find(|set| set.name == name);
    found.unwrap_or_else(|| panic!("no values {name}"))
}
