//! callgrind, which counts the instructions of a whole Envoy: a figure that does not depend on
//! what else the machine does. What the kernel does for Envoy is not in it. It counts only while a
//! load runs, so that Envoy starts and warms up in bearable time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::load::scratch;
use crate::machine::done;

/// Where callgrind leaves its counts, a numbered file each.
fn file() -> Result<PathBuf> {
    Ok(scratch()?.join("callgrind.envoy"))
}

/// The command that runs Envoy. V8 writes code while it runs, and callgrind must detect that.
pub(crate) fn command() -> Result<Vec<String>> {
    let out = format!("--callgrind-out-file={}", file()?.display());
    let rest = ["--tool=callgrind", "--smc-check=all-non-file", "--instr-atstart=no", &out];
    Ok(["valgrind"].into_iter().chain(rest).map(str::to_owned).collect())
}

/// Instructions of one load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) all: u64,
    /// Of these, instructions in code of no file: code that V8 compiled, the module and its entries
    /// and exits; and the kernel's clock page.
    pub(crate) in_no_file: u64,
}

/// Counts in this process while something runs; the counts before it go.
pub(crate) fn count<T>(pid: u32, run: impl FnOnce() -> Result<T>) -> Result<(T, Counted)> {
    let control = |option: &str| done("callgrind_control", &[option, &pid.to_string()]);
    control("--instr=on")?;
    control("--zero")?;
    for dump in dumps()? {
        fs::remove_file(dump)?;
    }
    let ended = run()?;
    control("--dump")?;
    control("--instr=off")?;
    let dump = dumps()?.pop().context("callgrind has left no counts")?;
    let counted = counted(&fs::read_to_string(&dump)?);
    Ok((ended, counted.with_context(|| format!("{}: no counts", dump.display()))?))
}

fn dumps() -> Result<Vec<PathBuf>> {
    let file = file()?;
    let entries = fs::read_dir(file.parent().unwrap_or(Path::new(".")))?;
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let is_dump = |path: &PathBuf| path.file_stem() == file.file_name();
    Ok(paths.filter(is_dump).collect())
}

/// Reads callgrind's format: objects (`ob=`, or `cob=` where one is called) are named once and go
/// by their number then, a line of cost ends with the count, and the one after `calls=` is the
/// callee's, told there too.
fn counted(text: &str) -> Option<Counted> {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let mut of_object: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut object, mut of_callee, mut all) = (None, false, None);
    for line in text.lines() {
        if let Some(named) = line.strip_prefix("ob=").or_else(|| line.strip_prefix("cob=")) {
            let (number, name) = named.split_once(')')?;
            if !name.is_empty() {
                names.insert(number, name.trim());
            }
            if line.starts_with("ob=") {
                object = Some(number);
            }
        } else if line.starts_with("calls=") {
            of_callee = true;
        } else if let Some(sum) = line.strip_prefix("summary:") {
            all = Some(sum.trim().parse().ok()?);
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c))
            && !std::mem::take(&mut of_callee)
        {
            let count: u64 = line.rsplit(' ').next()?.parse().ok()?;
            *of_object.entry(object?).or_default() += count;
        }
    }
    let in_file = |object| names.get(object).is_some_and(|name| *name != "???" && !name.is_empty());
    let nowhere = of_object.iter().filter(|(object, _)| !in_file(**object));
    Some(Counted { all: all?, in_no_file: nowhere.map(|(_, count)| count).sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_where_the_code_is() {
        const DUMP: &str = "\
positions: line
events: Ir
summary: 161

ob=(2) /usr/bin/envoy
fn=(7) a
12 40
+3 20
cob=(1) ???
calls=3 0
+1 100

ob=(1)
fn=(9)
0 99
* 1

ob=(2)
fn=(8)
-3 1
";
        assert_eq!(counted(DUMP), Some(Counted { all: 161, in_no_file: 100 }));
        assert_eq!(counted("summary: 1\nob=(1)\n0 x\n"), None);
        assert_eq!(counted("summary: 1\n0 1\n"), None, "of no object");
    }
}
