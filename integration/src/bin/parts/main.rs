//! The servers of `docker-compose.yml` around Envoy, in one program: the certificates, the UserInfo
//! provider with the demo's tokens, and the echo upstream. For trials, never for production.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use integration::{Identity, Pems, Provider, Upstream, envoy_binary, tokens};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
Usage: parts certificates TRUST KEYS   make certificates, where there are none yet
       parts provider KEYS             answer UserInfo over TLS on port 443
       parts upstream                  echo requests on ports 10001 to 10003 of loopback
       parts envoy-binary              print where Envoy is, installed first where it is missing";

/// The names under which the reference configuration knows the provider.
const NAMES: [&str; 4] = ["idp.example", "fr.idp.example", "us.idp.example", "de.idp.example"];

/// The backends of the reference configuration.
const BACKENDS: [u16; 3] = [10001, 10002, 10003];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["certificates", trust, keys] => certificates(Path::new(trust), Path::new(keys)),
        ["provider", keys] => provider(Path::new(keys)).await,
        ["upstream"] => upstream().await,
        ["envoy-binary"] => envoy_binary().map(|path| println!("{}", path.display())),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("parts: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps existing certificates: processes that trust them have read them, and would not notice new
/// ones.
fn certificates(trust: &Path, keys: &Path) -> Result<(), String> {
    let authority = trust.join("ca-certificates.crt");
    let (certificate, key) = (keys.join("certificate.pem"), keys.join("key.pem"));
    if authority.is_file() && Identity::read(&certificate, &key).is_ok() {
        println!("certificates: those in {} are kept", trust.display());
        return Ok(());
    }
    let made = Pems::make(&NAMES)?;
    // The authority last: where it is, the others are.
    for (path, text) in
        [(&certificate, made.certificate), (&key, made.key), (&authority, made.authority)]
    {
        fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    println!("certificates: made for {}", NAMES.join(", "));
    Ok(())
}

async fn provider(keys: &Path) -> Result<(), String> {
    let identity = Identity::read(&keys.join("certificate.pem"), &keys.join("key.pem"))?;
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 443));
    let provider = Provider::start_at(everywhere)
        .await
        .map_err(|e| format!("port 443 is not available: {e}"))?;
    tokens::teach(&provider);
    provider.forget().identity(identity);
    println!("provider: answers UserInfo on port 443. Tokens:");
    for token in &tokens::TOKENS {
        println!("  {:<10} {}", token.text, token.answer);
    }
    println!("  {:<10} {}", "any other", tokens::ANY_OTHER);
    until_asked_to_end().await
}

async fn upstream() -> Result<(), String> {
    let mut running = Vec::new();
    for port in BACKENDS {
        let upstream = Upstream::start_on(port)
            .await
            .map_err(|e| format!("port {port} of loopback is not available: {e}"))?;
        upstream.forget();
        running.push(upstream);
    }
    println!("upstream: echoes requests on ports {BACKENDS:?} of loopback");
    until_asked_to_end().await
}

/// A container's first process gets no default handling of signals: without this it would only die
/// by force.
async fn until_asked_to_end() -> Result<(), String> {
    let deaf = |e: io::Error| format!("cannot listen for signals: {e}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
