//! The names of a JSON object's members, which a map does not keep: it must be seen if one is there twice, since
//! two readers may each take another one.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The names of the members of an object, in their order.
#[derive(Debug)]
pub(super) struct Members(Vec<String>);

impl Members {
    /// The names that an object has more than once; none if the text is no object.
    pub(super) fn repeated(text: &str) -> Vec<String> {
        let Members(names) = serde_json::from_str(text).unwrap_or(Members(Vec::new()));
        let mut repeated: Vec<String> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|before| before == name) && !repeated.contains(name) {
                repeated.push(name.clone());
            }
        }
        repeated
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut names = Vec::new();
        while let Some((name, IgnoredAny)) = map.next_entry()? {
            names.push(name);
        }
        Ok(Members(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_seen_however_they_are_written() {
        let repeated = Members::repeated;
        assert_eq!(repeated(r#"{"a": 1, "b": {"a": 1, "a": 2}, "\u0061": 3, "a": 4}"#), ["a"]);
        assert!(repeated(r#"{"a": 1, "A": 2}"#).is_empty());
        assert!(repeated("[1]").is_empty());
    }
}
