//! `--serve`: fixed ports, curl commands to type, what becomes of them, and the end at Ctrl-C.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use integration::Gateway;
use integration::tokens::{ANY_OTHER, TOKENS};
use tokio::signal::unix::{SignalKind, signal};

use crate::live::Live;
use crate::scene::SCENES;
use crate::show::Screen;

/// The ports of 127.0.0.1 that `--serve` listens on.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    /// Envoy's listener.
    pub(crate) gateway: u16,
    /// Envoy's admin interface.
    pub(crate) admin: u16,
}

/// Where `--serve` listens, unless the environment says otherwise.
pub(crate) const SERVED_AT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10000);

impl Ports {
    /// The documented ones, or those that the environment names; free at this moment. Envoy would
    /// not notice: it shares its port with another Envoy.
    pub(crate) fn reserve() -> Result<Ports, String> {
        Ok(Ports {
            gateway: free("the gateway", "DEMO_PORT", SERVED_AT.port())?,
            admin: free("Envoy's admin interface", "DEMO_ADMIN_PORT", 9901)?,
        })
    }
}

fn free(what: &str, variable: &str, documented: u16) -> Result<u16, String> {
    let port = match std::env::var(variable) {
        Err(_) => documented,
        Ok(text) => text.parse().map_err(|_| format!("{variable}={text}: not a port number"))?,
    };
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(e) => Err(format!(
            "port {port} of 127.0.0.1, for {what}, is not available: {e}\n\
             Remedy: end what listens there (`ss -ltnp` shows it), choose another port with \
             {variable}=<port>, or leave out --serve (the walk itself takes any free port)."
        )),
    }
}

/// Says what can be tried, and stays up until Ctrl-C.
pub(crate) async fn until_interrupted(gateway: &Gateway, screen: &Screen) -> Result<(), String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    let live = Live::after(SCENES.len(), gateway, screen).await;
    tell(gateway, screen);
    let mut asked_to_end = async || {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::select! {
        biased;
        () = asked_to_end() => return Ok(()),
        // Ends with Envoy, as its log does.
        () = live.follow() => {}
        () = gateway.envoy.log().ended() => {}
    }
    // Ctrl-C in a terminal goes to Envoy as well: its end may be seen first.
    match tokio::time::timeout(Duration::from_secs(1), asked_to_end()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(format!("Envoy ended by itself:\n{}", gateway.envoy.log().text())),
    }
}

fn deaf(e: io::Error) -> String {
    format!("cannot listen for Ctrl-C: {e}")
}

fn tell(gateway: &Gateway, screen: &Screen) {
    let at = format!("http://{}", gateway.address());
    let admin = format!("http://{}", gateway.envoy.admin());
    let bearer = |token: &str| format!("-H 'Authorization: Bearer {token}'");
    let curl = |path: &str, more: &str| format!("curl -i {at}{path} {more}").trim_end().to_owned();
    let row = |left: &str, right: String| (left.to_owned(), right);
    screen.table(
        "Now your own requests. Ctrl-C ends everything.",
        &[
            row("a good token", curl("/orders", &bearer("good"))),
            row("  in France", curl("/orders", &format!("{} -H 'X-Region: FR'", bearer("good")))),
            row("  in the US", curl("/orders", &format!("{} -H 'X-Region: US'", bearer("good")))),
            row("  spoofed", curl("/orders", &format!("{} -H 'X-User-Id: me'", bearer("good")))),
            row("an expired token", curl("/orders", &bearer("expired"))),
            row("no token", curl("/orders", "")),
            row("a public route", curl("/public/health", "")),
            row("another instance", curl("/partners/orders", &bearer("good"))),
            row("  its error set", curl("/partners/orders", "")),
            row(
                "an API key as well",
                curl("/machines/jobs", &format!("{} -H 'X-Api-Key: demo-key'", bearer("good"))),
            ),
            row("the counters", format!("curl '{admin}/stats?filter=oidc'")),
        ],
    );
    let known = TOKENS.iter().map(|token| (token.text, token.answer));
    let tokens: Vec<_> = known
        .chain([("any other", ANY_OTHER)])
        .map(|(token, answer)| row(token, answer.to_owned()))
        .collect();
    screen.table("Tokens that the provider knows, and what it answers", &tokens);
    screen
        .note("\nYour requests, as they end: status and outcome;source;region, then who saw what.");
}
