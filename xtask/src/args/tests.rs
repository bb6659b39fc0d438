//! Lines that are understood, and lines that are not.

use super::*;

fn parsed(line: &str) -> Result<Command, String> {
    parse(line.split_whitespace().map(OsString::from))
}

#[test]
fn commands_and_their_options() {
    let files =
        |names: &[&str]| Command::CheckConfig { files: names.iter().map(OsString::from).collect() };
    let fuzz = |seconds, targets: &[&str]| Command::Fuzz {
        seconds,
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let bench = |options: &[&str]| Command::Bench { options: words(options) };
    let counts = |only: &[&str], write| Command::Instructions { only: words(only), write };
    for (line, command) in [
        ("build", Command::Build),
        ("tidy", Command::Tidy),
        ("test", Command::Test(Part::All)),
        ("test --quick", Command::Test(Part::Quick)),
        ("test --compose", Command::Test(Part::Compose)),
        ("test --provider", Command::Test(Part::Provider)),
        ("test --envoy 1.36.4", Command::Test(Part::Envoy("1.36.4".into()))),
        ("demo", Command::Demo { serve: false }),
        ("demo --serve", Command::Demo { serve: true }),
        ("bench", bench(&[])),
        ("bench --quick", bench(&["--quick"])),
        (
            "bench --only fleet --write --only memory --quick",
            bench(&["--only", "fleet", "--write", "--only", "memory", "--quick"]),
        ),
        ("bench --instructions", counts(&[], false)),
        ("bench --write --only hit --instructions", counts(&["hit"], true)),
        ("bench --instructions --only hit --only claims", counts(&["hit", "claims"], false)),
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
    const BENCH: &str =
        "Usage: cargo xtask bench [--quick] [--write] [--only SECTION]... [--instructions]\n";
    const TEST: &str =
        "Usage: cargo xtask test [--quick] [--compose] [--provider] [--envoy VERSION]\n";
    for (line, named, usage) in [
        ("", "", "Usage: cargo xtask <command>"),
        ("dmeo", "unknown command `dmeo`", "Usage: cargo xtask <command>"),
        ("help dmeo", "unknown command `dmeo`", "Usage: cargo xtask <command>"),
        ("build --quick", "unknown option `--quick`", "Usage: cargo xtask build\n"),
        ("test --serve", "unknown option `--serve`", TEST),
        ("demo now", "unexpected argument `now`", "Usage: cargo xtask demo [--serve]"),
        ("test --", "unknown option `--`", TEST),
        ("test --envoy", "`--envoy` takes VERSION, not ``", TEST),
        ("test --envoy 1.40", "a release such as 1.40.0, not `1.40`", TEST),
        ("test --envoy 1.40.0/..", "a release such as 1.40.0, not `1.40.0/..`", TEST),
        ("test --envoy --quick", "`--envoy` takes VERSION, not `--quick`", TEST),
        ("test --envoy 1.36.4 --compose", "`--envoy` and `--compose` do not go together", TEST),
        ("test --quick --quick", "`--quick` stands twice", TEST),
        ("test --provider now", "unexpected argument `now`", TEST),
        ("test --quick --provider", "`--quick` and `--provider` do not go together", TEST),
        ("fuzz --seconds", "takes N, not ``", "Usage: cargo xtask fuzz [--seconds N] [TARGET...]"),
        ("fuzz --seconds 0", "not `0`", "Usage: cargo xtask fuzz [--seconds N] [TARGET...]"),
        ("fuzz --seconds 1h", "not `1h`", "Usage: cargo xtask fuzz"),
        ("fuzz --second 1", "unknown option `--second`", "Usage: cargo xtask fuzz"),
        ("bench --seconds 1", "unknown option `--seconds`", "Usage: cargo xtask bench"),
        ("bench --only", "`--only` takes SECTION, not ``", BENCH),
        ("bench --only --quick", "`--only` takes SECTION, not `--quick`", BENCH),
        ("bench fleet", "unexpected argument `fleet`", BENCH),
        ("bench --quick --instructions", "`--instructions` has none", BENCH),
        ("test --write", "unknown option `--write`", TEST),
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
