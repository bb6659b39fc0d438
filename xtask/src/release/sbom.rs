//! What the module is made of, as CycloneDX 1.6: every crate that is compiled for it, with its version,
//! licence and the digest of its source. It has no time and no serial number, so that the same sources
//! make the same file.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use xshell::cmd;

use crate::Workspace;
use crate::module::{PACKAGE, TARGET};

/// The bill of materials of the module.
pub fn sbom(workspace: &Workspace) -> Result<String> {
    let sh = &workspace.sh;
    let metadata =
        cmd!(sh, "cargo metadata --format-version 1 --locked --filter-platform {TARGET}");
    let metadata: Value = serde_json::from_str(&metadata.quiet().read()?)?;
    let bill = of(&metadata, &sh.read_file("Cargo.lock")?)?;
    Ok(serde_json::to_string_pretty(&bill)? + "\n")
}

fn of(metadata: &Value, lock: &str) -> Result<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .filter_map(|package| Some((package["id"].as_str()?.to_owned(), package)))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .filter_map(|node| Some((node["id"].as_str()?.to_owned(), node)))
        .collect();
    let own = packages.iter().find(|(_, package)| package["name"] == PACKAGE);
    let own = own.map(|(id, _)| id.clone()).with_context(|| format!("got no package {PACKAGE}"))?;

    let (mut seen, mut left) = (BTreeSet::new(), vec![own.clone()]);
    let mut depends = BTreeMap::new();
    while let Some(id) = left.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let node = nodes.get(&id).with_context(|| format!("got no dependencies of {id}"))?;
        let compiled = |dep: &Value| list(&dep["dep_kinds"]).iter().any(|k| k["kind"] != "dev");
        let on = list(&node["deps"]);
        let on = on.iter().filter(|dep| compiled(dep)).filter_map(|dep| dep["pkg"].as_str());
        let on: BTreeSet<String> = on.map(str::to_owned).collect();
        left.extend(on.iter().cloned());
        depends.insert(id, on);
    }
    let package = |id: &String| packages.get(id).with_context(|| format!("got no package {id}"));
    let mut components = Vec::new();
    for id in seen.iter().filter(|id| **id != own) {
        components.push(component(package(id)?, lock)?);
    }
    components.sort_by_key(|component| component["bom-ref"].to_string());
    let mut dependencies = Vec::new();
    for (id, on) in &depends {
        let on: Result<BTreeSet<String>> = on.iter().map(|id| purl(package(id)?)).collect();
        dependencies.push(json!({"ref": purl(package(id)?)?, "dependsOn": on?}));
    }
    dependencies.sort_by_key(|dependency| dependency["ref"].to_string());
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": component(package(&own)?, lock)?},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// A package's name among all package managers.
fn purl(package: &Value) -> Result<String> {
    let text =
        |key: &str| package[key].as_str().with_context(|| format!("a package without {key}"));
    Ok(format!("pkg:cargo/{}@{}", text("name")?, text("version")?))
}

fn component(package: &Value, lock: &str) -> Result<Value> {
    let purl = purl(package)?;
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package["name"],
        "version": package["version"],
        "purl": purl,
    });
    // Older packages write `MIT/Apache-2.0`, which is no expression of SPDX.
    if let Some(license) = package["license"].as_str() {
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(digest) = checksum(lock, package) {
        component["hashes"] = json!([{"alg": "SHA-256", "content": digest}]);
    }
    Ok(component)
}

/// The digest of a package's source, as Cargo.lock has it.
fn checksum<'l>(lock: &'l str, package: &Value) -> Option<&'l str> {
    let says = |block: &str, key: &str| {
        let line = format!("{key} = \"{}\"", package[key].as_str().unwrap_or_default());
        block.lines().any(|found| found == line)
    };
    let mut blocks = lock.split("[[package]]");
    let own = blocks.find(|block| says(block, "name") && says(block, "version"))?;
    own.lines().find_map(|line| line.strip_prefix("checksum = \"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_has_what_the_module_is_compiled_from_and_nothing_else() {
        let workspace = Workspace::find().unwrap();
        let text = sbom(&workspace).unwrap();
        assert_eq!(sbom(&workspace).unwrap(), text);
        let bill: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(bill["metadata"]["component"]["name"], "oidc-token-connector");
        let components = bill["components"].as_array().unwrap();
        let names: Vec<&str> = components.iter().map(|c| c["name"].as_str().unwrap()).collect();
        for name in ["proxy-wasm", "serde_json", "sha2", "lru", "hifijson"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        // Of the tools, of the tests, and of other platforms.
        for name in ["clap", "tokio", "proptest", "criterion", "libc", "windows-sys"] {
            assert!(!names.contains(&name), "{name}: {names:?}");
        }
        for component in components {
            let digest = component["hashes"][0]["content"].as_str().unwrap_or_default();
            assert_eq!(digest.len(), 64, "{component}");
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        }
        // Whatever something depends on is among them.
        let known: Vec<&Value> = components.iter().map(|c| &c["bom-ref"]).collect();
        let dependencies = bill["dependencies"].as_array().unwrap();
        assert_eq!(dependencies.len(), components.len() + 1);
        for dependency in dependencies {
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(known.contains(&on), "{dependency}");
            }
        }
    }

    #[test]
    fn what_is_only_for_tests_is_left_out() {
        let package = |name: &str| {
            let license = "MIT/Apache-2.0";
            json!({"id": name, "name": name, "version": "1.0.0", "license": license})
        };
        let dep = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let on = [dep("a", Value::Null), dep("b", json!("dev")), dep("c", json!("build"))];
        let node = |name: &str| json!({"id": name, "deps": []});
        let own = json!({"id": PACKAGE, "deps": on});
        let metadata = json!({
            "packages": [package(PACKAGE), package("a"), package("b"), package("c"), package("d")],
            "resolve": {"nodes": [own, node("a"), node("b"), node("c"), node("d")]},
        });
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"0a\"\n";
        let bill = of(&metadata, lock).unwrap();
        let names: Vec<&Value> =
            bill["components"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
        assert_eq!(names, ["a", "c"]);
        let first = &bill["components"][0];
        assert_eq!(first["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(first["hashes"][0]["content"], "0a");
        assert_eq!(
            bill["dependencies"][2]["dependsOn"],
            json!(["pkg:cargo/a@1.0.0", "pkg:cargo/c@1.0.0"])
        );
    }
}
