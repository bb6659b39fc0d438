//! Paths of the workspace, and the shell that runs cargo.

use std::env;
use std::path::{Path, PathBuf, absolute};
use std::process::Stdio;

use anyhow::{Result, bail};
use xshell::{Cmd, Shell};

/// This checkout.
pub struct Workspace {
    /// The directory of the workspace's `Cargo.toml`.
    pub root: PathBuf,
    /// Where cargo puts what it builds.
    pub target: PathBuf,
    /// Its commands run in the root.
    pub sh: Shell,
}

impl Workspace {
    /// The checkout that this program was compiled from.
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().unwrap_or(here).to_owned();
        // A relative directory is relative to the user's directory, not to the root.
        let target = match env::var_os("CARGO_TARGET_DIR") {
            Some(dir) if !dir.is_empty() => absolute(dir)?,
            _ => root.join("target"),
        };
        let sh = Shell::new()?;
        sh.change_dir(&root);
        sh.set_var("CARGO_TARGET_DIR", &target);
        Ok(Self { root, target, sh })
    }
}

/// Fails with the remedy unless this command works.
pub fn ensure(command: Cmd<'_>, remedy: &str) -> Result<()> {
    let shown = command.to_string();
    let mut command = std::process::Command::from(command);
    match command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("`{shown}` does not work; remedy: {remedy}"),
    }
}

/// Becomes the command: Ctrl-C is then its own affair, and so is the exit code.
pub fn become_it(command: Cmd<'_>) -> Result<()> {
    #[cfg(unix)]
    {
        let mut command = std::process::Command::from(command);
        Err(std::os::unix::process::CommandExt::exec(&mut command).into())
    }
    #[cfg(not(unix))]
    Ok(command.run()?)
}
