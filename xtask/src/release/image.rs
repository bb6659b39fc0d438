//! The module's image, an OCI image layout in one archive, made without a container engine: one layer
//! with one file, `plugin.wasm`. Istio and Envoy Gateway call that the compatible variant and take no
//! other number of layers. The same module makes the same digest on every machine.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::archive::{self, Entry, sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// The file that control planes look for in the layer.
const FILE: &str = "plugin.wasm";

/// An image.
pub struct Image {
    /// Of its manifest, `sha256:` left out: what `sha256` in the manifests of Kubernetes names.
    pub digest: String,
    /// The image layout, a tar file: `oci-archive` for skopeo and podman.
    pub archive: Vec<u8>,
}

/// The image of this module.
pub fn image(module: &[u8], version: &str) -> Result<Image> {
    let plain = archive::tar(&[Entry::file(FILE, module)])?;
    let layer = archive::gzip(&plain)?;
    let config = serde_json::to_vec(&json!({
        "architecture": "wasm",
        "os": "wasi",
        "config": {
            "Labels": {
                "org.opencontainers.image.title": "oidc-token-connector",
                "org.opencontainers.image.version": version,
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&plain))]},
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
    }))?;
    let mut listed = descriptor(MANIFEST, &manifest);
    listed["annotations"] = json!({"org.opencontainers.image.ref.name": version});
    let index = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": [listed]}))?;
    let blob =
        |content: Vec<u8>| Entry::file(format!("blobs/sha256/{}", sha256(&content)), content);
    let digest = sha256(&manifest);
    let archive = archive::tar(&[
        Entry::file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        Entry::file("index.json", index),
        blob(manifest),
        blob(config),
        blob(layer),
    ])?;
    Ok(Image { digest, archive })
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    let digest = format!("sha256:{}", sha256(content));
    json!({"mediaType": media_type, "digest": digest, "size": content.len()})
}

/// The digest and the module of an image layout, read as a registry's client reads it.
pub fn read(archive: &[u8]) -> Result<(String, Vec<u8>)> {
    let entries = archive::untar(archive)?;
    let file = |path: &str| {
        let found = entries.iter().find(|entry| entry.path == path);
        found.map(|entry| &entry.content[..]).with_context(|| format!("got no {path} in the image"))
    };
    let blob = |descriptor: &Value| -> Result<(String, &[u8])> {
        let digest = descriptor["digest"].as_str().and_then(|text| text.strip_prefix("sha256:"));
        let digest = digest.context("a descriptor without a digest")?;
        let content = file(&format!("blobs/sha256/{digest}"))?;
        ensure!(sha256(content) == digest, "the blob {digest} has another digest");
        ensure!(descriptor["size"] == content.len(), "the blob {digest} has another size");
        Ok((digest.to_owned(), content))
    };
    let index: Value = serde_json::from_slice(file("index.json")?)?;
    let (digest, manifest) = blob(&index["manifests"][0])?;
    let manifest: Value = serde_json::from_slice(manifest)?;
    let layers = manifest["layers"].as_array().context("a manifest without layers")?;
    let [layer] = &layers[..] else { anyhow::bail!("got {} layers, expected one", layers.len()) };
    ensure!(layer["mediaType"] == LAYER, "the layer is {}, expected {LAYER}", layer["mediaType"]);
    blob(&manifest["config"])?;
    let files = archive::untar_gz(blob(layer)?.1)?;
    let [module] = &files[..] else { anyhow::bail!("got {} files, expected one", files.len()) };
    ensure!(module.path == FILE, "the layer has {}, expected {FILE}", module.path);
    Ok((digest, module.content.clone()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn an_image_has_one_layer_with_the_module_and_the_same_digest_again() {
        let made = image(MODULE, "1.2.3").unwrap();
        let (digest, module) = read(&made.archive).unwrap();
        assert_eq!((digest, &module[..]), (made.digest.clone(), MODULE));
        let again = image(MODULE, "1.2.3").unwrap();
        assert_eq!((again.digest, again.archive), (made.digest.clone(), made.archive));
        assert_ne!(image(b"\0asm\x01\0\0\x01", "1.2.3").unwrap().digest, made.digest);
        // The same on every machine.
        let everywhere = "fad44e6fdb47380bf24b4beeb7529de676066c700de1fff15a68ec4392db7dfc";
        assert_eq!(made.digest, everywhere);
    }

    #[test]
    fn a_changed_image_is_not_taken() {
        let made = image(MODULE, "1.2.3").unwrap().archive;
        for name in ["blobs", "index"] {
            let mut entries = archive::untar(&made).unwrap();
            let entry = entries.iter_mut().rfind(|entry| entry.path.starts_with(name)).unwrap();
            entry.content.push(b' ');
            let changed = read(&archive::tar(&entries).unwrap());
            assert_eq!(changed.is_err(), name == "blobs", "{name}");
            entries.retain(|entry| !entry.path.starts_with(name));
            assert!(read(&archive::tar(&entries).unwrap()).is_err(), "{name}");
        }
    }

    /// What a registry's client makes of it.
    #[test]
    fn skopeo_takes_the_image() {
        if Command::new("skopeo").arg("--version").output().is_err() {
            // Not eprintln!: the test runner swallows that.
            let missing = "LEFT OUT: the image by skopeo: skopeo is not on PATH";
            let _ = writeln!(std::io::stderr(), "{missing}");
            return;
        }
        let made = image(MODULE, "1.2.3").unwrap();
        let path = std::env::temp_dir().join(format!("oidc-image-{}.tar", std::process::id()));
        std::fs::write(&path, &made.archive).unwrap();
        let from = format!("oci-archive:{}", path.display());
        let output = Command::new("skopeo").args(["inspect", &from]).output().unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(output.status.success(), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["Digest"], format!("sha256:{}", made.digest));
        assert_eq!(told["Layers"].as_array().map(Vec::len), Some(1));
    }
}
