//! A real OpenID Provider: npm's certified `oidc-provider`, as `integration/provider/server.mjs`
//! sets it up, on loopback. Its packages are installed below `target/`, in the versions of the
//! committed lock file, and nothing outside is touched. Node.js and npm must be there: without them
//! there is no provider, and a test that wants one fails.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::install::tools::{locked, on_path, run, say};
use crate::logbook::LogBook;
use crate::process::{self, Place};
use crate::tls::trusted_certificate;
use crate::{DEADLINE, root, sha256, target_dir};

/// Where the provider's files are, below the project's root.
const FILES: &str = "integration/provider";
/// The oldest release of Node.js that `oidc-provider` runs on.
const OLDEST_NODE: u32 = 18;

/// A provider with a place of its own, running or not. Dropping it ends the process.
#[derive(Debug)]
pub struct OpenIdProvider {
    installed: Installed,
    plain: Place,
    encrypted: Place,
    certificate: (String, String),
    store: PathBuf,
    running: Option<process::Running>,
}

impl OpenIdProvider {
    /// The name that the provider bears: in its issuer, and in its certificate.
    pub const NAME: &str = "idp.example";

    /// Installs the provider where it is missing.
    ///
    /// # Errors
    ///
    /// A text for the user: what is missing and the remedy.
    pub fn install() -> Result<(), String> {
        install("node", "npm").map(drop)
    }

    /// Installs the provider where it is missing, and starts one that knows no token yet.
    ///
    /// # Panics
    ///
    /// If it cannot be installed or does not start, with the remedy or what it said.
    pub async fn start() -> OpenIdProvider {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let installed = tokio::task::spawn_blocking(|| install("node", "npm"));
        let installed = installed.await.expect("installing does not panic");
        let installed = installed.unwrap_or_else(|why| panic!("{why}"));
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = format!("tokens-{}-{number}.json", std::process::id());
        let mut provider = OpenIdProvider {
            store: installed.directory.join(file),
            installed,
            plain: Place::reserve(),
            encrypted: Place::reserve(),
            certificate: trusted_certificate(OpenIdProvider::NAME),
            running: None,
        };
        // Of an earlier process with the same id.
        provider.forget();
        provider.up().await;
        provider
    }

    /// Its address for plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.plain.address
    }

    /// Its address for TLS, with a certificate for [`OpenIdProvider::NAME`].
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        self.encrypted.address
    }

    /// Starts it where it was before, with the tokens that it knew.
    ///
    /// # Panics
    ///
    /// If it runs, or does not start.
    pub async fn up(&mut self) {
        assert!(self.running.is_none(), "the provider runs already");
        let (certificate, key) = &self.certificate;
        let mut command = Command::new(&self.installed.node);
        command
            .arg(self.installed.directory.join("server.mjs"))
            .env("PORT", self.plain.address.port().to_string())
            .env("TLS_PORT", self.encrypted.address.port().to_string())
            .envs([("TLS_CERT", certificate), ("TLS_KEY", key)])
            .env("STORE", &self.store)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = process::start(command).expect("node can be started");
        let said = LogBook::of(child.stdout.take().expect("stdout is piped"));
        let errors = LogBook::of(child.stderr.take().expect("stderr is piped"));
        self.running = Some(process::Running(child));
        let listening = said.find(|line| line.starts_with("listening on "));
        let started = tokio::time::timeout(DEADLINE, listening).await;
        assert!(
            matches!(started, Ok(Some(_))),
            "the OpenID Provider does not start:\n{}",
            errors.text()
        );
    }

    /// Kills it.
    pub fn down(&mut self) {
        self.running = None;
    }

    /// Makes it forget every token; for one that is down.
    pub fn forget(&mut self) {
        let _ = fs::remove_file(&self.store);
    }
}

impl Drop for OpenIdProvider {
    fn drop(&mut self) {
        self.down();
        self.forget();
    }
}

/// The program to run.
#[derive(Debug)]
struct Installed {
    node: PathBuf,
    /// With `server.mjs` and the packages that it imports.
    directory: PathBuf,
}

/// Installs the packages where they are missing. Several processes may do so at once: one works,
/// the others wait for it.
fn install(node: &str, npm: &str) -> Result<Installed, String> {
    let missing = |name: &str| remedy(&format!("`{name}` is not on PATH"));
    let node = on_path(node).ok_or_else(|| missing(node))?;
    let npm = on_path(npm).ok_or_else(|| missing(npm))?;
    supported(&node)?;

    let files = root().join(FILES);
    let read = |name: &str| {
        let path = files.join(name);
        fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    // Other packages, another directory: what is there is never half of one and half of another.
    let lock_file = read("package-lock.json")?;
    let directory = target_dir().join(format!("openid-provider-{}", &sha256(&lock_file)[..12]));
    let _only_one = locked(&directory, "the OpenID Provider")?;
    for name in ["package.json", "package-lock.json", ".npmrc", "server.mjs"] {
        put(&directory, name, &read(name)?)?;
    }
    let done = directory.join("installed");
    if !done.exists() {
        say(&format!("installing npm's oidc-provider under {}", directory.display()));
        let flags = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"];
        let mut command = Command::new(npm);
        command.args(flags).arg("--cache").arg(directory.join("cache")).current_dir(&directory);
        run(&mut command).map_err(|e| remedy(&format!("`npm ci` failed: {e}")))?;
        fs::write(&done, "").map_err(|e| format!("{}: {e}", done.display()))?;
        let _ = fs::remove_dir_all(directory.join("cache"));
    }
    Ok(Installed { node, directory })
}

/// Writes a file at once and completely, where it is not there already: another process may be
/// running it.
fn put(directory: &Path, name: &str, content: &[u8]) -> Result<(), String> {
    let path = directory.join(name);
    if fs::read(&path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Fails unless this Node.js can run the provider.
fn supported(node: &Path) -> Result<(), String> {
    let output = Command::new(node).arg("--version").output();
    let output = output.map_err(|e| remedy(&format!("{}: {e}", node.display())))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.lines().next().unwrap_or_default();
    if is_supported(version) {
        return Ok(());
    }
    Err(remedy(&format!("{} says that it is {version:?}", node.display())))
}

/// `version` as Node.js gives it, for example `v20.20.2`.
fn is_supported(version: &str) -> bool {
    let major = version.strip_prefix('v').and_then(|v| v.split('.').next()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= OLDEST_NODE)
}

fn remedy(problem: &str) -> String {
    format!(
        "The OpenID Provider for the tests, npm's oidc-provider, is not available: {problem}\n\
         Remedy: install Node.js {OLDEST_NODE} or later with npm and leave both on PATH; on Debian \
         and Ubuntu `apt-get install nodejs npm`, as root."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        for (node, npm, missing) in
            [("no-such-node", "sh", "`no-such-node`"), ("sh", "no-such-npm", "`no-such-npm`")]
        {
            let why = install(node, npm).unwrap_err();
            assert!(why.contains(&format!("{missing} is not on PATH")), "{why}");
            assert!(why.contains("`apt-get install nodejs npm`, as root"), "{why}");
        }
    }

    #[test]
    fn what_is_no_node_or_too_old_is_refused() {
        // Any program that is something else.
        let why = supported(&on_path("env").unwrap()).unwrap_err();
        assert!(why.contains("/env says that it is "), "{why}");
        assert!(why.contains("install Node.js 18 or later"), "{why}");
        for (version, supported) in
            [("v18.0.0", true), ("v20.20.2", true), ("v16.20.2", false), ("20.20.2", false)]
        {
            assert_eq!(is_supported(version), supported, "{version}");
        }
    }

    #[test]
    fn the_lock_file_names_no_registry() {
        let path = root().join(FILES).join("package-lock.json");
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains("node_modules/oidc-provider") && text.contains("integrity"));
        assert!(!text.contains("\"resolved\""), "it says where to download");
    }
}
