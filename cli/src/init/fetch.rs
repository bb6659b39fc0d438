//! Fetches a discovery document from where the issuer's URL says that it is. Nothing else is asked, no
//! redirect is followed, and TLS is never switched off: the document names the endpoints that will get tokens.

use std::fs;
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Longest document: those of large providers have a few kilobytes.
const LONGEST: usize = 1 << 20;

/// Longest time for one document.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where systems keep the public authorities: Debian, Red Hat, Alpine and macOS.
const SYSTEM: [&str; 3] =
    [crate::bootstrap::SYSTEM_CA, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The system's file with the public authorities, if it is at one of the usual places.
pub(super) fn system_ca() -> Option<&'static str> {
    SYSTEM.into_iter().find(|file| Path::new(file).exists())
}

/// The document of an issuer, whose URL has been checked.
///
/// # Errors
///
/// Which URL gave none, why, and what to do.
pub(super) fn document(issuer: &str, ca: Option<&str>) -> Result<String, String> {
    let agent = agent(ca)?;
    let urls = urls(issuer);
    for url in &urls {
        if let Some(document) = get(&agent, url)? {
            return Ok(document);
        }
    }
    Err(format!(
        "{}: got 404, expected the provider's discovery document; correct --issuer, or give the \
         document as a file with --discovery",
        urls.join(" and ")
    ))
}

/// A document's bytes as text.
///
/// # Errors
///
/// What is wrong with them.
pub(super) fn text(bytes: Vec<u8>) -> Result<String, String> {
    if bytes.len() > LONGEST {
        let found = bytes.len();
        return Err(format!(
            "got {found} bytes, expected at most {LONGEST}; give the discovery document alone"
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| "got bytes that are not UTF-8, expected JSON; save it as UTF-8".to_owned())?;
    Ok(text.trim_start_matches('\u{FEFF}').to_owned())
}

/// Where the document may be: OpenID Connect Discovery 1.0 §4.1, then RFC 8414 §3.1.
fn urls(issuer: &str) -> [String; 2] {
    let issuer = issuer.trim_end_matches('/');
    let after = issuer.find("://").map_or(0, |at| at.saturating_add(3));
    let path = issuer.get(after..).and_then(|rest| rest.find('/'));
    let (origin, path) = match path.and_then(|at| issuer.split_at_checked(after.saturating_add(at)))
    {
        Some((origin, path)) => (origin, path),
        None => (issuer, ""),
    };
    [
        format!("{issuer}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ]
}

fn agent(ca: Option<&str>) -> Result<Agent, String> {
    let Some(file) = ca.or(system_ca()) else {
        return Err(format!(
            "got no file with trusted authorities at {}, expected one; give it with --ca",
            SYSTEM.join(", ")
        ));
    };
    let certificates = certificates(file)?;
    let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&certificates)).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .build();
    Ok(Agent::new_with_config(config))
}

/// The certificates of a PEM file.
///
/// # Errors
///
/// Why there are none, and what to do.
pub(super) fn certificates(file: &str) -> Result<Vec<Certificate<'static>>, String> {
    let pem = fs::read(file).map_err(|error| {
        format!("{file}: cannot be read: {error}, expected authorities as PEM; correct --ca")
    })?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    match certificates.is_empty() {
        true => {
            Err(format!("{file}: got no certificate, expected authorities as PEM; correct --ca"))
        }
        false => Ok(certificates),
    }
}

/// The body of a 200; `None` for a 404.
fn get(agent: &Agent, url: &str) -> Result<Option<String>, String> {
    let asked = agent.get(url).header("accept", "application/json").call();
    let mut response = asked.map_err(|error| {
        format!(
            "{url}: got no answer ({error}), expected the discovery document; check the URL, the network \
             and --ca, or give the document as a file with --discovery"
        )
    })?;
    let status = response.status().as_u16();
    match status {
        200 => {}
        404 => return Ok(None),
        300..=399 => {
            let to = response.headers().get("location").and_then(|to| to.to_str().ok());
            let to: String = to.unwrap_or("nowhere").chars().take(200).collect();
            return Err(format!(
                "{url}: got a redirect ({status}) to {to:?}, expected the discovery document; give the \
                 issuer that the provider's tokens have in `iss`"
            ));
        }
        _ => {
            return Err(format!(
                "{url}: got status {status}, expected 200; try again, or give the document as a file \
                 with --discovery"
            ));
        }
    }
    let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
    let body = response.body_mut().with_config().limit(limit).read_to_vec();
    let body = body.map_err(|error| {
        format!(
            "{url}: got an incomplete answer ({error}), expected the discovery document; try again"
        )
    })?;
    text(body).map(Some).map_err(|why| format!("{url}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_is_where_the_specifications_say() {
        for (issuer, first, second) in [
            (
                "https://idp.example",
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://idp.example/",
                "https://idp.example/.well-known/openid-configuration",
                "https://idp.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://idp.example:8443/realms/a",
                "https://idp.example:8443/realms/a/.well-known/openid-configuration",
                "https://idp.example:8443/.well-known/oauth-authorization-server/realms/a",
            ),
        ] {
            assert_eq!(urls(issuer), [first, second], "{issuer}");
        }
    }

    #[test]
    fn unusable_bytes_are_told_with_the_remedy() {
        let wrong = |bytes: Vec<u8>| text(bytes).unwrap_err();
        assert!(wrong(vec![b' '; LONGEST + 1]).starts_with("got 1048577 bytes, expected at most"));
        assert!(wrong(vec![0xff, 0xfe]).contains("not UTF-8, expected JSON; save it as UTF-8"));
        assert_eq!(text("\u{FEFF}{}".into()).unwrap(), "{}");
    }
}
