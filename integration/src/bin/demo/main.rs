//! `cargo xtask demo`: walks through real requests on a real Envoy with the reference
//! configuration, and shows each one from all four sides: client, provider, backend, answer.
//!
//! Nothing shown is written down beforehand: every line says what happened, and is then compared
//! with what should have. A step that did not behave makes the exit code 1.

mod compare;
mod live;
mod record;
mod scene;
mod serve;
mod show;

use std::net::SocketAddr;
use std::process::ExitCode;

use integration::{Gateway, Listener, Setup, tokens};

use scene::SCENES;
use serve::{Ports, SERVED_AT};
use show::Screen;

const USAGE: &str = "\
Usage: demo [--serve | --record FILE]

  --serve         keep serving afterwards, until Ctrl-C
  --record FILE   draw the walk as an SVG that plays";

/// What follows the walk.
enum Then {
    End,
    Serve,
    /// The walk becomes a picture in this file.
    Draw(String),
}

#[tokio::main]
async fn main() -> ExitCode {
    let then = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => Then::End,
        [serve] if serve == "--serve" => Then::Serve,
        [record, file] if record == "--record" => Then::Draw(file.clone()),
        other => {
            eprintln!("demo: unexpected {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(then).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\ndemo: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(then: Then) -> Result<(), String> {
    let screen = match then {
        Then::End | Then::Serve => Screen::of_stdout(),
        Then::Draw(_) => Screen::recording(),
    };
    // A picture has the documented ports.
    let ports = if matches!(then, Then::End) { None } else { Some(Ports::reserve()?) };
    let gateway = start(ports).await?;
    // The walk alone takes any port, and ends with it: no command with that port may be left on the screen.
    let shown = ports.map_or(SERVED_AT, |_| gateway.address());
    walk(&gateway, shown, &screen).await?;
    match then {
        Then::Serve => serve::until_interrupted(&gateway, &screen).await,
        Then::Draw(file) => {
            let picture = record::svg(&screen.recorded());
            std::fs::write(&file, picture).map_err(|e| format!("{file}: {e}"))
        }
        Then::End => {
            screen.note(
                "Envoy has ended with the walk. `cargo xtask demo --serve` keeps serving on port 10000: the \
                 commands above work then.",
            );
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
    show::progress("ready");
    Ok(gateway)
}

/// Plays every scene, to the end even if one fails.
async fn walk(gateway: &Gateway, shown: SocketAddr, screen: &Screen) -> Result<(), String> {
    let mut failed = Vec::new();
    for (index, scene) in SCENES.iter().enumerate() {
        let seen = scene.play(gateway).await?;
        let differences = compare::differences(&scene.expected(), &seen);
        let number = format!("{}/{}", index + 1, SCENES.len());
        screen.scene(&number, scene, shown, &seen, &differences);
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
