//! `cargo xtask tidy`: rules of this repository that neither compiler nor clippy checks.
//!
//! Plain text search over the files git knows, so that a rule can be read in one line and nothing
//! has to compile. No file may break one. `cycles.rs` alone reads Rust as such, for import cycles
//! and imports of rooms above.

mod cycles;

use std::fmt;

use anyhow::{Result, bail};
use xshell::cmd;

use crate::Workspace;

/// `cargo xtask tidy`
pub fn run(workspace: &Workspace) -> Result<()> {
    let files = files(workspace)?;
    let mut found = findings(&files);
    let picture = files.iter().find(|file| file.path == "ARCHITECTURE.md").map(|file| &*file.text);
    let cycles = cycles::problems(files.iter().map(|file| (&*file.path, &*file.text)), picture);
    found.extend(cycles.into_iter().map(|cycles::Problem { path, line, what }| Finding {
        path,
        line,
        what,
    }));
    for finding in &found {
        println!("{finding}");
    }
    match found.len() {
        0 => {
            println!("tidy: {} files, no findings", files.len());
            Ok(())
        }
        count => bail!("tidy: {count} findings, listed above"),
    }
}

/// Text that must not be in some files.
struct Rule {
    /// The files that must not contain it.
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
        why: "names a path of one machine; write the path relative to the repository",
    },
    Rule {
        applies: is_rust,
        comments: true,
        forbidden: &[concat!("#[ig", "nore"), concat!("```ig", "nore")],
        why: "skips a test silently; make it run, or delete it",
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
        why: "uses the host from the core; only src/shell* may",
    },
];

const NO_MODULE_DOC: &str = "does not start with `//!`: state the module's purpose";

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

fn findings(files: &[File]) -> Vec<Finding> {
    let mut found = Vec::new();
    for File { path, text } in files {
        if is_source(path) && !text.starts_with("//!") {
            found.push(Finding { path: path.clone(), line: 1, what: NO_MODULE_DOC.into() });
        }
        for rule in RULES.iter().filter(|rule| (rule.applies)(path)) {
            for (line, text) in broken(rule, text) {
                let what = format!("`{text}` {}", rule.why);
                found.push(Finding { path: path.clone(), line, what });
            }
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

/// Whether the line contains the text other than as the end of a longer name or path.
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
fn files(workspace: &Workspace) -> Result<Vec<File>> {
    let sh = &workspace.sh;
    let list = cmd!(sh, "git ls-files -z --cached --others --exclude-standard --deduplicate");
    let mut files = Vec::new();
    for path in list.quiet().read()?.split_terminator('\0') {
        // Absent where deleted but not yet committed, no file where a submodule.
        if workspace.root.join(path).is_file() {
            let text = String::from_utf8_lossy(&sh.read_binary_file(path)?).into_owned();
            files.push(File { path: path.to_owned(), text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests;
