//! Builds the wasm module, removes the callbacks that do nothing, and compares what the module asks
//! of its host, and has the host call, with committed lists: a new host call or callback is a change
//! that somebody has looked at, not the by-product of a dependency.
//!
//! The SDK exports every callback of the proxy-wasm ABI, and Envoy enters the VM for each that it
//! finds. The file that cargo has linked is replaced, so that there is one module under one name.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wasmparser::{Parser, Payload, Validator};
use xshell::cmd;

use crate::Workspace;

/// What Envoy runs: WASI for the standard library, proxy-wasm for the rest.
pub const TARGET: &str = "wasm32-wasip1";
/// The crate of the module.
pub const PACKAGE: &str = "oidc-token-connector";
const FILE: &str = "oidc_token_connector.wasm";

/// What the module imports.
const IMPORTS: &str = "src/shell/imports.txt";
/// What the module exports, after [`stripped`].
const EXPORTS: &str = "src/shell/exports.txt";

/// A callback for which the SDK panics, and the function that the module has instead.
const INSTEAD: [(&str, &str); 1] = [("proxy_on_new_connection", "refuse_connection")];

/// `cargo xtask build`
pub fn build(workspace: &Workspace) -> Result<()> {
    ensure_target(workspace)?;
    for_envoy(workspace, &["--release", "--package", PACKAGE, "--lib"])?;
    finish(workspace, &path(workspace))
}

/// Builds the module whose guards the tests take away one at a time, in a directory of its own:
/// it must never be mistaken for the one that is shipped.
pub fn fault_injection(workspace: &Workspace) -> Result<()> {
    ensure_target(workspace)?;
    let profile = ["--profile", "fault-injection", "--features", "fault-injection"];
    for_envoy(workspace, &[&profile[..], &["--package", PACKAGE, "--lib"]].concat())?;
    finish(workspace, &workspace.target.join(TARGET).join("fault-injection").join(FILE))
}

/// Makes of what cargo has linked what Envoy runs.
fn finish(workspace: &Workspace, path: &Path) -> Result<()> {
    let sh = &workspace.sh;
    let linked = fs::read(path).with_context(|| path.display().to_string())?;
    let lists = [sh.read_file(IMPORTS)?, sh.read_file(EXPORTS)?];
    let (module, named) = stripped(&linked, &listed(&lists[1]))
        .with_context(|| format!("{}: no wasm module", path.display()))?;
    // Where cargo had nothing to link, the file of the last build has the names.
    if let Some(named) = named {
        fs::write(path.with_extension("names.wasm"), named)?;
    }
    // Never half a module under this name; and cargo's own copy, to which the name is a link, stays.
    let new = path.with_extension("new");
    fs::write(&new, &module).with_context(|| new.display().to_string())?;
    fs::rename(&new, path)?;
    println!("{} ({} KiB)", path.display(), module.len().div_ceil(1024));
    let (imports, exports) = interface(&module)?;
    let found = [("host imports", IMPORTS, imports), ("exports", EXPORTS, exports)];
    for ((what, list, found), text) in found.iter().zip(&lists) {
        compare(what, list, found, text)?;
        println!("{what}: {}, as listed in {list}", found.len());
    }
    Ok(())
}

/// The module without the exports that are not kept, without what only they led to, and without the
/// names of its functions: a seventh of it, read by nobody but V8's stack traces. And the same with
/// names, if it has any: function 123 of a trace is function 123 there.
fn stripped(module: &[u8], kept: &[&str]) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let mut module = walrus::Module::from_buffer(module)?;
    for (callback, own) in INSTEAD {
        let found = |name: &str| module.exports.iter().find(|export| export.name == name);
        if let Some(own) = found(own).map(walrus::Export::id) {
            if let Some(other) = found(callback).map(walrus::Export::id) {
                module.exports.delete(other);
            }
            callback.clone_into(&mut module.exports.get_mut(own).name);
        }
    }
    let idle = module.exports.iter().filter(|export| !kept.contains(&export.name.as_str()));
    let idle: Vec<_> = idle.map(walrus::Export::id).collect();
    idle.into_iter().for_each(|export| module.exports.delete(export));
    walrus::passes::gc::run(&mut module);
    let has_names = module.funcs.iter().any(|function| function.name.is_some());
    let named = has_names.then(|| module.emit_wasm());
    for function in module.funcs.iter_mut() {
        function.name = None;
    }
    module.name = None;
    let module = module.emit_wasm();
    Validator::new().validate_all(&module).context("what is left is not valid")?;
    Ok((module, named))
}

/// Builds another package of the workspace for Envoy, as the module itself is built.
pub fn build_other(workspace: &Workspace, package: &str) -> Result<()> {
    for_envoy(workspace, &["--release", "--package", package])
}

/// Runs cargo so that the module does not tell where it was built: texts of panics have the path of
/// their source file.
fn for_envoy(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let sh = &workspace.sh;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let home = home.context("got neither CARGO_HOME nor a home directory, expected one of them")?;
    // A mirror of the registry has a directory of another name; a later flag goes before an earlier one.
    let sources = home.join("registry/src");
    let registries = sh.read_dir(&sources).unwrap_or_default();
    let mut flags: Vec<String> = ["CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS", "RUSTFLAGS"]
        .iter()
        .filter_map(|name| sh.var(name).ok())
        .flat_map(|flags| flags.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    flags.push(remap(&home, "cargo"));
    flags.extend(registries.iter().map(|registry| remap(registry, "crates")));
    let build = cmd!(sh, "cargo build --target {TARGET}").args(arguments);
    // The one variable in which a flag may have a blank, and which goes before all others.
    Ok(build.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).run()?)
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
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
    workspace.target.join(TARGET).join("release").join(FILE)
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

/// The names in the text of a list.
fn listed(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

fn compare(what: &str, list: &str, found: &[String], text: &str) -> Result<()> {
    let listed = listed(text);
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
    fn an_idle_export_goes_with_all_that_only_it_led_to() {
        let module = wat::parse_str(
            r#"(module
              (import "env" "used" (func $used))
              (import "env" "idle" (func $idle))
              (memory (export "memory") 1)
              (data (i32.const 0) "kept")
              (func $asked (export "also_idle") (call $used))
              (func (export "asks") (call $asked))
              (func $panics (export "proxy_on_new_connection") (call $idle))
              (func (export "refuse_connection") (call $used))
              (func $helps (call $idle))
              (func (export "idle") (call $helps)))"#,
        );
        let module = module.unwrap();
        let (left, named) =
            stripped(&module, &["asks", "memory", "absent", "proxy_on_new_connection"]).unwrap();
        let (imports, exports) = interface(&left).unwrap();
        assert_eq!(
            (imports, exports),
            (
                vec!["env.used".to_owned()],
                ["asks", "memory", "proxy_on_new_connection"].map(str::to_owned).to_vec()
            )
        );
        let functions =
            Parser::new(0).parse_all(&left).filter_map(|payload| match payload.unwrap() {
                Payload::CodeSectionEntry(_) => Some(()),
                _ => None,
            });
        assert_eq!(functions.count(), 3, "of six");
        assert!(left.windows(4).any(|bytes| bytes == b"kept"));
        let has = |module: &[u8], text: &[u8]| module.windows(text.len()).any(|part| part == text);
        assert!(has(&named.unwrap(), b"asked") && !has(&left, b"asked"), "a function's name");
        assert_eq!(
            stripped(&left, &["asks", "memory", "proxy_on_new_connection"]).unwrap(),
            (left, None),
            "nothing is left to remove"
        );
        assert!(stripped(&module[..module.len() - 1], &[]).is_err());
    }

    #[test]
    fn new_and_removed_entries_are_reported() {
        let found = ["env.a".to_owned(), "env.b".to_owned()];
        assert!(compare("imports", "list", &found, "# why\nenv.a\nenv.b\n").is_ok());
        let error = compare("imports", "list", &found, "env.b\nenv.c\n").unwrap_err().to_string();
        assert!(error.contains("imports differ from list:\n  +env.a\n  -env.c\n"), "{error}");
    }
}
