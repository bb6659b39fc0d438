//! The common parts of installations: a lock, programs on `PATH`, and messages for the user.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes `dir` and keeps others out of it until the result is dropped.
pub(crate) fn locked(dir: &Path, what: &str) -> Result<File, String> {
    fs::create_dir_all(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let lock = File::create(dir.join("lock")).map_err(|e| format!("{}: {e}", dir.display()))?;
    if lock.try_lock().is_err() {
        say(&format!("{what} is being installed by another process, waiting"));
        lock.lock().map_err(|e| format!("{}/lock: {e}", dir.display()))?;
    }
    Ok(lock)
}

/// The program of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Writes a file at once and completely, where it is not there already: another process may be
/// running it.
pub(crate) fn put(directory: &Path, name: &str, content: &[u8]) -> Result<(), String> {
    let path = directory.join(name);
    if fs::read(&path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let new = directory.join(format!("{name}.new"));
    fs::write(&new, content)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// Runs it; if it fails, returns the last lines of its output.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    Err(lines[lines.len().saturating_sub(8)..].join("\n"))
}

/// Tells the user.
// Not eprintln!: a test runner swallows that until the test ends, and an installation takes a
// while.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
