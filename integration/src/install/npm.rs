//! Programs of the tests on Node.js, with npm's packages: installed below `target/`, in the versions
//! of a committed lock file. Nothing outside is touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools::{locked, on_path, put, run, say};
use crate::{root, sha256, target_dir};

/// The oldest release of Node.js that all of them run on.
const OLDEST: u32 = 18;

/// A directory with `package.json`, `package-lock.json` and `.npmrc`.
pub(crate) struct Packages {
    /// Below the project's root.
    pub(crate) files: &'static str,
    /// The name of the directory below `target/`.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) what: &'static str,
    pub(crate) programs: &'static [&'static str],
}

/// The real OpenID Provider.
pub(crate) const OPENID_PROVIDER: Packages = Packages {
    files: "integration/provider",
    name: "openid-provider",
    what: "The OpenID Provider for the tests, npm's oidc-provider,",
    programs: &["server.mjs"],
};

/// A real MCP client and server.
pub(crate) const MCP: Packages = Packages {
    files: "integration/mcp",
    name: "mcp",
    what: "MCP for the tests, npm's @modelcontextprotocol/sdk,",
    programs: &["client.mjs", "login.mjs", "node18.mjs", "server.mjs"],
};

/// What runs a program.
#[derive(Debug)]
pub(crate) struct Installed {
    node: PathBuf,
    /// With the programs and the packages that they import.
    pub(crate) directory: PathBuf,
}

impl Installed {
    /// Node.js with this program.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.node);
        command.arg(self.directory.join(program));
        command
    }
}

impl Packages {
    /// Installs the packages where they are missing. Several processes may do so at once: one
    /// works, the others wait for it.
    pub(crate) fn install(&self) -> Result<Installed, String> {
        self.install_with("node", "npm")
    }

    fn install_with(&self, node: &str, npm: &str) -> Result<Installed, String> {
        let missing = |name: &str| self.remedy(&format!("`{name}` is not on PATH"));
        let node = on_path(node).ok_or_else(|| missing(node))?;
        let npm = on_path(npm).ok_or_else(|| missing(npm))?;
        self.supported(&node)?;

        let files = root().join(self.files);
        let read = |name: &str| {
            let path = files.join(name);
            fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
        };
        // Other packages, another directory: what is there is never half of one and half of
        // another.
        let lock_file = read("package-lock.json")?;
        let name = format!("{}-{}", self.name, &sha256(&lock_file)[..12]);
        let directory = target_dir().join(name);
        let _only_one = locked(&directory, self.name)?;
        let settings = ["package.json", "package-lock.json", ".npmrc"];
        for name in settings.iter().chain(self.programs) {
            put(&directory, name, &read(name)?)?;
        }
        let done = directory.join("installed");
        if !done.exists() {
            say(&format!("installing {} under {}", self.name, directory.display()));
            let flags =
                ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
            let cache = directory.join("cache");
            let mut command = Command::new(npm);
            command.args(flags).arg("--cache").arg(&cache).current_dir(&directory);
            run(&mut command).map_err(|e| self.remedy(&format!("`npm ci` failed: {e}")))?;
            fs::write(&done, "").map_err(|e| format!("{}: {e}", done.display()))?;
            let _ = fs::remove_dir_all(cache);
        }
        Ok(Installed { node, directory })
    }

    /// Fails unless this Node.js can run the programs.
    fn supported(&self, node: &Path) -> Result<(), String> {
        let output = Command::new(node).arg("--version").output();
        let output = output.map_err(|e| self.remedy(&format!("{}: {e}", node.display())))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = said.lines().next().unwrap_or_default();
        if is_supported(version) {
            return Ok(());
        }
        Err(self.remedy(&format!("{} says that it is {version:?}", node.display())))
    }

    fn remedy(&self, problem: &str) -> String {
        format!(
            "{} is not available: {problem}\n\
             Remedy: install Node.js {OLDEST} or later with npm and leave both on PATH; on Debian \
             and Ubuntu `apt-get install nodejs npm`, as root.",
            self.what
        )
    }
}

/// `version` as Node.js gives it, for example `v20.20.2`.
fn is_supported(version: &str) -> bool {
    let major = version.strip_prefix('v').and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        for packages in [OPENID_PROVIDER, MCP] {
            for (node, npm, missing) in
                [("no-such-node", "sh", "`no-such-node`"), ("sh", "no-such-npm", "`no-such-npm`")]
            {
                let why = packages.install_with(node, npm).unwrap_err();
                assert!(why.starts_with(packages.what), "{why}");
                assert!(why.contains(&format!("{missing} is not on PATH")), "{why}");
                assert!(why.contains("`apt-get install nodejs npm`, as root"), "{why}");
            }
        }
    }

    #[test]
    fn what_is_no_node_or_too_old_is_refused() {
        // Any program that is something else.
        let why = OPENID_PROVIDER.supported(&on_path("env").unwrap()).unwrap_err();
        assert!(why.contains("/env says that it is "), "{why}");
        assert!(why.contains("install Node.js 18 or later"), "{why}");
        for (version, supported) in
            [("v18.0.0", true), ("v20.20.2", true), ("v16.20.2", false), ("20.20.2", false)]
        {
            assert_eq!(is_supported(version), supported, "{version}");
        }
    }

    #[test]
    fn the_lock_files_name_no_registry() {
        for (packages, package) in
            [(OPENID_PROVIDER, "oidc-provider"), (MCP, "@modelcontextprotocol/sdk")]
        {
            let path = root().join(packages.files).join("package-lock.json");
            let text = fs::read_to_string(path).unwrap();
            assert!(text.contains(&format!("node_modules/{package}")), "{package}");
            assert!(text.contains("integrity"), "{package}");
            assert!(!text.contains("\"resolved\""), "it says where to download: {package}");
        }
    }
}
