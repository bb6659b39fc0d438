//! `cargo xtask tidy`: rules of this repository that neither compiler nor clippy checks.
//!
//! Plain text search over the files git knows, so that a rule can be read in one line and nothing
//! has to compile. A rule that must be broken somewhere says so in [`ALLOWED`], with the reason.
//! `cycles.rs` alone reads Rust as such, for import cycles.

mod cycles;

use std::collections::BTreeSet;
use std::fmt;
use std::process::{Command, Stdio};

use crate::steps::{Step, shown};
use crate::{Failure, Workspace, say};

/// `cargo xtask tidy`
pub fn run(workspace: &Workspace) -> Result<(), Failure> {
    let files = files(workspace)?;
    let mut found = findings(&files, ALLOWED);
    let cycles = cycles::problems(files.iter().map(|file| (&*file.path, &*file.text)));
    found.extend(cycles.into_iter().map(|cycles::Problem { path, line, what }| Finding {
        path,
        line,
        what,
    }));
    for finding in &found {
        say(&finding.to_string());
    }
    match found.len() {
        0 => {
            say(&format!("tidy: {} files, no finding", files.len()));
            Ok(())
        }
        count => Err(Failure::new(format!("tidy: {count} findings, listed above"))),
    }
}

/// The same as a step among others.
pub fn step(workspace: &Workspace) -> Step<'_> {
    let run = || run(workspace);
    Step { name: "repository rules", repeat: "cargo xtask tidy".into(), run: Box::new(run) }
}

/// Text that must not stand in some files.
struct Rule {
    /// Where it must not stand.
    applies: fn(&str) -> bool,
    /// Whether a line that is only a comment counts.
    comments: bool,
    /// The texts themselves. Written in pieces, so that this file does not break its own rules.
    forbidden: &'static [&'static str],
    why: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        applies: |_| true,
        comments: true,
        forbidden: &[concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")],
        why: "names a place on one machine; write the path relative to the repository",
    },
    Rule {
        applies: is_rust,
        comments: true,
        forbidden: &[concat!("#[ig", "nore"), concat!("```ig", "nore")],
        why: "skips a test in silence; make it run, or delete it",
    },
    Rule {
        applies: is_rust,
        comments: false,
        forbidden: &[concat!("todo", "!("), concat!("unimplemented", "!(")],
        why: "is not finished",
    },
    Rule {
        applies: is_rust,
        comments: false,
        forbidden: &[concat!("thread::", "sleep"), concat!("time::", "sleep")],
        why: "waits for time to pass; wait for the event",
    },
    Rule {
        applies: |path| is_source(path) && !is_shell(path),
        comments: false,
        forbidden: &[
            concat!("proxy", "_wasm"),
            concat!("extern ", "\"C\""),
            concat!("wasm_import_", "module"),
        ],
        why: "reaches for the host from the core; only src/shell* may",
    },
];

const NO_MODULE_DOC: &str = "does not start with `//!`: say what the module is for";

/// A rule that may be broken in one file.
struct Allowed {
    path: &'static str,
    text: &'static str,
    /// For the reader only: why there is no other way.
    #[allow(dead_code)]
    reason: &'static str,
}

const ALLOWED: &[Allowed] = &[];

/// A tracked file, its path relative to the root and with `/` between its parts.
struct File {
    path: String,
    text: String,
}

/// Where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn findings(files: &[File], allowed: &[Allowed]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for file in files {
        if is_source(&file.path) && !file.text.starts_with("//!") {
            found.push(Finding { path: file.path.clone(), line: 1, what: NO_MODULE_DOC.into() });
        }
        for rule in RULES.iter().filter(|rule| (rule.applies)(&file.path)) {
            for (line, text) in broken(rule, &file.text) {
                let exception = allowed
                    .iter()
                    .position(|exception| exception.path == file.path && exception.text == text);
                if let Some(exception) = exception {
                    used.insert(exception);
                } else {
                    let what = format!("`{text}` {}", rule.why);
                    found.push(Finding { path: file.path.clone(), line, what });
                }
            }
        }
    }
    for (index, exception) in allowed.iter().enumerate() {
        if !used.contains(&index) {
            let what = format!("`{}` is allowed here but no longer stands here", exception.text);
            found.push(Finding { path: exception.path.into(), line: 1, what });
        }
    }
    found
}

/// The lines that break a rule, and with which text.
fn broken<'a>(rule: &'a Rule, text: &'a str) -> impl Iterator<Item = (usize, &'static str)> + 'a {
    text.lines()
        .enumerate()
        .filter(|(_, line)| rule.comments || !line.trim_start().starts_with("//"))
        .flat_map(move |(index, line)| {
            let here = rule.forbidden.iter().filter(move |text| stands_alone(line, text));
            here.map(move |text| (index + 1, *text))
        })
}

/// Whether the text stands in the line other than as the end of a longer name or path.
fn stands_alone(line: &str, text: &str) -> bool {
    let continues: fn(char) -> bool = match text.chars().next() {
        Some('/') => |c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'),
        Some(first) if first.is_alphanumeric() => |c| c.is_alphanumeric() || c == '_',
        _ => |_| false,
    };
    line.match_indices(text).any(|(at, _)| !line[..at].ends_with(continues))
}

fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

fn is_source(path: &str) -> bool {
    path.starts_with("src/") && is_rust(path)
}

fn is_shell(path: &str) -> bool {
    path.starts_with("src/shell.") || path.starts_with("src/shell/")
}

/// Every file that git tracks or would track, so that a new file is checked before it is added.
fn files(workspace: &Workspace) -> Result<Vec<File>, Failure> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = git.current_dir(&workspace.root).stdin(Stdio::null()).output();
    let listed = match listed {
        Ok(listed) if listed.status.success() => listed.stdout,
        Ok(listed) => {
            let why = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
            return Err(Failure::new(format!("`{}` failed: {why}", shown(&git))));
        }
        Err(error) => return Err(Failure::new(format!("cannot start `git`: {error}"))),
    };
    let mut files = Vec::new();
    for path in listed.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        let path = String::from_utf8_lossy(path).into_owned();
        match std::fs::read(workspace.root.join(&path)) {
            Ok(bytes) => {
                files.push(File { path, text: String::from_utf8_lossy(&bytes).into_owned() });
            }
            // Deleted but not yet committed, or a submodule's directory.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::new(format!("{path}: cannot be read: {error}"))),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

#[cfg(test)]
mod tests;
