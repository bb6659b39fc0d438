//! The URI of a UserInfo endpoint (RFC 3986): absolute, with host and path, kept as written.
//!
//! Envoy puts the path of a call on the wire as it is, also with a blank in it, so a URI accepted
//! here must be well-formed. User-info may hold a password and is never shown.

use std::net::Ipv6Addr;

use super::problem::{first_not, named};

/// Longest URI, in bytes.
const LONGEST: usize = 2048;

/// Longest host name (RFC 1035 §2.3.4 without the root's dot), in bytes.
const LONGEST_HOST: usize = 253;

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uri {
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Host and, if written, port.
    pub(crate) authority: String,
    /// Path and, if written, query.
    pub(crate) path: String,
}

/// Reads the URI of an endpoint.
///
/// # Errors
///
/// What was found and what is allowed, as product text.
pub(crate) fn endpoint(text: &str) -> Result<Uri, String> {
    parse(text).map_err(|wrong| format!("invalid endpoint URI: {wrong}"))
}

/// Reads a URI that clients outside may call or compare: `https://`, or `http://` on loopback, with or
/// without a path, without a query. Of one without a path the path is `/`.
///
/// # Errors
///
/// What was found and what is allowed, as product text.
pub(crate) fn public(text: &str) -> Result<Uri, String> {
    let after =
        text.find("://").and_then(|at| text.get(at.saturating_add(3)..)).unwrap_or_default();
    if after.contains('?') {
        return Err("invalid URI: got a query, expected none".to_owned());
    }
    let uri = if after.contains(['/', '#']) { parse(text) } else { parse(&format!("{text}/")) };
    let uri = uri.map_err(|wrong| format!("invalid URI: {wrong}"))?;
    let host = uri.authority.rsplit_once(':').map_or(uri.authority.as_str(), |(host, port)| {
        if port.ends_with(']') { uri.authority.as_str() } else { host }
    });
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    if uri.scheme == "http" && !is_loopback {
        return Err(
            "invalid URI: got http://, expected https:// (http:// only on loopback)".to_owned()
        );
    }
    Ok(uri)
}

fn parse(text: &str) -> Result<Uri, String> {
    if text.len() > LONGEST {
        return Err(format!("got {} bytes, expected at most {LONGEST}", text.len()));
    }
    let (scheme, rest) = split_scheme(text)
        .ok_or("got no http:// or https:// at the start, expected an absolute URI")?;
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(authority_end).unwrap_or_default();
    // Ahead of everything that shows a character: this may be a password.
    if authority.contains('@') {
        return Err("got user-info before the host, expected only host and port".to_owned());
    }
    if let Some(found) = first_not(text, |c| c.is_ascii_graphic()) {
        return Err(format!("got {found}, expected visible ASCII characters"));
    }
    check_authority(authority)?;
    if path.contains('#') {
        return Err("got a fragment, expected only path and query".to_owned());
    }
    if !path.starts_with('/') {
        return Err("got no path, expected at least / after the host".to_owned());
    }
    check_path(text, path)?;
    Ok(Uri { scheme, authority: authority.to_owned(), path: path.to_owned() })
}

/// Schemes are case-insensitive (RFC 3986 §3.1).
fn split_scheme(text: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    ["http", "https"].into_iter().find(|s| scheme.eq_ignore_ascii_case(s)).map(|s| (s, rest))
}

fn check_authority(authority: &str) -> Result<(), String> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (literal, after) = bracketed.split_once(']').ok_or(
                "got [ without ], expected both around an IPv6 \
                                                 address",
            )?;
            if literal.parse::<Ipv6Addr>().is_err() {
                return Err("got no IPv6 address between [ and ], expected one such as \
                            [::1]"
                    .to_owned());
            }
            match after.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if after.is_empty() => (None, None),
                None => return Err("got text after ], expected a port".to_owned()),
            }
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(authority), None),
        },
    };
    if let Some(host) = host {
        check_host(host)?;
    }
    match port.map(read_port) {
        Some(None) => Err("got an invalid port, expected 1 to 65535".to_owned()),
        Some(Some(_)) | None => Ok(()),
    }
}

/// Whether the text is a host name or an IPv4 address.
///
/// # Errors
///
/// What was found and what is allowed, as product text.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("got no host, expected a host name or an IP address".to_owned());
    }
    if host.len() > LONGEST_HOST {
        return Err(format!("got a host of {} bytes, expected at most {LONGEST_HOST}", host.len()));
    }
    match host.chars().find(|c| !(c.is_ascii_alphanumeric() || "-._".contains(*c))) {
        Some(c) => Err(format!(
            "got {} in the host, expected only letters, digits, hyphen, dot and underscore",
            named(c)
        )),
        None => Ok(()),
    }
}

fn read_port(text: &str) -> Option<u16> {
    let digits = text.chars().all(|c| c.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// Path and query hold only what RFC 3986 §3.3 and §3.4 allow; `%` starts two hexadecimal digits.
fn check_path(text: &str, path: &str) -> Result<(), String> {
    let start = text.len().saturating_sub(path.len());
    let mut rest = path.char_indices();
    while let Some((offset, c)) = rest.next() {
        let position = start.saturating_add(offset).saturating_add(1);
        if c == '%' {
            let mut digit = || rest.next().is_some_and(|(_, c)| c.is_ascii_hexdigit());
            if !(digit() && digit()) {
                return Err(format!(
                    "got \"%\" at {position}, expected two hexadecimal digits \
                                    after it"
                ));
            }
        } else if !(c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?".contains(c)) {
            return Err(format!("got {} at {position}, expected it percent-encoded", named(c)));
        }
    }
    Ok(())
}
