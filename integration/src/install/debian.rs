//! Servers that Debian has: taken from `PATH`, else Debian's package, unpacked under `target/`. That
//! takes no rights but to write there, if the lists of packages are there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::{locked, on_path, run, say};
use crate::target_dir;

/// A program of a package.
struct Package {
    program: &'static str,
    what: &'static str,
    package: &'static str,
    /// Where the package has it.
    binary: &'static str,
}

const TINYPROXY: Package = Package {
    program: "tinyproxy",
    what: "a forward proxy for the tests",
    package: "tinyproxy-bin",
    binary: "usr/bin/tinyproxy",
};

/// Debian's `nginx-light` holds the same program, by way of this package.
const NGINX: Package = Package {
    program: "nginx",
    what: "a provider's server for the tests",
    package: "nginx",
    binary: "usr/sbin/nginx",
};

const PROMETHEUS: Package = Package {
    program: "prometheus",
    what: "what draws the dashboard's picture",
    package: "prometheus",
    binary: "usr/bin/prometheus",
};

/// Prometheus, unpacked first if there is none.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn prometheus_binary() -> Result<PathBuf, String> {
    PROMETHEUS.binary()
}

/// The forward proxy `tinyproxy`, unpacked first if there is none.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn tinyproxy_binary() -> Result<PathBuf, String> {
    TINYPROXY.binary()
}

/// The web server `nginx`, unpacked first if there is none.
///
/// # Errors
///
/// A text for the user: what is missing and the remedy.
pub fn nginx_binary() -> Result<PathBuf, String> {
    NGINX.binary()
}

impl Package {
    fn binary(&self) -> Result<PathBuf, String> {
        match on_path(self.program) {
            Some(path) => Ok(path),
            None => self.unpack(&target_dir().join(self.program), "apt-get"),
        }
    }

    /// Unpacks the package into `dir` and returns the binary.
    fn unpack(&self, dir: &Path, apt_get: &str) -> Result<PathBuf, String> {
        let Package { program, what, package, .. } = self;
        let binary = dir.join(self.binary);
        if binary.exists() {
            return Ok(binary);
        }
        let _only_one = locked(dir, program)?;
        if binary.exists() {
            return Ok(binary);
        }
        let remedy = |problem: String| {
            format!(
                "{program}, {what}, is missing and could not be fetched: {problem}\n\
                 Remedy: install it and leave it on PATH; on Debian and Ubuntu \
                 `apt-get install {package}`, as root."
            )
        };
        say(&format!("fetching {program} (Debian package {package}) under {}", dir.display()));
        let download =
            || run(Command::new(apt_get).args(["download", "--quiet", package]).current_dir(dir));
        if let Err(first) = download() {
            // A fresh machine has no lists of packages; only root can get them.
            run(Command::new(apt_get).args(["update", "--quiet"]))
                .and_then(|()| download())
                .map_err(|e| remedy(format!("{first}; {e}")))?;
        }
        let file = fs::read_dir(dir)
            .map_err(|e| remedy(e.to_string()))?
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .ok_or_else(|| remedy("apt-get left no package".to_owned()))?;
        let unpacked = dir.join("unpacked");
        run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(&unpacked))
            .and_then(|()| fs::remove_file(&file).map_err(|e| e.to_string()))
            // The name appears at once and complete: any process that sees it may run it.
            .and_then(|()| {
                fs::rename(unpacked.join("usr"), dir.join("usr")).map_err(|e| e.to_string())
            })
            .map_err(remedy)?;
        if binary.exists() {
            return Ok(binary);
        }
        Err(remedy("the package holds no binary".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_cannot_be_fetched_is_named_with_its_remedy() {
        for package in [TINYPROXY, NGINX] {
            let Package { program, what, package: name, .. } = package;
            let dir = target_dir().join(format!("no-{program}-{}", std::process::id()));
            let why = package.unpack(&dir, "no-such-apt-get").unwrap_err();
            fs::remove_dir_all(&dir).unwrap();
            assert!(why.starts_with(&format!("{program}, {what}, is missing")), "{why}");
            assert!(why.contains(&format!("`apt-get install {name}`, as root")), "{why}");
        }
    }
}
