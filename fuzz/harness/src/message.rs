//! Messages as text that a person can write into a corpus: one `name: value` per line, an empty
//! line, then the body.

use oidc_token_connector::request::headers::HeaderView;

/// The name and value of each header.
pub type Pairs<'b> = Vec<(&'b [u8], &'b [u8])>;

/// Splits a text into its header lines and its body.
pub fn split(text: &[u8]) -> (Pairs<'_>, &[u8]) {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        // A pseudo-header's own colon is no separator.
        let colon = line.iter().skip(1).position(|b| *b == b':').map_or(line.len(), |at| at + 1);
        pairs.push((&line[..colon], line.get(colon + 1..).unwrap_or_default().trim_ascii()));
    }
    (pairs, rest)
}

/// A head with nothing in it but these pairs.
pub fn head<'b>(pairs: &[(&'b str, &'b [u8])]) -> HeaderView<'b> {
    HeaderView::new(pairs.iter().map(|(name, value)| (name.as_bytes(), *value)).collect())
}

/// The single value of that name; `None` if there is none or more than one.
pub fn only<'b>(pairs: &[(&'b [u8], &'b [u8])], name: &str) -> Option<&'b [u8]> {
    let mut values = pairs.iter().filter(|(n, _)| *n == name.as_bytes()).map(|(_, value)| *value);
    values.next().filter(|_| values.next().is_none())
}
