//! The commands that need a running Envoy. They live in the crates `integration` and `bench`; this
//! builds what they run on and hands over to them.

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

/// Becomes the command: Ctrl-C is then its own affair, and so is the exit code.
fn binary(
    workspace: &Workspace,
    package: &str,
    name: &str,
    options: &[String],
) -> Result<(), Failure> {
    progress(&format!("{name}: compiling what it runs on"));
    let mut command = workspace.cargo(&["run", "--package", package, "--bin", name, "--"]);
    command.args(options);
    #[cfg(unix)]
    {
        let error = std::os::unix::process::CommandExt::exec(&mut command);
        Err(Failure::new(format!("cannot start `cargo`: {error}")))
    }
    #[cfg(not(unix))]
    crate::steps::finish(command)
}
