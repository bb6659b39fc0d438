//! The commands that live in other crates: those that need a running Envoy in `integration` and
//! `bench`, what is said of configurations in `cli`. This builds what they run on and hands over to
//! them.

use std::ffi::OsString;
use std::process::Command;

use crate::{Failure, Workspace, module, progress};

/// `cargo xtask demo`
pub fn demo(workspace: &Workspace, serve: bool) -> Result<(), Failure> {
    module::build(workspace)?;
    let options = serve.then(|| "--serve".to_owned());
    binary(workspace, "integration", "demo", options.as_slice())
}

/// `cargo xtask bench`; the benchmark reads these options itself.
pub fn bench(workspace: &Workspace, options: &[String]) -> Result<(), Failure> {
    module::build(workspace)?;
    module::build_other(workspace, "do-nothing")?;
    binary(workspace, "bench", "bench", options)
}

/// `cargo xtask check-config`
pub fn check_config(workspace: &Workspace, files: &[OsString]) -> Result<(), Failure> {
    become_it(checker(workspace, files))
}

fn checker(workspace: &Workspace, files: &[OsString]) -> Command {
    let mut command = workspace.cargo(&["run", "--quiet", "--package", "cli", "--manifest-path"]);
    command.arg(workspace.root.join("Cargo.toml"));
    command.args(["--", "check", "--allow", "warnings", "--"]).args(files);
    // The files' names are meant from where the user stands.
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    command
}

fn binary(
    workspace: &Workspace,
    package: &str,
    name: &str,
    options: &[String],
) -> Result<(), Failure> {
    progress(&format!("{name}: compiling what it runs on"));
    let mut command = workspace.cargo(&["run", "--package", package, "--bin", name, "--"]);
    command.args(options);
    become_it(command)
}

/// Becomes the command: Ctrl-C is then its own affair, and so is the exit code.
fn become_it(mut command: Command) -> Result<(), Failure> {
    #[cfg(unix)]
    {
        let error = std::os::unix::process::CommandExt::exec(&mut command);
        Err(Failure::new(format!("cannot start `cargo`: {error}")))
    }
    #[cfg(not(unix))]
    crate::steps::finish(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_checked_by_the_tool_of_this_checkout_from_where_the_user_stands() {
        let workspace = Workspace::find();
        let command = checker(&workspace, &["--odd".into(), "-".into()]);
        let shown = crate::steps::shown(&command);
        assert!(shown.ends_with("Cargo.toml -- check --allow warnings -- --odd -"), "{shown}");
        assert_eq!(command.get_current_dir(), Some(std::env::current_dir().unwrap().as_path()));
    }
}
