//! Header names, and those that a configuration must not write or read.

use super::problem::{first_not, quoted};

/// What `defaultURI` and the header map for every other region are called among the regions.
pub(crate) const DEFAULT_REGION: &str = "default";

/// Longest header name, in bytes.
const LONGEST: usize = 128;

/// Headers that steer the connection, the request's framing or routing, or that Envoy and the
/// filter own: writing one would smuggle requests or undo another decision.
const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "connection",
    "upgrade",
    "keep-alive",
    "expect",
    "authorization",
    "cookie",
    "set-cookie",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-client-cert",
    "x-request-id",
];

/// Reserved with everything that follows.
const RESERVED_PREFIXES: &[&str] = &["proxy-", "x-envoy-"];

/// Headers that cannot carry a region: Envoy consumes them before a filter sees them, or they
/// carry something else in every request.
const UNREADABLE: &[&str] = &[
    "host",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "connection",
    "upgrade",
    "keep-alive",
    "expect",
    "authorization",
];

/// A header name (RFC 9110 §5.6.2 `token`), lower-cased.
///
/// # Errors
///
/// What was found and what is allowed, as product text.
pub(crate) fn header(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("invalid header name: got empty text".to_owned());
    }
    if text.len() > LONGEST {
        let length = text.len();
        return Err(format!("invalid header name: got {length} bytes, expected at most {LONGEST}"));
    }
    match first_not(text, is_token) {
        Some(found) => Err(format!("invalid header name: got {found}")),
        None => Ok(text.to_ascii_lowercase()),
    }
}

/// RFC 9113 §8.3, RFC 8441 §4
const PSEUDO_HEADERS: &[&str] =
    &[":method", ":scheme", ":authority", ":path", ":protocol", ":status"];

/// The name of a header that is written into a request, lower-cased. A reserved name is refused
/// in every spelling that a gateway behind this one may take for it.
///
/// # Errors
///
/// What was found and what is allowed, as product text.
pub(crate) fn writable(text: &str) -> Result<String, String> {
    if text.starts_with(':') {
        return Err(reserved("a pseudo-header"));
    }
    let name = header(text)?;
    let folded = fold(name.as_bytes());
    if let Some(pseudo) = PSEUDO_HEADERS.iter().find(|p| fold(p.as_bytes()) == folded) {
        return Err(reserved(&format!("the same as {pseudo} when separators are ignored")));
    }
    let exact = RESERVED.iter().find(|r| fold(r.as_bytes()) == folded);
    let prefix = RESERVED_PREFIXES.iter().find(|r| folded.starts_with(&fold(r.as_bytes())));
    match (exact, prefix) {
        (Some(known), _) if *known == name => Err(RESERVED_NAME.to_owned()),
        (Some(known), _) => {
            Err(reserved(&format!("the same as {known} when separators are ignored")))
        }
        (None, Some(known)) => Err(reserved(&format!("{known}*"))),
        (None, None) => Ok(name),
    }
}

const RESERVED_NAME: &str = "got a reserved header name, expected another one";

fn reserved(why: &str) -> String {
    format!("{RESERVED_NAME}: {why}")
}

/// The name of the request header that carries the region, lower-cased.
///
/// # Errors
///
/// What was found and what is allowed, as product text.
pub(crate) fn region_code(text: &str) -> Result<String, String> {
    if text.starts_with(':') {
        return Err("a pseudo-header cannot carry the region".to_owned());
    }
    let name = header(text)?;
    if UNREADABLE.contains(&name.as_str()) || name.starts_with("proxy-") {
        return Err(format!("{} cannot carry the region", quoted(&name)));
    }
    Ok(name)
}

/// Whether two header names are one to a gateway that folds case and separators.
pub(crate) fn same(one: &str, other: &str) -> bool {
    fold(one.as_bytes()) == fold(other.as_bytes())
}

/// That a header name is the [`same`] as one before it, as product text.
pub(crate) fn repeats(twin: &str) -> String {
    format!(
        "got a repeated header name, expected another one: the same as {} when case and separators \
         are ignored",
        quoted(twin)
    )
}

/// RFC 9110 §5.6.2 `tchar`
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// Longest name in filter state or statistics, in bytes.
const LONGEST_NAME: usize = 64;

/// What is wrong with a name in filter state or statistics. A dot would end the name in a statistic,
/// and other characters need quoting where it is read.
pub(crate) fn wrong_name(name: &str) -> Option<String> {
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() > LONGEST_NAME {
        let length = name.len();
        return Some(format!("got a name of {length} bytes, expected at most {LONGEST_NAME}"));
    }
    (!starts || !name.chars().all(allowed))
        .then(|| "invalid name, expected a-z, 0-9 and _, starting with a letter".to_owned())
}

/// The form in which two header names are the same name.
pub(crate) fn fold(name: &[u8]) -> Vec<u8> {
    name.iter().map(|b| fold_byte(*b)).collect()
}

/// One byte of it.
pub(crate) fn fold_byte(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' => byte,
        b'A'..=b'Z' => byte.to_ascii_lowercase(),
        _ => b'_',
    }
}

/// Its value is the client's word, and the upstream would take it for the filter's.
pub(crate) const IS_REGION_CODE: &str =
    "got a reserved header name, expected another one: the same as regionCodeHeader";
