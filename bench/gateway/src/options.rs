//! The command line of the benchmark.

use crate::sections::SECTIONS;

/// What a run is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Short rounds, and only the sections that are for everyday use.
    pub(crate) quick: bool,
    /// Into the documentation.
    pub(crate) write: bool,
    /// Only these sections; all if empty.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// Reads the arguments after the program's name.
    pub(crate) fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--quick" => options.quick = true,
                "--write" => options.write = true,
                "--only" => {
                    let name = arguments.next().ok_or_else(|| usage("--only needs a section"))?;
                    if !SECTIONS.iter().any(|section| section.name == name) {
                        return Err(usage(&format!("there is no section {name:?}")));
                    }
                    options.only.push(name);
                }
                other => return Err(usage(&format!("unexpected {other:?}"))),
            }
        }
        if options.write && (options.quick || !options.only.is_empty()) {
            return Err(usage("--write is for a full run"));
        }
        Ok(options)
    }

    /// Whether a section is to run.
    pub(crate) fn wants(&self, section: &str, everyday: bool) -> bool {
        if self.only.is_empty() {
            return everyday || !self.quick;
        }
        self.only.iter().any(|only| only == section)
    }

    /// The command that leads to the same run.
    pub(crate) fn command(&self) -> String {
        let mut command = "cargo xtask bench".to_owned();
        if self.quick {
            command.push_str(" --quick");
        }
        for section in &self.only {
            command.push_str(" --only ");
            command.push_str(section);
        }
        command
    }
}

fn usage(why: &str) -> String {
    let names: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
    format!(
        "{why}\n\nUsage: bench [--quick] [--write] [--only SECTION]...\nSections: {}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        Options::read(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_a_run_is_asked_for() {
        assert_eq!(read(""), Ok(Options::default()));
        assert_eq!(read("--write"), Ok(Options { write: true, ..Options::default() }));
        let some = read("--quick --only day --only rows").unwrap();
        assert_eq!(some.only, ["day", "rows"]);
        assert_eq!(some.command(), "cargo xtask bench --quick --only day --only rows");
        for wrong in ["--fast", "--only", "--only no-such", "--write --quick", "--only day --write"]
        {
            let why = read(wrong).unwrap_err();
            assert!(why.contains("Usage: bench") && why.contains("rows, "), "{why}");
        }
    }

    #[test]
    fn which_sections_run() {
        let wants =
            |line: &str, section: &str, everyday| read(line).unwrap().wants(section, everyday);
        assert!(wants("", "axes", false));
        assert!(!wants("--quick", "axes", false));
        assert!(wants("--quick", "rows", true));
        assert!(wants("--quick --only day", "day", false));
        assert!(!wants("--only day", "rows", true));
    }
}
