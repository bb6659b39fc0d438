//! The manifests and the CustomResourceDefinitions themselves, of `deploy/tests/data/crds`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};

use serde_json::{Value, json};

use crate::files::{documents, root, sets};
use crate::schema::problems;

/// A version of a kind, and its schema.
struct Definition {
    version: String,
    kind: String,
    schema: Value,
}

fn definitions() -> Vec<Definition> {
    let dir = root().join("deploy/tests/data/crds");
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry of the folder").path();
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for crd in documents(&path.display().to_string(), &text) {
            let spec = &crd["spec"];
            for version in spec["versions"].as_array().expect("versions") {
                let name = version["name"].as_str().expect("a version's name");
                found.push(Definition {
                    version: format!("{}/{name}", spec["group"].as_str().expect("a group")),
                    kind: spec["names"]["kind"].as_str().expect("a kind").to_owned(),
                    schema: version["schema"]["openAPIV3Schema"].clone(),
                });
            }
        }
    }
    found
}

fn definition<'a>(all: &'a [Definition], object: &Value) -> Option<&'a Definition> {
    all.iter()
        .find(|d| object["apiVersion"] == d.version.as_str() && object["kind"] == d.kind.as_str())
}

/// Fields that the API server itself reads are left out.
fn checked(definition: &Definition, object: &Value) -> Vec<String> {
    let members = object.as_object().expect("an object");
    let own = ["apiVersion", "kind", "metadata"];
    let rest = members.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    problems(&definition.schema, &rest.map(|(n, v)| (n.clone(), v.clone())).collect())
}

#[test]
fn each_manifest_conforms_to_its_definition() {
    let all = definitions();
    let (mut known, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for set in sets() {
        for object in &set.objects {
            let kind = object["kind"].as_str().expect("a kind").to_owned();
            match definition(&all, object) {
                Some(definition) => {
                    let found = checked(definition, object);
                    assert_eq!(found, Vec::<String>::new(), "{}: {kind}", set.file);
                    known.insert(kind);
                }
                None => {
                    unknown.insert(kind);
                }
            }
        }
    }
    let expected =
        ["DestinationRule", "EnvoyExtensionPolicy", "EnvoyFilter", "ServiceEntry", "WasmPlugin"];
    assert!(known.iter().map(String::as_str).eq(expected), "{known:?}");
    let names = unknown.into_iter().collect::<Vec<_>>().join(", ");
    let _ = writeln!(io::stderr(), "LEFT OUT, no definition at hand: {names}");
}

#[test]
fn wrong_manifest_is_detected() {
    let all = definitions();
    let wrong: [(&str, &str, Value); 6] = [
        ("WasmPlugin", "/spec/failStrategy", json!("FAIL_SAFE")),
        ("WasmPlugin", "/spec/sha256", json!("none")),
        ("DestinationRule", "/spec/trafficPolicy/portLevelSettings/0/tls/mode", json!("TLS")),
        ("ServiceEntry", "/spec/ports/0/number", json!("http")),
        ("EnvoyFilter", "/spec/configPatches/0/applyTo", json!("HTTP")),
        ("EnvoyExtensionPolicy", "/spec/wasm/0/code/image", json!({"uri": "x"})),
    ];
    for (kind, place, value) in wrong {
        let mut objects = sets().into_iter().flat_map(|set| set.objects);
        let mut object = objects.find(|object| object["kind"] == kind).expect("a manifest of it");
        *object.pointer_mut(place).unwrap_or_else(|| panic!("{kind} has no {place}")) = value;
        let definition = definition(&all, &object).expect("its definition");
        assert_ne!(checked(definition, &object), Vec::<String>::new(), "{kind} {place}");
    }
}
