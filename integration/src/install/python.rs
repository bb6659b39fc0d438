//! Programs of the tests on Python, with PyPI's packages: installed below `target/` into a virtual
//! environment for each list, in the versions of that committed list, each wheel by its hash.
//! Nothing outside is touched.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use super::tools::{locked, on_path, put, run, say};
use crate::{root, sha256, target_dir};

/// The oldest release of Python that all of them run on: 3.10.
const OLDEST: u32 = 10;

/// A directory with `requirements.txt`.
pub(crate) struct Packages {
    /// Below the project's root.
    pub(crate) files: &'static str,
    /// The name of the directory below `target/`.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) what: &'static str,
    pub(crate) programs: &'static [&'static str],
}

/// The second real OpenID Provider.
pub(crate) const DJANGO: Packages = Packages {
    files: "integration/django",
    name: "django-oauth-toolkit",
    what: "The second OpenID Provider for the tests, PyPI's django-oauth-toolkit,",
    programs: &["server.py", "settings.py"],
};

/// The second real MCP client.
pub(crate) const MCP: Packages = Packages {
    files: "integration/mcp",
    name: "mcp-python",
    what: "The second MCP client for the tests, PyPI's mcp,",
    programs: &["client.py"],
};

/// Helm, for the chart.
pub(crate) const HELM: Packages = Packages {
    files: "integration/helm",
    name: "helm-python",
    what: "Helm for the chart's tests, PyPI's helm-python-sdk,",
    programs: &["render.py"],
};

/// What runs a program.
#[derive(Debug)]
pub(crate) struct Installed {
    python: PathBuf,
    directory: PathBuf,
}

impl Installed {
    /// Python with this program.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(self.directory.join(program));
        command
    }
}

impl Packages {
    /// Installs the packages where they are missing. Several processes may do so at once: one
    /// works, the others wait for it.
    pub(crate) fn install(&self) -> Result<Installed, String> {
        self.install_with("python3")
    }

    fn install_with(&self, python: &str) -> Result<Installed, String> {
        let remedy = |problem: String| self.remedy(&problem);
        let python = on_path(python).ok_or_else(|| remedy(format!("`{python}` is not on PATH")))?;
        self.supported(&python)?;

        let files = root().join(self.files);
        let read = |name: &str| {
            let path = files.join(name);
            fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        // Other packages, another directory: what is there is never half of one and half of
        // another.
        let list = read("requirements.txt")?;
        let directory = target_dir().join(format!("{}-{}", self.name, &sha256(&list)[..12]));
        let _only_one = locked(&directory, self.name)?;
        for name in ["requirements.txt"].iter().chain(self.programs) {
            put(&directory, name, &read(name)?)?;
        }
        let (done, venv) = (directory.join("installed"), directory.join("venv"));
        let in_venv = venv.join("bin/python");
        if !done.exists() {
            say(&format!("installing {} under {}", self.name, directory.display()));
            // Left behind by an installation that was interrupted.
            if let Err(e) = fs::remove_dir_all(&venv)
                && e.kind() != io::ErrorKind::NotFound
            {
                return Err(format!("{}: {e}", venv.display()));
            }
            run(Command::new(&python).args(["-m", "venv"]).arg(&venv))
                .map_err(|e| remedy(format!("python3 cannot make a virtual environment: {e}")))?;
            let flags = ["--quiet", "--disable-pip-version-check", "--only-binary", ":all:"];
            let mut command = Command::new(&in_venv);
            command.args(["-m", "pip", "install", "--require-hashes"]).args(flags);
            run(command.arg("--requirement").arg(directory.join("requirements.txt")))
                .map_err(|e| remedy(format!("pip cannot install the packages: {e}")))?;
            fs::write(&done, "").map_err(|e| format!("{}: {e}", done.display()))?;
        }
        Ok(Installed { python: in_venv, directory })
    }

    /// Fails unless this Python can run the programs.
    fn supported(&self, python: &Path) -> Result<(), String> {
        let output = Command::new(python).arg("--version").output();
        let output = output.map_err(|e| self.remedy(&format!("{}: {e}", python.display())))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.lines().next().unwrap_or_default();
        if is_supported(version) {
            return Ok(());
        }
        Err(self.remedy(&format!("{} says that it is {version:?}", python.display())))
    }

    fn remedy(&self, problem: &str) -> String {
        format!(
            "{} is not available: {problem}\n\
             Remedy: install Python 3.{OLDEST} or later with venv and pip as `python3` on PATH, \
             and let pip reach PyPI or a mirror of it; on Debian and Ubuntu `apt-get install \
             python3-venv`, as root.",
            self.what
        )
    }
}

/// `version` as Python gives it, for example `Python 3.11.7`.
fn is_supported(version: &str) -> bool {
    let minor = version.strip_prefix("Python 3.").and_then(|v| v.split('.').next());
    minor.and_then(|minor| minor.parse::<u32>().ok()).is_some_and(|minor| minor >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        for packages in [DJANGO, MCP, HELM] {
            let why = packages.install_with("no-such-python").unwrap_err();
            let problem = format!("{} is not available: `no-such-python`", packages.what);
            assert!(why.starts_with(&problem), "{why}");
            assert!(why.contains("`apt-get install python3-venv`, as root"), "{why}");
        }
    }

    #[test]
    fn what_is_no_python_or_too_old_is_refused() {
        // Any program that is something else.
        let why = DJANGO.supported(&on_path("env").unwrap()).unwrap_err();
        assert!(why.contains("/env says that it is "), "{why}");
        assert!(why.contains("install Python 3.10 or later"), "{why}");
        for (version, supported) in [
            ("Python 3.10.0", true),
            ("Python 3.11.7", true),
            ("Python 3.9.2", false),
            ("Python 2.7.18", false),
            ("3.11.7", false),
        ] {
            assert_eq!(is_supported(version), supported, "{version}");
        }
    }

    #[test]
    fn every_package_has_its_version_and_hashes() {
        let all =
            [(DJANGO, "django-oauth-toolkit", 10), (MCP, "mcp", 10), (HELM, "helm-python-sdk", 1)];
        for (packages, package, least) in all {
            let path = root().join(packages.files).join("requirements.txt");
            let text = fs::read_to_string(path).unwrap();
            // A line for each, and below it a line for each of its hashes.
            let lines: Vec<&str> = text.lines().collect();
            let count = lines.iter().filter(|line| !line.starts_with(' ')).count();
            let named = lines.iter().any(|line| line.starts_with(&format!("{package}==")));
            assert!(count >= least && named, "{text}");
            for two in lines.windows(2).filter(|two| !two[0].starts_with(' ')) {
                assert!(two[0].contains("=="), "{two:?}");
                assert!(two[1].starts_with("    --hash=sha256:"), "{two:?}");
            }
            assert!(!text.contains("://"), "it says where to download");
        }
    }
}
