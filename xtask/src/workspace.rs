//! Where things are, and how cargo is called from here.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// This checkout.
pub struct Workspace {
    /// The directory of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
}

impl Workspace {
    /// The checkout that this program was compiled from.
    pub fn find() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().unwrap_or(here).to_owned();
        Self { target: target(&root, env::var_os("CARGO_TARGET_DIR")), root }
    }

    /// A call of the cargo that runs this program, in the workspace's root.
    pub fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // A relative directory was meant from where the user stands, not from the root.
        command.args(arguments).current_dir(&self.root).env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

fn target(root: &Path, configured: Option<std::ffi::OsString>) -> PathBuf {
    match configured {
        Some(dir) if !dir.is_empty() => std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
        _ => root.join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_directory_is_the_users_or_the_usual_one() {
        let root = Path::new("/checkout");
        assert_eq!(target(root, None), Path::new("/checkout/target"));
        assert_eq!(target(root, Some("".into())), Path::new("/checkout/target"));
        assert_eq!(target(root, Some("/fast/disk".into())), Path::new("/fast/disk"));
        let here = env::current_dir().unwrap();
        assert_eq!(target(root, Some("out".into())), here.join("out"));
    }

    #[test]
    fn the_root_holds_the_package() {
        let manifest = std::fs::read_to_string(Workspace::find().root.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"oidc-token-connector\""), "{manifest}");
    }
}
