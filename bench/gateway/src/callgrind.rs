//! callgrind, which counts the instructions of a whole Envoy: a figure that does not depend on
//! what else the machine does. What the kernel does for Envoy is not in it. It counts only while a
//! load runs, so that Envoy starts and warms up in bearable time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VALGRIND: &str = "valgrind";
const CONTROL: &str = "callgrind_control";

/// How callgrind calls code that is in no file.
const IN_NO_FILE: &str = "???";

/// An Envoy that runs under callgrind.
pub(crate) struct Counter {
    pid: u32,
    dumps: Dumps,
}

/// Where callgrind leaves its counts, a file each.
pub(crate) struct Dumps(PathBuf);

/// Instructions of one load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Counted {
    pub(crate) all: u64,
    /// Of them, in code that is in no file: what V8 has compiled, the module and what leads into it
    /// and out of it; and the page by which the kernel tells the time.
    pub(crate) in_no_file: u64,
}

impl Dumps {
    /// Below this directory; those of an earlier run go.
    pub(crate) fn below(directory: &Path) -> Result<Self, String> {
        for (path, _) in numbered(directory)? {
            fs::remove_file(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(Self(directory.to_owned()))
    }

    /// What runs Envoy. V8 writes code while it runs, which callgrind must notice.
    pub(crate) fn command(&self) -> Vec<String> {
        let file = self.0.join(FILE);
        [VALGRIND, "--tool=callgrind", "--smc-check=all-non-file", "--instr-atstart=no"]
            .into_iter()
            .map(str::to_owned)
            .chain([format!("--callgrind-out-file={}", file.display())])
            .collect()
    }

    pub(crate) fn of(self, pid: u32) -> Counter {
        Counter { pid, dumps: self }
    }
}

/// Fails unless valgrind is there.
pub(crate) fn available() -> Result<(), String> {
    for program in [VALGRIND, CONTROL] {
        let said = Command::new(program).arg("--version").output();
        if !said.is_ok_and(|said| said.status.success()) {
            return Err(format!("`{program}` does not run (Debian package valgrind)"));
        }
    }
    Ok(())
}

impl Counter {
    /// Counts while this runs.
    pub(crate) fn while_running<T>(
        &self,
        load: impl FnOnce() -> Result<T, String>,
    ) -> Result<(T, Counted), String> {
        self.control(&["--instr=on"])?;
        self.control(&["--zero"])?;
        let done = load()?;
        self.control(&["--dump"])?;
        self.control(&["--instr=off"])?;
        let (newest, _) = numbered(&self.dumps.0)?.pop().ok_or("callgrind has left no counts")?;
        let text = fs::read_to_string(&newest).map_err(|e| format!("{}: {e}", newest.display()))?;
        let counted = counted(&text)
            .ok_or_else(|| format!("{} is not what callgrind writes", newest.display()))?;
        Ok((done, counted))
    }

    fn control(&self, options: &[&str]) -> Result<(), String> {
        let said = Command::new(CONTROL).args(options).arg(self.pid.to_string()).output();
        let said = said.map_err(|error| format!("cannot start `{CONTROL}`: {error}"))?;
        if said.status.success() {
            return Ok(());
        }
        Err(format!("`{CONTROL} {options:?}` failed: {}", String::from_utf8_lossy(&said.stderr)))
    }
}

const FILE: &str = "callgrind.envoy";

/// The files of counts, the newest last.
fn numbered(directory: &Path) -> Result<Vec<(PathBuf, u32)>, String> {
    let entries = fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let number = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.strip_prefix(FILE)?.strip_prefix('.')?.parse().ok()
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut found: Vec<(PathBuf, u32)> =
        paths.filter_map(|path| number(&path).map(|number| (path, number))).collect();
    found.sort_by_key(|(_, number)| *number);
    Ok(found)
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
    let nowhere = of_object.iter().filter(|(number, _)| {
        names.get(*number).is_none_or(|name| *name == IN_NO_FILE || name.is_empty())
    });
    Some(Counted { all: all?, in_no_file: nowhere.map(|(_, count)| count).sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
# callgrind format
version: 1
positions: line
events: Ir
summary: 161

ob=(2) /usr/bin/envoy
fn=(7) a
12 40
+3 20
cob=(1) ???
cfn=(9)
calls=3 0
+1 100

ob=(1)
fn=(9)
0 99
* 1

ob=(2)
fn=(8)
-3 1
totals: 161
";

    #[test]
    fn counts_by_where_the_code_is() {
        assert_eq!(counted(DUMP), Some(Counted { all: 161, in_no_file: 100 }));
        assert_eq!(counted(""), None);
        assert_eq!(counted("summary: 1\nob=(1)\n0 x\n"), None);
        assert_eq!(counted("summary: 1\n0 1\n"), None, "of no object");
    }

    #[test]
    fn the_newest_file_is_the_last() {
        let directory = integration::target_dir().join("bench-test-dumps");
        fs::create_dir_all(&directory).unwrap();
        let dumps = Dumps::below(&directory).unwrap();
        for name in ["callgrind.envoy.9", "callgrind.envoy.10", "callgrind.envoy", "other.11"] {
            fs::write(directory.join(name), "").unwrap();
        }
        let names: Vec<u32> = numbered(&directory).unwrap().into_iter().map(|(_, n)| n).collect();
        assert_eq!(names, [9, 10]);
        assert!(dumps.command().last().unwrap().ends_with("/callgrind.envoy"));
        fs::remove_dir_all(&directory).unwrap();
    }
}
