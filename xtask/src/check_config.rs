//! `cargo xtask check-config`: what the filter would say about a configuration, without Envoy.
//!
//! Read by the filter's own code, so the two cannot differ. Only JSON: between a YAML file and
//! the filter stands Envoy's YAML reader, with rules of its own (`yes` is true, large integers are
//! rounded), and a verdict by any other reader would be about another configuration.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use oidc_token_connector::config;

/// Checks the files and prints what is wrong with them, one line for each problem, and what they ask
/// of Envoy's own configuration.
pub fn run(files: &[OsString]) -> ExitCode {
    ExitCode::from(check(files, &read, &mut io::stdout(), &mut io::stderr()))
}

/// What is to be said about one configuration.
struct Said {
    problems: Vec<String>,
    notes: Vec<String>,
}

/// Everything as the filter words it. Faults with which the filter loads, to refuse requests one by
/// one, are problems here: nobody configures them on purpose.
fn read(text: &[u8]) -> Said {
    let (found, notes) = match config::read(text) {
        Ok(loaded) => (loaded.faults, loaded.policy.notes()),
        Err(problems) => (problems, Vec::new()),
    };
    Said { problems: found.iter().map(ToString::to_string).collect(), notes }
}

/// Returns the exit code: 0 all ok, 1 a problem, 2 a file that cannot be read.
fn check(
    files: &[OsString],
    reader: &dyn Fn(&[u8]) -> Said,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let mut code = 0;
    for file in files {
        let name = file.to_string_lossy();
        let place = if files.len() > 1 { format!("{name}: ") } else { String::new() };
        let said = match content(file) {
            Err(why) => {
                say(err, &format!("xtask check-config: {name}: {why}"));
                code = 2;
                continue;
            }
            Ok(text) => reader(&text),
        };
        for note in &said.notes {
            say(out, &format!("{place}note: {note}"));
        }
        for problem in &said.problems {
            say(out, &format!("{place}{problem}"));
        }
        if said.problems.is_empty() {
            say(out, &format!("{place}ok"));
        } else {
            code = code.max(1);
        }
    }
    code
}

fn content(file: &OsStr) -> Result<Vec<u8>, String> {
    let extension = Path::new(file).extension().unwrap_or_default();
    if extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml") {
        return Err("YAML is not read here, only JSON; convert the filter's `configuration` \
                    first, for example: yq -o json FILE | \
                    cargo xtask check-config - (the yq written in Go)"
            .to_owned());
    }
    let mut text = Vec::new();
    if file == "-" {
        io::stdin().read_to_end(&mut text).map_err(|error| format!("cannot be read: {error}"))?;
    } else {
        text = std::fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
    }
    Ok(text)
}

/// A closed output changes nothing about the verdict, which is also the exit code.
fn say(to: &mut dyn Write, line: &str) {
    let _: io::Result<()> = writeln!(to, "{line}");
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A file that is gone again when the test ends.
    struct File(PathBuf);

    impl File {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Self(path)
        }

        fn name(&self) -> String {
            self.0.to_str().unwrap().to_owned()
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// Exit code, output and error output.
    fn checked(files: &[String], reader: &dyn Fn(&[u8]) -> Said) -> (u8, String, String) {
        let files: Vec<OsString> = files.iter().map(OsString::from).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = check(&files, reader, &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    /// One problem per word of the text.
    fn words(text: &[u8]) -> Said {
        let problems =
            String::from_utf8_lossy(text).split_whitespace().map(str::to_owned).collect();
        Said { problems, notes: Vec::new() }
    }

    #[test]
    fn ok_or_one_line_per_problem() {
        let good = File::new("good.json", "");
        let bad = File::new("bad.json", "first second");
        let ok = (0, "ok\n".into(), String::new());
        assert_eq!(checked(&[good.name()], &words), ok);
        let problems = (1, "first\nsecond\n".into(), String::new());
        assert_eq!(checked(&[bad.name()], &words), problems);
    }

    #[test]
    fn several_files_are_told_apart_and_the_worst_decides() {
        let good = File::new("several-good.json", "");
        let bad = File::new("several-bad.json", "first");
        let absent = "/no/such/file.json".to_owned();
        let (code, out, err) = checked(&[bad.name(), good.name()], &words);
        assert_eq!((code, err.as_str()), (1, ""));
        assert_eq!(out, format!("{}: first\n{}: ok\n", bad.name(), good.name()));
        let (code, out, err) = checked(&[absent, bad.name()], &words);
        assert_eq!((code, out), (2, format!("{}: first\n", bad.name())));
        assert!(err.starts_with("xtask check-config: /no/such/file.json: cannot be read: "));
    }

    #[test]
    fn yaml_is_refused_with_a_way_out() {
        for name in ["config.yaml", "config.YML"] {
            let file = File::new(name, "");
            let (code, out, err) = checked(&[file.name()], &words);
            assert_eq!((code, out.as_str()), (2, ""));
            assert!(err.contains("only JSON") && err.contains("yq -o json"), "{err}");
        }
    }

    #[test]
    fn the_filters_own_reader_decides() {
        let endpoint = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"}}"#;
        let good = File::new("real-good.json", endpoint);
        assert_eq!(checked(&[good.name()], &read), (0, "ok\n".into(), String::new()));

        let wrong =
            endpoint.replace("{\"userinfo", "{\"no_such_key\": 1, \"timeout\": 5, \"userinfo");
        let bad = File::new("real-bad.json", &wrong);
        let (code, out, _) = checked(&[bad.name()], &read);
        assert_eq!((code, out.lines().count()), (1, 2), "{out}");
        assert!(out.contains("no_such_key") && out.contains("timeout"), "{out}");

        // The filter loads this, and refuses every request that carries a token.
        let fault = File::new("real-fault.json", "{}");
        let (code, out, _) = checked(&[fault.name()], &read);
        assert_eq!(code, 1, "{out}");
        assert!(out.contains("userinfo_endpoint"), "{out}");
    }

    #[test]
    fn what_envoy_must_have_besides_is_a_note_and_no_problem() {
        let text = r#"{"userinfo_endpoint": {"defaultURI": "https://idp.example/userinfo"},
            "clusters": {"idp.example": "idp"},
            "http_proxy_server": "squid.example", "http_proxy_port": 3128}"#;
        let file = File::new("note.json", text);
        let said = "note: cluster idp must reach idp.example through the forward proxy \
                    squid.example:3128\nok\n";
        assert_eq!(checked(&[file.name()], &read), (0, said.to_owned(), String::new()));
    }
}
