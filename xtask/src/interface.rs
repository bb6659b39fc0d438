//! What the module asks of its host, and what it has the host call, compared with committed lists: a
//! new host call or callback is a change that somebody has looked at, not the by-product of a
//! dependency.

use std::path::Path;

use crate::{Failure, Workspace, say};

/// One direction of the interface.
struct Side {
    /// What its entries are called.
    what: &'static str,
    /// The committed list: one name per line, sorted.
    list: &'static str,
    /// Its section of the module (WebAssembly core specification §5.5).
    section: u8,
    /// Reads one entry's name.
    entry: for<'b> fn(&mut Reader<'b>) -> Option<String>,
}

const SIDES: [Side; 2] = [
    Side {
        what: "host imports",
        list: "src/shell/imports.txt",
        section: 2,
        entry: |section| {
            let (module, name) = (section.name()?, section.name()?);
            section.import()?;
            Some(format!("{module}.{name}"))
        },
    },
    Side {
        what: "exports",
        list: "src/shell/exports.txt",
        section: 7,
        entry: |section| {
            let name = section.name()?.to_owned();
            section.byte()?;
            section.number()?;
            Some(name)
        },
    },
];

/// Compares the built module's imports and exports with the lists.
pub fn check(workspace: &Workspace, path: &Path) -> Result<(), Failure> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))
    };
    let module = read(path)?;
    for side in &SIDES {
        let found = side
            .names(&module)
            .ok_or_else(|| Failure::new(format!("{}: not a wasm module", path.display())))?;
        let list = String::from_utf8_lossy(&read(&workspace.root.join(side.list))?).into_owned();
        side.compare(&found, &list)?;
        say(&format!("{}: {}, as listed in {}", side.what, found.len(), side.list));
    }
    Ok(())
}

impl Side {
    fn compare(&self, found: &[String], list: &str) -> Result<(), Failure> {
        let listed: Vec<&str> = list.lines().filter(|line| !line.starts_with('#')).collect();
        let new = found.iter().filter(|name| !listed.contains(&name.as_str()));
        let gone = listed.iter().filter(|name| !found.iter().any(|n| n == *name));
        let differences: Vec<String> =
            new.map(|name| format!("+{name}")).chain(gone.map(|name| format!("-{name}"))).collect();
        if differences.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the module's {} differ from {}:\n  {}\nIf that is meant, change the list.",
            self.what,
            self.list,
            differences.join("\n  ")
        )))
    }

    /// The names of this side, sorted; `None` if the bytes are no module.
    fn names(&self, module: &[u8]) -> Option<Vec<String>> {
        let mut sections = Reader(module.strip_prefix(b"\0asm\x01\0\0\0")?);
        while !sections.0.is_empty() {
            let (id, size) = (sections.byte()?, sections.number()?);
            let mut section = Reader(sections.bytes(size)?);
            if id == self.section {
                let count = section.number()?;
                let names = (0..count).map(|_| (self.entry)(&mut section));
                let mut names = names.collect::<Option<Vec<String>>>()?;
                names.sort();
                return section.0.is_empty().then_some(names);
            }
        }
        Some(Vec::new())
    }
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
    fn import(&mut self) -> Option<()> {
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

    /// A type section, then imports of a function, a table, a memory and a global, then exports of
    /// a memory and a function.
    const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\
        \x02\x29\x04\x03env\x03put\0\0\x03env\x01t\x01\x70\x01\x01\x80\x01\
        \x01m\x03mem\x02\0\x01\x03env\x01g\x03\x7f\0\
        \x07\x0e\x02\x03mem\x02\0\x03add\0\x80\x01";

    /// Where the sections begin and end.
    const ENDS: [usize; 4] = [8, 14, 57, MODULE.len()];

    #[test]
    fn every_kind_of_entry_is_read() {
        let [imports, exports] = &SIDES;
        assert_eq!(imports.names(MODULE).unwrap(), ["env.g", "env.put", "env.t", "m.mem"]);
        assert_eq!(exports.names(MODULE).unwrap(), ["add", "mem"]);
        assert_eq!(imports.names(b"\0asm\x01\0\0\0"), Some(vec![]));
    }

    #[test]
    fn what_is_cut_off_is_no_module() {
        let [_, exports] = &SIDES;
        for end in 0..MODULE.len() {
            let whole = ENDS.contains(&end);
            assert_eq!(exports.names(&MODULE[..end]), whole.then(Vec::new), "{end}");
        }
    }

    #[test]
    fn a_new_entry_and_one_that_is_gone_are_both_named() {
        let [imports, _] = &SIDES;
        let found = ["env.a".to_owned(), "env.b".to_owned()];
        assert_eq!(imports.compare(&found, "# why\nenv.a\nenv.b\n"), Ok(()));
        let failure = imports.compare(&found, "env.b\nenv.c\n").unwrap_err();
        assert!(
            failure
                .message
                .contains("imports differ from src/shell/imports.txt:\n  +env.a\n  -env.c\n"),
            "{}",
            failure.message
        );
    }
}
