//! What the module asks of its host, compared with a committed list: a new host call is a change
//! that somebody has looked at, not the by-product of a dependency.

use std::path::Path;

use crate::{Failure, Workspace, module, say};

/// The committed list: one `module.name` per line, sorted.
const LIST: &str = "src/shell/imports.txt";

/// Compares the built module's imports with the list.
pub fn check(workspace: &Workspace) -> Result<(), Failure> {
    let path = module::path(workspace);
    let read = |path: &Path| {
        std::fs::read(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
    };
    let found = imports(&read(&path)?)
        .ok_or_else(|| Failure::new(format!("{}: not a wasm module", path.display())))?;
    let list = String::from_utf8_lossy(&read(&workspace.root.join(LIST))?).into_owned();
    compare(&found, &list)?;
    say(&format!("host imports: {}, as listed in {LIST}", found.len()));
    Ok(())
}

fn compare(found: &[String], list: &str) -> Result<(), Failure> {
    let listed: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
    let new = found.iter().filter(|name| !listed.contains(&name.as_str())).map(|n| format!("+{n}"));
    let gone = listed.iter().filter(|name| !found.iter().any(|n| n == *name));
    let differences: Vec<String> = new.chain(gone.map(|name| format!("-{name}"))).collect();
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the module's imports differ from {LIST}:\n  {}\nIf that is meant, change the list.",
        differences.join("\n  ")
    )))
}

/// The names of a module's imports as `module.name`, sorted (WebAssembly core specification
/// §5.5.5); `None` if the bytes are no module.
fn imports(module: &[u8]) -> Option<Vec<String>> {
    const IMPORT_SECTION: u8 = 2;
    let mut sections = Reader(module.strip_prefix(b"\0asm\x01\0\0\0")?);
    while !sections.0.is_empty() {
        let (id, size) = (sections.byte()?, sections.number()?);
        let mut section = Reader(sections.bytes(size)?);
        if id == IMPORT_SECTION {
            let mut names = Vec::new();
            for _ in 0..section.number()? {
                let (module, name) = (section.name()?, section.name()?);
                section.description()?;
                names.push(format!("{module}.{name}"));
            }
            names.sort();
            return section.0.is_empty().then_some(names);
        }
    }
    Some(Vec::new())
}

/// What is left to read of a module.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn bytes(&mut self, count: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// An unsigned LEB128 of at most 32 bits (§5.2.2).
    fn number(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return usize::try_from(number).ok();
            }
        }
        None
    }

    fn name(&mut self) -> Option<&'b str> {
        let length = self.number()?;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    /// What kind of thing is imported: skipped.
    fn description(&mut self) -> Option<()> {
        match self.byte()? {
            0 => drop(self.number()?),
            1 => {
                self.byte()?;
                self.limits()?;
            }
            2 => self.limits()?,
            3 => drop(self.bytes(2)?),
            _ => return None,
        }
        Some(())
    }

    fn limits(&mut self) -> Option<()> {
        let has_most = self.byte()? & 1 == 1;
        self.number()?;
        if has_most {
            self.number()?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A type section, then imports of a function, a table, a memory and a global.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\
        \x02\x29\x04\x03env\x03put\0\0\x03env\x01t\x01\x70\x01\x01\x80\x01\
        \x01m\x03mem\x02\0\x01\x03env\x01g\x03\x7f\0";

    #[test]
    fn every_kind_of_import_is_read() {
        let found = imports(MODULE).unwrap();
        assert_eq!(found, ["env.g", "env.put", "env.t", "m.mem"]);
        assert_eq!(imports(b"\0asm\x01\0\0\0"), Some(vec![]));
    }

    #[test]
    fn what_is_cut_off_is_no_module() {
        for end in (0..8).chain(9..14).chain(15..MODULE.len()) {
            assert_eq!(imports(&MODULE[..end]), None, "{end}");
        }
    }

    #[test]
    fn a_new_import_and_one_that_is_gone_are_both_named() {
        let found = ["env.a".to_owned(), "env.b".to_owned()];
        assert_eq!(compare(&found, "# why\nenv.a\nenv.b\n"), Ok(()));
        let failure = compare(&found, "env.b\nenv.c\n").unwrap_err();
        assert!(failure.message.contains("\n  +env.a\n  -env.c\n"), "{}", failure.message);
    }
}
