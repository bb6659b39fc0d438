//! The command line: arguments in, a [`Command`] or a usage message out. Reads nothing but its
//! arguments.

use std::ffi::OsString;

/// What the user asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    /// Print this help text.
    Help(String),
    /// Build the module.
    Build,
    /// Run checks.
    Test(Part),
    /// Check filter configurations.
    CheckConfig {
        /// At least one; `-` is standard input.
        files: Vec<OsString>,
    },
    /// Walk through real requests.
    Demo {
        /// Stay up afterwards.
        serve: bool,
    },
    /// Measure the cost of a request.
    Bench {
        /// Short rounds.
        quick: bool,
    },
    /// Check the repository's own rules.
    Tidy,
    /// Run the fuzz targets.
    Fuzz {
        /// For each target, at least 1.
        seconds: u32,
        /// Names; all targets if there is none.
        targets: Vec<String>,
    },
    /// Measure which lines of the core its tests run.
    Coverage,
    /// Break the core on purpose and see whether a test notices.
    Mutants {
        /// Relative to the repository; all that `.cargo/mutants.toml` names if there is none.
        files: Vec<OsString>,
    },
}

/// How much `test` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but what needs a Docker engine.
    All,
    /// Only the native tests and one test on Envoy.
    Quick,
    /// What `docker-compose.yml` starts, on a Docker engine.
    Compose,
}

/// One command as the help describes it.
struct Topic {
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
    details: &'static str,
}

const TOPICS: &[Topic] = &[
    Topic {
        name: "demo",
        arguments: "[--serve]",
        summary: "set up all that is missing, then walk through real requests on a real Envoy",
        details: "\
Builds the release module, starts an identity provider, an upstream and Envoy with the
reference configuration, sends requests and shows each answer and what the upstream received.
Ends with 0 if every step behaved as described.

  --serve    stay up afterwards, for requests by hand, until Ctrl-C
",
    },
    Topic {
        name: "test",
        arguments: "[--quick|--compose]",
        summary: "formatting, repository rules, clippy, native tests, module build, Envoy tests",
        details: "\
Runs the steps in that order and stops at the first that fails, with the command that repeats
it. The time of each step is printed at the end.

  --quick      only the native tests and one test of the built module on Envoy
  --compose    instead: the alert rules by promtool, and docker-compose.yml on a Docker engine. As
               root on Debian it installs and starts what is missing; see integration/compose-ci.sh
",
    },
    Topic {
        name: "build",
        arguments: "",
        summary: "build the release module, adding the wasm target where it is missing",
        details: "\
Leaves the module at target/wasm32-wasip1/release/oidc_token_connector.wasm (below
CARGO_TARGET_DIR where that is set) and prints its path and size.
",
    },
    Topic {
        name: "check-config",
        arguments: "FILE...",
        summary: "print every problem of a filter configuration, or `ok`",
        details: "\
Reads each FILE as the filter's `configuration` in JSON, by the filter's own code. `-` reads
standard input. With several files every line starts with the file's name.

Exit code: 0 all ok, 1 at least one problem, 2 a file that cannot be read.
",
    },
    Topic {
        name: "bench",
        arguments: "[--quick]",
        summary: "measure the CPU cost of a request on a real Envoy, beside a do-nothing filter",
        details: "\
Prints a Markdown table: CPU microseconds per request of the Envoy process, requests per
second, and both in relation to a Wasm filter that does nothing. Needs `wrk`.

  --quick    short rounds: to see that it works, not for figures
",
    },
    Topic {
        name: "tidy",
        arguments: "",
        summary: "check the rules of this repository that no compiler checks",
        details: "\
Prints every line that breaks a rule, with the reason for the rule. `test` runs this too.
",
    },
    Topic {
        name: "fuzz",
        arguments: "[--seconds N] [TARGET...]",
        summary: "run the fuzz targets, one after the other",
        details: "\
Runs each TARGET of fuzz/ with libFuzzer, all of them if none is named, and stops at the first
that finds something; the input is then below fuzz/artifacts/. What is learned is kept below
fuzz/target/, not in the committed corpus. Needs `cargo-fuzz` and the nightly toolchain.

  --seconds N    for each target, default 60
",
    },
    Topic {
        name: "coverage",
        arguments: "",
        summary: "measure which lines of the core its native tests run",
        details: "\
Prints one line per file of src/, the shell and tests left out, and fails below 97 % of all
lines. Needs `cargo-llvm-cov`.
",
    },
    Topic {
        name: "mutants",
        arguments: "[FILE...]",
        summary: "break the core on purpose, piece by piece, and see whether a test notices",
        details: "\
Runs cargo-mutants over each FILE, over all that .cargo/mutants.toml names if none is given, and
fails if a mutant survives that docs/mutants.md does not explain. Takes hours for everything.
Needs `cargo-mutants`.
",
    },
];

/// Reads the arguments after the program's name. The error is a usage message for stderr.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.peekable();
    let Some(name) = arguments.next() else {
        return Err(overview());
    };
    let name = name.to_string_lossy().into_owned();
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        return match arguments.next() {
            None => Ok(Command::Help(overview())),
            Some(of) => Ok(Command::Help(help(topic(&of.to_string_lossy())?))),
        };
    }
    let topic = topic(&name)?;
    let given = Given::read(topic, arguments)?;
    if given.help {
        return Ok(Command::Help(help(topic)));
    }
    Ok(match topic.name {
        "demo" => Command::Demo { serve: given.option.is_some() },
        "test" => Command::Test(match given.option {
            Some("--compose") => Part::Compose,
            Some(_) => Part::Quick,
            None => Part::All,
        }),
        "build" => Command::Build,
        "bench" => Command::Bench { quick: given.option.is_some() },
        "tidy" => Command::Tidy,
        "fuzz" => Command::Fuzz {
            seconds: given.seconds.unwrap_or(60),
            targets: given.files.iter().map(|f| f.to_string_lossy().into_owned()).collect(),
        },
        "coverage" => Command::Coverage,
        "mutants" => Command::Mutants { files: given.files },
        _ if given.files.is_empty() => return Err(wrong(topic, "no file given")),
        _ => Command::CheckConfig { files: given.files },
    })
}

/// What stands after a command's name.
#[derive(Default)]
struct Given {
    help: bool,
    /// Which of the command's options, of which it takes one at most.
    option: Option<&'static str>,
    /// The value of `--seconds`.
    seconds: Option<u32>,
    files: Vec<OsString>,
}

impl Given {
    fn read(
        topic: &'static Topic,
        arguments: impl Iterator<Item = OsString>,
    ) -> Result<Self, String> {
        let takes_files = topic.arguments.contains("...");
        let takes_seconds = topic.arguments.starts_with("[--seconds N]");
        let options = topic.arguments.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let option = |name: &str| options?.split('|').find(|option| *option == name);
        let mut given = Self::default();
        let mut only_files = false;
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy();
            let is_option = !only_files && text.starts_with('-') && text != "-";
            match &*text {
                "--help" | "-h" if is_option => given.help = true,
                "--" if is_option && takes_files => only_files = true,
                "--seconds" if is_option && takes_seconds => {
                    let value = arguments.next().unwrap_or_default();
                    let number = value.to_str().and_then(|text| text.parse().ok());
                    given.seconds =
                        Some(number.filter(|seconds| *seconds > 0).ok_or_else(|| {
                            let value = value.to_string_lossy();
                            wrong(
                                topic,
                                &format!("`--seconds` takes a number from 1, not `{value}`"),
                            )
                        })?);
                }
                name if is_option && option(name).is_some() => {
                    if given.option.is_some_and(|before| before != name) {
                        return Err(wrong(topic, "only one of its options at a time"));
                    }
                    given.option = option(name);
                }
                name if is_option => return Err(wrong(topic, &format!("unknown option `{name}`"))),
                _ if takes_files => given.files.push(argument),
                name => return Err(wrong(topic, &format!("unexpected argument `{name}`"))),
            }
        }
        Ok(given)
    }
}

fn topic(name: &str) -> Result<&'static Topic, String> {
    TOPICS
        .iter()
        .find(|topic| topic.name == name)
        .ok_or_else(|| format!("xtask: unknown command `{name}`\n\n{}", overview()))
}

fn wrong(topic: &Topic, what: &str) -> String {
    format!("xtask {}: {what}\n\n{}", topic.name, help(topic))
}

fn overview() -> String {
    let mut text = "Usage: cargo xtask <command> [arguments]\n\nCommands:\n".to_owned();
    for topic in TOPICS {
        text.push_str(&format!("  {:<13} {}\n", topic.name, topic.summary));
    }
    text.push_str("\n`cargo xtask <command> --help` says more about each.\n");
    text
}

fn help(topic: &Topic) -> String {
    let usage = format!("cargo xtask {} {}", topic.name, topic.arguments);
    format!("{}: {}\n\nUsage: {}\n\n{}", topic.name, topic.summary, usage.trim(), topic.details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn commands_and_their_options() {
        let files = |names: &[&str]| Command::CheckConfig {
            files: names.iter().map(OsString::from).collect(),
        };
        let fuzz = |seconds, targets: &[&str]| Command::Fuzz {
            seconds,
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        };
        for (line, command) in [
            ("build", Command::Build),
            ("tidy", Command::Tidy),
            ("test", Command::Test(Part::All)),
            ("test --quick", Command::Test(Part::Quick)),
            ("test --compose", Command::Test(Part::Compose)),
            ("demo", Command::Demo { serve: false }),
            ("demo --serve", Command::Demo { serve: true }),
            ("bench", Command::Bench { quick: false }),
            ("bench --quick", Command::Bench { quick: true }),
            ("coverage", Command::Coverage),
            ("fuzz", fuzz(60, &[])),
            ("fuzz --seconds 5", fuzz(5, &[])),
            ("fuzz claims --seconds 300 bearer", fuzz(300, &["claims", "bearer"])),
            ("mutants", Command::Mutants { files: vec![] }),
            ("mutants src/bearer.rs", Command::Mutants { files: vec!["src/bearer.rs".into()] }),
            ("check-config a.json", files(&["a.json"])),
            ("check-config a.json - b.json", files(&["a.json", "-", "b.json"])),
            ("check-config -- --odd", files(&["--odd"])),
            ("check-config -- --help", files(&["--help"])),
        ] {
            assert_eq!(parsed(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_and_followed_by_the_usage() {
        for (line, named, usage) in [
            ("", "", "Usage: cargo xtask <command>"),
            ("dmeo", "unknown command `dmeo`", "Usage: cargo xtask <command>"),
            ("help dmeo", "unknown command `dmeo`", "Usage: cargo xtask <command>"),
            ("build --quick", "unknown option `--quick`", "Usage: cargo xtask build\n"),
            ("test --serve", "unknown option `--serve`", "Usage: cargo xtask test [--quick"),
            ("test --quick --compose", "only one", "Usage: cargo xtask test [--quick|--compose]"),
            ("demo now", "unexpected argument `now`", "Usage: cargo xtask demo [--serve]"),
            ("test --", "unknown option `--`", "Usage: cargo xtask test [--quick"),
            ("fuzz --seconds", "a number from 1, not ``", "Usage: cargo xtask fuzz [--seconds N]"),
            ("fuzz --seconds 0", "not `0`", "Usage: cargo xtask fuzz [--seconds N] [TARGET...]"),
            ("fuzz --seconds 1h", "not `1h`", "Usage: cargo xtask fuzz"),
            ("fuzz --second 1", "unknown option `--second`", "Usage: cargo xtask fuzz"),
            ("bench --seconds 1", "unknown option `--seconds`", "Usage: cargo xtask bench"),
            ("coverage all", "unexpected argument `all`", "Usage: cargo xtask coverage\n"),
            ("mutants --all", "unknown option `--all`", "Usage: cargo xtask mutants [FILE...]"),
            ("check-config", "no file given", "Usage: cargo xtask check-config FILE..."),
            ("check-config -x", "unknown option `-x`", "Usage: cargo xtask check-config FILE..."),
        ] {
            let Err(message) = parsed(line) else { panic!("`{line}` was understood") };
            assert!(message.contains(named), "{line}: {message}");
            assert!(message.contains(usage), "{line}: {message}");
        }
    }

    #[test]
    fn every_command_has_help_and_stands_in_the_overview() {
        let Ok(Command::Help(overview)) = parsed("--help") else { panic!("no overview") };
        assert_eq!(parsed("help"), Ok(Command::Help(overview.clone())));
        for topic in TOPICS {
            assert!(overview.contains(topic.name) && overview.contains(topic.summary));
            let Ok(Command::Help(text)) = parsed(&format!("{} --help", topic.name)) else {
                panic!("{} has no help", topic.name)
            };
            assert!(text.contains(topic.summary) && text.contains("Usage: cargo xtask"));
            assert_eq!(parsed(&format!("help {}", topic.name)), Ok(Command::Help(text)));
        }
    }
}
