//! Target: `Authorization` → one token or none. Input: one byte that chooses the longest token,
//! then the header's values, one per line.

use oidc_token_connector::request::bearer::{self, CredentialFault};
use oidc_token_connector::request::headers::HeaderView;

/// Runs the target.
pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let longest = 1 << (choice % 14);
    let values: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let mut pairs: Vec<(&[u8], &[u8])> = vec![(b":method", b"GET")];
    pairs.extend(values.iter().map(|value| (&b"authorization"[..], *value)));
    let found = bearer::parse(&HeaderView::new(pairs.clone()), longest);

    let allowed = match values.as_slice() {
        [value] => token(value).filter(|token| token.len() <= longest),
        _ => None,
    };
    match (&found, allowed) {
        (Ok(read), Some(token)) => {
            assert_eq!(read.authorization().as_bytes(), [b"Bearer ", token].concat());
            assert_eq!(format!("{read:?}"), "BearerToken(***)");
        }
        (Err(_), None) => {}
        (Ok(_), None) => panic!("accepted: {text:?}"),
        (Err(why), Some(_)) => panic!("refused as {why:?}: {text:?}"),
    }
    if let Err(fault) = found {
        let bearer = values.iter().any(|value| names_bearer(value));
        assert_eq!(fault.tried_bearer(), bearer, "{fault:?} of {text:?}");
        assert_eq!(fault == CredentialFault::Empty, values == [b""]);
    }
    // The result must not depend on the order of the lines.
    pairs.reverse();
    let reversed = bearer::parse(&HeaderView::new(pairs), longest);
    assert_eq!(found.is_ok(), reversed.is_ok());
}

/// `^bearer +b64token$`, the scheme in any case (RFC 6750 §2.1, RFC 9110 §11.1).
fn token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let blanks = rest.iter().take_while(|b| **b == b' ').count();
    let token = &rest[blanks..];
    let signs = token.iter().rev().take_while(|b| **b == b'=').count();
    let body = &token[..token.len() - signs];
    let b64 = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
    let is_token = blanks > 0 && !body.is_empty() && body.iter().all(b64);
    (scheme.eq_ignore_ascii_case(b"bearer") && is_token).then_some(token)
}

/// Whether the scheme `Bearer` is at the start or after a comma.
fn names_bearer(value: &[u8]) -> bool {
    let tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    value.split(|b| *b == b',').any(|part| {
        let part = part.trim_ascii_start();
        let end = part.iter().position(|b| !tchar(b)).unwrap_or(part.len());
        part[..end].eq_ignore_ascii_case(b"bearer")
    })
}
