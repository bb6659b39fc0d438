//! Which hosts a provider or a backend can have: names that DNS and certificates know, and IP addresses. What
//! is no host must never be written, since nothing that is called there would answer.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What is wrong with the host and port of a provider's URL: what was found, what is expected, and the remedy.
///
/// `certified`: whether only a public authority can vouch for the name.
pub(super) fn wrong_authority(authority: &str, certified: bool) -> Option<String> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Some(format!(
            "got the IPv6 address {authority} without brackets, expected [{authority}]; write it so"
        ));
    }
    let (host, port) = split(authority);
    if let Some(port) = port.filter(|port| !is_port(port)) {
        return Some(format!("got port {port:?}, expected 1 to 65535; correct it"));
    }
    if let Some(bracketed) = host.strip_prefix('[') {
        let bare = bracketed.strip_suffix(']').unwrap_or_default();
        let wrong = || format!("got {host:?}, expected an IPv6 address in brackets; correct it");
        return bare.parse::<Ipv6Addr>().is_err().then(wrong);
    }
    if host.ends_with('.') {
        return Some(format!(
            "got {host:?} with a dot at the end, which no certificate has, expected it without; remove the dot"
        ));
    }
    if certified && host.contains('_') {
        return Some(format!(
            "got {host:?} with `_`, for which no public authority issues a certificate, expected letters, digits \
             and hyphens; use another name of the provider"
        ));
    }
    wrong_name(host)
}

/// What is wrong with a host without a port.
pub(super) fn wrong_name(host: &str) -> Option<String> {
    let is_in_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut labels = host.split('.');
    let wrong_label = labels.clone().find(|label| {
        !(1..=63).contains(&label.len())
            || !label.chars().all(is_in_label)
            || label.starts_with('-')
            || label.ends_with('-')
    });
    let digits = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(label) = wrong_label {
        let expected = "expected 1 to 63 letters, digits and hyphens, the first and last no hyphen";
        return Some(format!("got {label:?} as a part of the host, {expected}; correct it"));
    }
    if host.len() > 253 {
        let found = host.len();
        return Some(format!("got a host of {found} bytes, expected at most 253; correct it"));
    }
    if labels.next_back().is_some_and(digits) && host.parse::<Ipv4Addr>().is_err() {
        return Some(format!("got {host:?}, expected a host name or an IPv4 address; correct it"));
    }
    None
}

/// Host and port of an authority, as written.
pub(super) fn split(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    }
}

/// Whether what is called there is on this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    let (host, _) = split(authority);
    host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_has_a_name_that_certificates_have_or_an_address() {
        let name = ["a".repeat(63), "example".to_owned()].join(".");
        for right in [
            "idp.example",
            "IdP.example:443",
            "a1-b",
            "192.0.2.1:1",
            "[::1]",
            "[2001:db8::1]:65535",
            &name,
        ] {
            assert_eq!(wrong_authority(right, true), None, "{right}");
        }
        assert_eq!(wrong_authority("id_p.example", false), None);
        let long_label = format!("{}.example", "a".repeat(64));
        let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(62)].join(".");
        for (wrong, said) in [
            ("idp.example.", "with a dot at the end"),
            ("idp.example.:443", "remove the dot"),
            ("id_p.example", "with `_`, for which no public authority"),
            ("::1", "the IPv6 address ::1 without brackets, expected [::1]"),
            ("2001:db8::1", "without brackets"),
            ("[::g]", "expected an IPv6 address in brackets"),
            ("[::1", "expected an IPv6 address in brackets"),
            ("idp..example", "got \"\" as a part of the host, expected 1 to 63"),
            ("-idp.example", "got \"-idp\" as a part"),
            ("idp-.example", "got \"idp-\" as a part"),
            ("idp.ex ample", "got \"ex ample\" as a part"),
            ("idp.example:0", "got port \"0\", expected 1 to 65535"),
            ("idp.example:65536", "got port \"65536\""),
            ("idp.example:", "got port \"\""),
            ("idp.example:+1", "got port \"+1\""),
            ("192.0.2.256", "expected a host name or an IPv4 address"),
            ("192.0.2", "expected a host name or an IPv4 address"),
            (&long_label, "expected 1 to 63 letters"),
            (&long, "got a host of 254 bytes"),
        ] {
            let why = wrong_authority(wrong, true).unwrap_or_else(|| panic!("{wrong}"));
            assert!(why.contains(said) && why.contains("; "), "{wrong}: {why}");
        }
    }

    #[test]
    fn loopback_is_known_by_name_and_address() {
        for local in ["localhost", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:1"] {
            assert!(is_loopback(local), "{local}");
        }
        for other in ["localhost.example", "[::2]", "128.0.0.1", "127.0.0.1.example"] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
