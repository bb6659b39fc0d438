//! What the module's code consists of. Envoy compiles all of it before it serves, so this is where the time of a
//! start goes.

use std::collections::HashMap;

use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};
use wasmtime::Result;

/// The bytes of code of each crate, and of each room of the filter's own; the largest first.
pub(crate) fn by_room(bytes: &[u8]) -> Result<Vec<(String, usize)>> {
    let (mut sizes, mut names, mut imported) = (Vec::new(), HashMap::new(), 0_u32);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::CodeSectionEntry(body) => sizes.push(body.range().len()),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(parts) = section.as_known() else { continue };
                for part in parts {
                    let Name::Function(functions) = part? else { continue };
                    for function in functions {
                        let function = function?;
                        names.insert(function.index, function.name.to_owned());
                    }
                }
            }
            _ => {}
        }
    }
    let mut rooms: HashMap<String, usize> = HashMap::new();
    for (number, size) in (imported..).zip(sizes) {
        let name = names.get(&number).map_or("", String::as_str);
        *rooms.entry(room(&format!("{:#}", rustc_demangle::demangle(name)))).or_default() += size;
    }
    let mut rooms: Vec<_> = rooms.into_iter().collect();
    rooms.sort_by(|(one, a), (other, b)| b.cmp(a).then(one.cmp(other)));
    Ok(rooms)
}

/// Whose a function is: the crate, of the filter's own also the room. A trait's method is its type's.
fn room(name: &str) -> String {
    let path = name.trim_start_matches(['<', '&', '(', '[', '*']).trim_start_matches("mut ");
    let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let mut parts = path[..end.unwrap_or(path.len())].split("::");
    match (parts.next(), parts.next()) {
        (Some("oidc_token_connector"), Some(room)) => format!("oidc_token_connector::{room}"),
        (Some("core" | "alloc" | "std"), Some(_)) => "core, alloc, std".to_owned(),
        (Some(name), Some(_)) => name.to_owned(),
        _ => "C library, callbacks and what has no path".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_its_room_s() -> Result<()> {
        let module = wat::parse_str(
            r#"(module (import "env" "host" (func))
                (func $oidc_token_connector::policy::read (call 0) (call 0))
                (func $oidc_token_connector::policy::write)
                (func $serde_json::de::from_slice))"#,
        )?;
        let sizes = by_room(&module)?;
        // A body has the count of its locals and `end`; a call is two bytes.
        let expected = [("oidc_token_connector::policy", 8), ("serde_json", 2)];
        assert_eq!(sizes, expected.map(|(room, size)| (room.to_owned(), size)));
        Ok(())
    }

    #[test]
    fn rooms_of_names() {
        for (name, expected) in [
            (
                "<oidc_token_connector::claims::Rule as core::fmt::Debug>::fmt",
                "oidc_token_connector::claims",
            ),
            ("<&mut pest::Position as core::fmt::Debug>::fmt", "pest"),
            ("core::fmt::write", "core, alloc, std"),
            ("memcmp", "C library, callbacks and what has no path"),
            ("", "C library, callbacks and what has no path"),
        ] {
            assert_eq!(room(name), expected, "{name}");
        }
    }
}
