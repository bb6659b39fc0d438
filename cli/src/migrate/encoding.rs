//! Bytes of a file as text: UTF-8, or UTF-16 by its mark. Another encoding is named and never guessed: a
//! wrong guess would put wrong letters into names that decide who passes.

/// The text of a file.
///
/// # Errors
///
/// Which encoding it seems to have, and what to do.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, String> {
    let remedy = "expected UTF-8, or UTF-16 with its mark: save it as UTF-8";
    match bytes.as_slice() {
        [0xFF, 0xFE, 0, 0, ..] | [0, 0, 0xFE, 0xFF, ..] => {
            return Err(format!("got UTF-32, {remedy}"));
        }
        [0xFF, 0xFE, rest @ ..] => return utf16(rest, u16::from_le_bytes, remedy),
        [0xFE, 0xFF, rest @ ..] => return utf16(rest, u16::from_be_bytes, remedy),
        _ => {}
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let line = line(bytes.get(..at).unwrap_or_default());
        let byte = bytes.get(at).copied().unwrap_or_default();
        format!("got the byte 0x{byte:02X} in line {line}, {}, {remedy}", seems(bytes))
    })?;
    match text.find('\0') {
        Some(at) => {
            let line = line(text.as_bytes().get(..at).unwrap_or_default());
            Err(format!("got a NUL in line {line}, as in UTF-16 without its mark, {remedy}"))
        }
        None => Ok(text),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, remedy: &str) -> Result<String, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    match text {
        Ok(text) if rest.is_empty() => Ok(text),
        Ok(_) | Err(_) => Err(format!("got UTF-16 that breaks off or is damaged, {remedy}")),
    }
}

/// What an encoding with one byte for each character looks like. Bytes from 0x80 to 0x9F are letters and
/// quotation marks in Windows-1252, and nothing that a text has in ISO 8859-1.
fn seems(bytes: &[u8]) -> &'static str {
    match bytes.iter().any(|byte| matches!(byte, 0x80..=0x9F)) {
        true => "as in Windows-1252",
        false => "as in ISO 8859-1 or Windows-1252",
    }
}

fn line(before: &[u8]) -> usize {
    before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str, mark: [u8; 2], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect()
    }

    #[test]
    fn utf16_is_read_by_its_mark() {
        let sent = "realm: Größe 𝄞\n";
        for bytes in [
            units(sent, [0xFF, 0xFE], u16::to_le_bytes),
            units(sent, [0xFE, 0xFF], u16::to_be_bytes),
            sent.as_bytes().to_vec(),
        ] {
            assert_eq!(text(bytes).as_deref(), Ok(sent));
        }
    }

    #[test]
    fn other_encodings_are_named() {
        for (bytes, said) in [
            (b"a: 1\nb: \x93c\x94".to_vec(), "got the byte 0x93 in line 2, as in Windows-1252, "),
            (b"a: Gr\xF6\xDFe".to_vec(), "got the byte 0xF6 in line 1, as in ISO 8859-1 or"),
            (b"a\0:\0 \0".to_vec(), "got a NUL in line 1, as in UTF-16 without its mark, "),
            (b"\xFF\xFE\0\0a\0\0\0".to_vec(), "got UTF-32, "),
            (b"\xFF\xFEa\0b".to_vec(), "got UTF-16 that breaks off or is damaged, "),
            (b"\xFF\xFE\x00\xD8a\0".to_vec(), "got UTF-16 that breaks off or is damaged, "),
        ] {
            let wrong = text(bytes).unwrap_err();
            assert!(wrong.starts_with(said), "{wrong}");
            assert!(wrong.ends_with("expected UTF-8, or UTF-16 with its mark: save it as UTF-8"));
        }
    }
}
