//! `cargo xtask demo`: walks through real requests on a real Envoy with the reference
//! configuration, and shows each one from all four sides: client, provider, backend, answer.
//!
//! Nothing shown is written down beforehand: every line says what happened, and is then compared
//! with what should have. A step that did not behave makes the exit code 1.

mod compare;
mod scene;
mod serve;
mod show;

use std::process::ExitCode;

use integration::{Gateway, Listener, Setup, tokens};

use scene::SCENES;
use serve::Ports;
use show::Screen;

const USAGE: &str = "Usage: demo [--serve]\n\n  --serve    keep serving afterwards, until Ctrl-C";

#[tokio::main]
async fn main() -> ExitCode {
    let serve = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [serve] if serve == "--serve" => true,
        other => {
            eprintln!("demo: unexpected {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\ndemo: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: bool) -> Result<(), String> {
    let screen = Screen::of_stdout();
    let ports = if serve { Some(Ports::reserve()?) } else { None };
    let gateway = start(ports).await?;
    walk(&gateway, &screen).await?;
    match ports {
        Some(_) => serve::until_interrupted(&gateway, &screen).await,
        None => {
            screen.note("`cargo xtask demo --serve` keeps serving, for your own requests.");
            Ok(())
        }
    }
}

/// Envoy with the reference configuration, a provider that knows the demo's tokens, and a backend.
async fn start(ports: Option<Ports>) -> Result<Gateway, String> {
    show::progress("starting the provider, the backend and Envoy with envoy/envoy.yaml");
    let mut setup = Setup::new();
    let mut listener = Listener::reference();
    if let Some(Ports { gateway, admin }) = ports {
        listener = listener.port(gateway);
        setup = setup.edit(move |bootstrap| {
            bootstrap["admin"]["address"]["socket_address"]["port_value"] = admin.into();
        });
    }
    let running = setup.listener(listener).try_start().await.map_err(|e| e.to_string())?;
    let gateway = running.gateway("gateway");
    tokens::teach(&gateway.provider);
    show::progress(&format!("ready: Envoy listens on http://{}", gateway.address()));
    Ok(gateway)
}

/// Plays every scene, to the end even if one fails.
async fn walk(gateway: &Gateway, screen: &Screen) -> Result<(), String> {
    let mut failed = Vec::new();
    for (index, scene) in SCENES.iter().enumerate() {
        let seen = scene.play(gateway).await?;
        let differences = compare::differences(&scene.expected(), &seen);
        let number = format!("{}/{}", index + 1, SCENES.len());
        screen.scene(&number, scene, gateway.address(), &seen, &differences);
        if !differences.is_empty() {
            failed.push(format!("{number} ({})", scene.title));
        }
    }
    if failed.is_empty() {
        screen.done(&format!("All {} steps behaved as described.", SCENES.len()));
        return Ok(());
    }
    let log = gateway.envoy.log().lines();
    let last = log[log.len().saturating_sub(20)..].join("\n");
    Err(format!(
        "these steps did not behave as described: {}\n\nThe last lines of Envoy's log:\n{last}",
        failed.join(", ")
    ))
}
