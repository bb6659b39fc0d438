//! The servers of `docker-compose.yml` around Envoy, in one program: the certificates, the UserInfo
//! provider with the demo's tokens, and the echo upstream. For trials, never for production.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use integration::login::Login;
use integration::{
    Identity, OpenIdProvider, Pems, Provider, Request, Upstream, chart, envoy_binary, tokens,
    trusted_ca,
};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "\
Usage: parts prepare TRUST KEYS MODULE make certificates, where there are none yet; put the module there
       parts provider KEYS             answer UserInfo over TLS on port 443
       parts upstream                  echo requests on ports 10001 to 10003 of loopback
       parts openid-provider DIRECTORY a real provider on loopback, with its issuer, its authority as
                                       ca.pem and a user's token in files of that directory
       parts wait                      until asked to end: for those that share its network
       parts listening PORT            whether something listens there, on loopback
       parts ready                     send a request through Envoy, and say what to try
       parts helm template oidc-token-connector CHART --namespace NAMESPACE --values FILE
                                       print the chart's manifests, where no Helm is
       parts envoy-binary              print where Envoy is, installed first where it is missing";

/// Where the image has the module, under the name for which the reference looks.
const MODULE: &str = "/oidc_token_connector.wasm";

/// Where the reference listens.
const GATEWAY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10000);

/// The names under which the reference configuration knows the provider.
const NAMES: [&str; 4] = ["idp.example", "fr.idp.example", "us.idp.example", "de.idp.example"];

/// The backends of the reference configuration.
const BACKENDS: [u16; 3] = [10001, 10002, 10003];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments.as_slice() {
        ["prepare", trust, keys, module] => certificates(Path::new(trust), Path::new(keys))
            .and_then(|()| put_module(Path::new(MODULE), Path::new(module))),
        ["provider", keys] => provider(Path::new(keys)).await,
        ["upstream"] => upstream().await,
        ["openid-provider", directory] => openid_provider(Path::new(directory)).await,
        ["wait"] => until_asked_to_end().await,
        ["listening", port] => listening(port).await,
        ["ready"] => ready().await,
        [
            "helm",
            "template",
            "oidc-token-connector",
            chart,
            "--namespace",
            _,
            "--values",
            values,
        ] => chart::template(Path::new(chart), values).map(|manifests| print!("{manifests}")),
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

/// Replaces the module at once: Envoy never reads half of one.
fn put_module(module: &Path, directory: &Path) -> Result<(), String> {
    let name = module.file_name().unwrap_or_default();
    let (new, path) = (directory.join("new"), directory.join(name));
    fs::copy(module, &new)
        .and_then(|_| fs::rename(&new, &path))
        .map_err(|e| format!("{} to {}: {e}", module.display(), directory.display()))
}

async fn listening(port: &str) -> Result<(), String> {
    let port: u16 = port.parse().map_err(|_| format!("got {port:?}, expected a port"))?;
    let there = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
    there.map(drop).map_err(|e| format!("port {port}: {e}"))
}

/// What is said works: it was tried just before.
async fn ready() -> Result<(), String> {
    let response = Request::new(GATEWAY, "GET", "/orders").bearer("good").send().await;
    if response.status != 200 {
        return Err(format!("got {} for a good token, expected 200", response.status));
    }
    println!("ready. Try, in another terminal:");
    println!("  curl -i http://{GATEWAY}/orders -H 'Authorization: Bearer good'");
    println!("Prometheus: http://127.0.0.1:9090, Grafana: http://127.0.0.1:3000, end: Ctrl-C");
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

/// Writes the file `token` last, so that a script can wait for it and then find the others too.
async fn openid_provider(directory: &Path) -> Result<(), String> {
    let provider = OpenIdProvider::start_on_localhost().await;
    let issuer = format!("https://localhost:{}", provider.tls_address().port());
    let token = Login::of("alice", "openid email").tokens(provider.address()).await.access;
    let files = [("ca.pem", trusted_ca()), ("issuer", &issuer), ("token", &token)];
    for (name, text) in files {
        let (new, path) = (directory.join("new"), directory.join(name));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
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
