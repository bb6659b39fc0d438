//! A sequence of named steps: each announced, timed, and the first failure ends it with the
//! command that repeats the step alone. Output of the steps themselves is never filtered.

use std::io::{self, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Failure;

/// One step.
pub struct Step<'a> {
    /// As announced.
    pub name: &'static str,
    /// What to type to run this step alone.
    pub repeat: String,
    /// Does it.
    pub run: Box<dyn FnOnce() -> Result<(), Failure> + 'a>,
}

impl<'a> Step<'a> {
    /// A step that is a process; it fails if the process does.
    pub fn process(name: &'static str, command: Command) -> Self {
        let repeat = shown(&command);
        Self { name, repeat, run: Box::new(move || finish(command)) }
    }

    /// A check that must hold before the step's own work starts, for a better message.
    pub fn needing(self, check: impl FnOnce() -> Result<(), Failure> + 'a) -> Self {
        let run = self.run;
        Self { run: Box::new(|| check().and_then(|()| run())), ..self }
    }
}

/// Runs the steps in order, up to the first that fails, and says how long each took.
pub fn run(steps: Vec<Step<'_>>, out: &mut dyn Write) -> Result<(), Failure> {
    let count = steps.len();
    let mut times = Vec::with_capacity(count);
    for (index, step) in steps.into_iter().enumerate() {
        say(out, &format!("\n==> [{}/{count}] {}: {}", index + 1, step.name, step.repeat));
        let started = Instant::now();
        let ended = (step.run)();
        times.push((step.name, started.elapsed()));
        if let Err(failure) = ended {
            report(out, &times, Some(step.name));
            let message = format!(
                "step `{}` failed: {}\n  repeat it with: {}",
                step.name, failure.message, step.repeat
            );
            return Err(Failure { message, ..failure });
        }
    }
    report(out, &times, None);
    Ok(())
}

/// Runs a process to its end, with our own input and output.
pub fn finish(mut command: Command) -> Result<(), Failure> {
    let ended = command.status();
    let program = shown(&Command::new(command.get_program()));
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{program}` ended with {status}"))),
        Err(error) => Err(Failure::new(format!("cannot start `{program}`: {error}"))),
    }
}

/// A command as it would be typed, the program without its directory.
pub fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let mut line = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn report(out: &mut dyn Write, times: &[(&str, Duration)], failed: Option<&str>) {
    say(out, "\nTime per step:");
    for (name, time) in times {
        let mark = if failed == Some(*name) { "  FAILED" } else { "" };
        say(out, &format!("{:>8.1} s  {name}{mark}", time.as_secs_f64()));
    }
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    say(out, &format!("{:>8.1} s  in all", total.as_secs_f64()));
}

/// A closed output must not hide what the steps found, so it is not an error.
fn say(out: &mut dyn Write, line: &str) {
    let _: io::Result<()> = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str, ended: Result<(), Failure>) -> Step<'static> {
        Step { name, repeat: format!("do {name}"), run: Box::new(|| ended) }
    }

    fn outcome(steps: Vec<Step<'_>>) -> (Result<(), Failure>, String) {
        let mut out = Vec::new();
        let ended = run(steps, &mut out);
        (ended, String::from_utf8(out).unwrap())
    }

    #[test]
    fn every_step_is_announced_and_timed() {
        let (ended, out) = outcome(vec![step("one", Ok(())), step("two", Ok(()))]);
        assert_eq!(ended, Ok(()));
        assert!(out.contains("==> [1/2] one: do one\n"), "{out}");
        assert!(out.contains("==> [2/2] two: do two\n"), "{out}");
        assert!(out.contains(" s  one\n") && out.contains(" s  two\n"), "{out}");
    }

    #[test]
    fn the_first_failure_ends_it_and_says_how_to_repeat_the_step() {
        let failure = Failure { message: "bad".into(), code: 3 };
        let steps = vec![step("one", Ok(())), step("two", Err(failure)), step("three", Ok(()))];
        let (ended, out) = outcome(steps);
        let message = "step `two` failed: bad\n  repeat it with: do two".to_owned();
        assert_eq!(ended, Err(Failure { message, code: 3 }));
        assert!(out.contains(" s  two  FAILED\n") && !out.contains("[3/3]"), "{out}");
    }

    #[test]
    fn a_process_decides_over_its_step() {
        let good = Step::process("good", Command::new("true"));
        assert_eq!(outcome(vec![good]).0, Ok(()));

        let mut command = Command::new("false");
        command.arg("--at-all");
        let message = outcome(vec![Step::process("bad", command)]).0.unwrap_err().message;
        assert!(
            message.starts_with("step `bad` failed: `false` ended with exit status: 1"),
            "{message}"
        );
        assert!(message.ends_with("repeat it with: false --at-all"), "{message}");

        let absent = Step::process("absent", Command::new("no-such-program-anywhere"));
        let message = outcome(vec![absent]).0.unwrap_err().message;
        assert!(message.contains("cannot start `no-such-program-anywhere`"), "{message}");
    }

    #[test]
    fn a_missing_need_is_reported_instead_of_running_the_step() {
        let run = Box::new(|| panic!("ran"));
        let step = Step { name: "one", repeat: "do one".into(), run };
        let (ended, _) = outcome(vec![step.needing(|| Err(Failure::new("get the tool")))]);
        assert!(ended.unwrap_err().message.starts_with("step `one` failed: get the tool"));
    }
}
