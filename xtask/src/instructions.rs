//! `cargo xtask bench --instructions`: how many instructions each hot operation of the core takes,
//! counted by callgrind, beside the counts that were committed.
//!
//! Time differs from run to run; a count of instructions does not, so that a change which costs
//! shows where. It is a figure to look at and never a failure: compilers differ, and some changes
//! are worth it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::steps::{finish, shown};
use crate::{Failure, Workspace, progress, say};

/// The committed counts: one `name count` per line.
const LIST: &str = "bench/micro/instructions.txt";

const HEADER: &str = "\
# Instructions per call of each operation, native code for x86-64, by the pinned toolchain.
# Written by `cargo xtask bench --instructions --write`, which says what has changed since.
";

const VALGRIND: &str = "valgrind";

/// How often each operation is called: enough for what happens only now and then to count its part.
const CALLS: u64 = 200;

/// Parts in a thousand by which a count may differ and be called the same. Most repeat to the last
/// instruction; what goes through a table with a random seed differs by a few.
const SAME: f64 = 1.0;

/// The instructions of one call.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    name: String,
    instructions: u64,
}

/// `cargo xtask bench --instructions`
pub fn run(workspace: &Workspace, only: &[String], write: bool) -> Result<(), Failure> {
    ensure_tool(VALGRIND)?;
    let build = ["build", "--profile", "count", "--package", "micro", "--example", "count"];
    let build = workspace.cargo(&build);
    progress(&format!("instructions: {}", shown(&build)));
    finish(build)?;
    let program = workspace.target.join("count/examples/count");
    let all = names(&program)?;
    let chosen = choose(&all, only)?;
    let list = workspace.root.join(LIST);
    let committed = read(&std::fs::read_to_string(&list).unwrap_or_default())
        .map_err(|line| Failure::new(format!("{LIST}: not `name count`: {line}")))?;
    let mut counts = Vec::new();
    for name in &chosen {
        progress(&format!("instructions: {name}"));
        counts.push(count(&program, &workspace.target, name)?);
    }
    // Another architecture's counts say nothing about this one's.
    let comparable = std::env::consts::ARCH == "x86_64";
    say(&table(&counts, if comparable { &committed } else { &[] }));
    match (write, comparable) {
        (false, _) => Ok(()),
        (true, false) => Err(Failure::new(format!("{LIST} holds counts of x86-64 alone"))),
        (true, true) => std::fs::write(&list, written(&all, counts, committed))
            .map_err(|error| Failure::new(format!("{LIST}: {error}"))),
    }
}

fn ensure_tool(program: &str) -> Result<(), Failure> {
    let mut asked = Command::new(program);
    asked.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match asked.status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::new(format!(
            "`{program}` is missing; Debian and Ubuntu: `apt-get install valgrind`"
        ))),
    }
}

/// What the program can be asked for.
fn names(program: &Path) -> Result<Vec<String>, Failure> {
    let listed = Command::new(program).output();
    let listed = listed
        .map_err(|error| Failure::new(format!("cannot start {}: {error}", program.display())))?;
    Ok(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect())
}

fn choose(all: &[String], only: &[String]) -> Result<Vec<String>, Failure> {
    let is_in = |part: &String, name: &String| name.contains(part.as_str());
    if let Some(part) = only.iter().find(|part| !all.iter().any(|name| is_in(part, name))) {
        let known = all.join("\n  ");
        return Err(Failure::new(format!("no operation `{part}`; there are\n  {known}")));
    }
    let chosen = |name: &&String| only.is_empty() || only.iter().any(|part| is_in(part, name));
    Ok(all.iter().filter(chosen).cloned().collect())
}

fn count(program: &Path, dir: &Path, name: &str) -> Result<Count, Failure> {
    let out = dir.join("callgrind.out");
    let ended = callgrind(program, &out, name).output();
    let ended = ended.map_err(|e| Failure::new(format!("cannot start `{VALGRIND}`: {e}")))?;
    if !ended.status.success() {
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        return Err(Failure::new(format!("`{VALGRIND}` failed for {name}:\n{said}")));
    }
    let report = std::fs::read_to_string(&out)
        .map_err(|error| Failure::new(format!("{}: {error}", out.display())))?;
    match total(&report) {
        Some(total) if total > 0 => {
            Ok(Count { name: name.to_owned(), instructions: per_call(total) })
        }
        _ => Err(Failure::new(format!("callgrind has counted nothing for {name}"))),
    }
}

/// Only what happens inside the function that repeats the operation is counted, not its set-up.
fn callgrind(program: &Path, out: &Path, name: &str) -> Command {
    let mut command = Command::new(VALGRIND);
    command.args(["--tool=callgrind", "--toggle-collect=*micro::measured*"]);
    command.arg(format!("--callgrind-out-file={}", out.display()));
    command.arg(program).arg(name).arg(CALLS.to_string());
    command
}

/// The line `totals:` of callgrind's report.
fn total(report: &str) -> Option<u64> {
    report.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

fn per_call(total: u64) -> u64 {
    (total + CALLS / 2) / CALLS
}

/// Reads committed counts; the error is the line that is none.
fn read(text: &str) -> Result<Vec<Count>, &str> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines
        .map(|line| {
            let (name, count) = line.split_once(' ').ok_or(line)?;
            let instructions = count.trim().parse().map_err(|_| line)?;
            Ok(Count { name: name.to_owned(), instructions })
        })
        .collect()
}

fn find(counts: &[Count], name: &str) -> Option<u64> {
    counts.iter().find(|count| count.name == name).map(|count| count.instructions)
}

fn table(counts: &[Count], committed: &[Count]) -> String {
    let mut text = String::from(
        "| operation | instructions per call | committed | difference |\n\
         | --- | ---: | ---: | ---: |",
    );
    for Count { name, instructions } in counts {
        let (before, difference) = match find(committed, name) {
            Some(before) => (before.to_string(), difference(*instructions, before)),
            None => ("-".to_owned(), "-".to_owned()),
        };
        text.push_str(&format!("\n| {name} | {instructions} | {before} | {difference} |"));
    }
    text
}

fn difference(now: u64, before: u64) -> String {
    let percent = 100.0 * (now as f64 / before.max(1) as f64 - 1.0);
    if percent.abs() * 10.0 <= SAME { "=".to_owned() } else { format!("{percent:+.1} %") }
}

/// The counts as they are committed: what was not counted now stays, what is no more goes.
fn written(all: &[String], counts: Vec<Count>, committed: Vec<Count>) -> String {
    let width = all.iter().map(String::len).max().unwrap_or_default();
    let mut text = HEADER.to_owned();
    for name in all {
        if let Some(count) = find(&counts, name).or_else(|| find(&committed, name)) {
            text.push_str(&format!("{name:<width$} {count:>8}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(list: &[(&str, u64)]) -> Vec<Count> {
        let count = |(name, n): &(&str, u64)| Count { name: (*name).into(), instructions: *n };
        list.iter().map(count).collect()
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn only_the_operation_is_counted() {
        let command = callgrind(Path::new("/t/count"), Path::new("/t/out"), "hit/a");
        assert_eq!(
            shown(&command),
            "valgrind --tool=callgrind --toggle-collect=*micro::measured* \
             --callgrind-out-file=/t/out /t/count hit/a 200"
        );
    }

    #[test]
    fn the_report_of_callgrind() {
        let report = "# callgrind format\nevents: Ir\nsummary: 2410824\n\ntotals: 2410824\n";
        assert_eq!(total(report), Some(2_410_824));
        assert_eq!(total("events: Ir\n"), None);
        assert_eq!((per_call(2_410_824), per_call(299), per_call(300)), (12_054, 1, 2));
    }

    #[test]
    fn operations_are_chosen_by_parts_of_their_names() {
        let all = words(&["hit/8", "negative-hit/8", "claims/1"]);
        assert_eq!(choose(&all, &[]).unwrap(), all);
        assert_eq!(choose(&all, &words(&["hit"])).unwrap(), all[..2]);
        assert_eq!(choose(&all, &words(&["claims", "hit/8"])).unwrap(), all);
        let message = choose(&all, &words(&["hit", "miss"])).unwrap_err().message;
        assert!(message.starts_with("no operation `miss`; there are\n  hit/8\n"), "{message}");
    }

    #[test]
    fn differences_to_what_was_committed() {
        let now = counts(&[("a", 1000), ("b", 1010), ("c", 989), ("d", 1001), ("e", 7)]);
        let before = counts(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000)]);
        assert_eq!(
            table(&now, &before),
            "| operation | instructions per call | committed | difference |\n\
             | --- | ---: | ---: | ---: |\n\
             | a | 1000 | 1000 | = |\n\
             | b | 1010 | 1000 | +1.0 % |\n\
             | c | 989 | 1000 | -1.1 % |\n\
             | d | 1001 | 1000 | = |\n\
             | e | 7 | - | - |"
        );
        assert_eq!(difference(1002, 1000), "+0.2 %");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all = words(&["one", "second", "third"]);
        let before = counts(&[("one", 1), ("gone", 9), ("second", 2)]);
        let text = written(&all, counts(&[("second", 20), ("third", 30)]), before);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines, ["one           1", "second       20", "third        30"]);
        assert_eq!(read(&text), Ok(counts(&[("one", 1), ("second", 20), ("third", 30)])));
        assert_eq!(read("one many\n"), Err("one many"));
        assert_eq!(read("one\n"), Err("one"));
    }

    #[test]
    fn the_committed_counts_can_be_read() {
        let path = Workspace::find().root.join(LIST);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.starts_with(HEADER));
        let counts = read(&text).unwrap();
        assert!(counts.len() >= 20, "{}", counts.len());
    }

    #[test]
    fn a_missing_tool_is_named_with_its_remedy() {
        let failure = ensure_tool("no-such-program-anywhere").unwrap_err();
        let expected = "`no-such-program-anywhere` is missing; \
                        Debian and Ubuntu: `apt-get install valgrind`";
        assert_eq!(failure.message, expected);
    }
}
