//! Builds the wasm module, and compares what it asks of its host, and has the host call, with
//! committed lists: a new host call or callback is a change that somebody has looked at, not the
//! by-product of a dependency.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload};
use xshell::{Cmd, cmd};

use crate::Workspace;

/// What Envoy runs: WASI for the standard library, proxy-wasm for the rest.
pub const TARGET: &str = "wasm32-wasip1";
const PACKAGE: &str = "oidc-token-connector";

/// `cargo xtask build`
pub fn build(workspace: &Workspace) -> Result<()> {
    ensure_target(workspace)?;
    let sh = &workspace.sh;
    cmd!(sh, "cargo build --release --target {TARGET} --package {PACKAGE} --lib").run()?;
    let path = path(workspace);
    let module = fs::read(&path).with_context(|| path.display().to_string())?;
    println!("{} ({} KiB)", path.display(), module.len().div_ceil(1024));
    let (imports, exports) =
        interface(&module).with_context(|| format!("{}: no wasm module", path.display()))?;
    for (what, list, found) in [
        ("host imports", "src/shell/imports.txt", imports),
        ("exports", "src/shell/exports.txt", exports),
    ] {
        compare(what, list, &found, &sh.read_file(list)?)?;
        println!("{what}: {}, as listed in {list}", found.len());
    }
    Ok(())
}

/// Builds the module whose guards the tests take away one at a time, in a directory of its own:
/// it must never be mistaken for the one that is shipped.
pub fn fault_injection(workspace: &Workspace) -> Cmd<'_> {
    let sh = &workspace.sh;
    let build = cmd!(sh, "cargo build --profile fault-injection --features fault-injection");
    build.args(["--target", TARGET, "--package", PACKAGE, "--lib"])
}

/// Builds another package of the workspace for Envoy, as the module itself is built.
pub fn build_other(workspace: &Workspace, package: &str) -> Result<()> {
    let sh = &workspace.sh;
    Ok(cmd!(sh, "cargo build --release --target {TARGET} --package {package}").run()?)
}

/// Makes sure that the pinned toolchain can compile for [`TARGET`].
pub fn ensure_target(workspace: &Workspace) -> Result<()> {
    let sh = &workspace.sh;
    let libraries = cmd!(sh, "rustc --print target-libdir --target {TARGET}").quiet().read()?;
    // rustc names the directory whether or not it exists.
    if Path::new(&libraries).is_dir() {
        return Ok(());
    }
    cmd!(sh, "rustup target add {TARGET}").run().with_context(|| {
        format!(
            "Rust's standard library for {TARGET} is missing; without rustup (https://rustup.rs), \
             install your distribution's package of it"
        )
    })
}

/// Where a build leaves the module.
pub fn path(workspace: &Workspace) -> PathBuf {
    workspace.target.join(TARGET).join("release/oidc_token_connector.wasm")
}

/// The sorted names of what the module imports (`module.name`) and exports.
fn interface(module: &[u8]) -> wasmparser::Result<(Vec<String>, Vec<String>)> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    imports.push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    exports.push(export?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    imports.sort();
    exports.sort();
    Ok((imports, exports))
}

fn compare(what: &str, list: &str, found: &[String], text: &str) -> Result<()> {
    let listed: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let new = found.iter().filter(|name| !listed.contains(&name.as_str()));
    let gone = listed.iter().filter(|name| !found.iter().any(|n| n == *name));
    let differences: Vec<String> =
        new.map(|name| format!("+{name}")).chain(gone.map(|name| format!("-{name}"))).collect();
    if !differences.is_empty() {
        let differences = differences.join("\n  ");
        bail!(
            "the module's {what} differ from {list}:\n  {differences}\n\
             If that is intended, change the list."
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type section, then imports of a function, a table, a memory and a global, then exports of
    /// a memory and a function.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\
        \x02\x29\x04\x03env\x03put\0\0\x03env\x01t\x01\x70\x01\x01\x80\x01\
        \x01m\x03mem\x02\0\x01\x03env\x01g\x03\x7f\0\
        \x07\x0e\x02\x03mem\x02\0\x03add\0\x80\x01";

    #[test]
    fn imports_and_exports_of_every_kind_are_read() {
        let (imports, exports) = interface(MODULE).unwrap();
        assert_eq!(imports, ["env.g", "env.put", "env.t", "m.mem"]);
        assert_eq!(exports, ["add", "mem"]);
        assert!(interface(&MODULE[..MODULE.len() - 1]).is_err());
    }

    #[test]
    fn new_and_removed_entries_are_reported() {
        let found = ["env.a".to_owned(), "env.b".to_owned()];
        assert!(compare("imports", "list", &found, "# why\nenv.a\nenv.b\n").is_ok());
        let error = compare("imports", "list", &found, "env.b\nenv.c\n").unwrap_err().to_string();
        assert!(error.contains("imports differ from list:\n  +env.a\n  -env.c\n"), "{error}");
    }
}
