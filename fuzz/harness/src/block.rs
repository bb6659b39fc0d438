//! Target: a header map as the host hands it over → pairs. Input: the block.
//!
//! What is read must be what a reader that follows the numbers one by one finds, and written again it must be the
//! same bytes; any other block has no pairs at all.

use oidc_token_connector::request::block;

/// Runs the target.
pub fn check(data: &[u8]) {
    let read = block::read(data);
    let wanted = pairs(data);
    assert_eq!(read.is_ok(), wanted.is_some(), "one reader takes it, the other does not");
    let (Ok(view), Some(wanted)) = (read, wanted) else { return };
    assert!(view.names().eq(wanted.iter().map(|(name, _)| *name)));
    for (name, _) in &wanted {
        if let Ok(text) = str::from_utf8(name) {
            let values = wanted.iter().filter(|(other, _)| other == name).map(|(_, value)| *value);
            assert!(view.values(text).eq(values));
        }
    }
    if !data.is_empty() {
        assert_eq!(block::write(&wanted), data);
    }
}

/// A name and a value.
type Pair<'b> = (&'b [u8], &'b [u8]);

/// The pairs of a block that adds up.
fn pairs(data: &[u8]) -> Option<Vec<Pair<'_>>> {
    if data.is_empty() {
        return Some(Vec::new());
    }
    let number = |at: u64| -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = data.get(at..at.checked_add(4)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
    };
    let count = number(0)?;
    let mut at = 4 + 8 * count;
    let mut text = |length: u64| -> Option<&[u8]> {
        let end = usize::try_from(at.checked_add(length)?).ok()?;
        let text = data.get(usize::try_from(at).ok()?..end)?;
        (data.get(end) == Some(&0)).then_some(())?;
        at += length + 1;
        Some(text)
    };
    let mut found = Vec::new();
    for pair in 0..count {
        let name = text(number(4 + 8 * pair)?)?;
        found.push((name, text(number(8 + 8 * pair)?)?));
    }
    (usize::try_from(at).ok()? == data.len()).then_some(found)
}
