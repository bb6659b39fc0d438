//! Prepares what the tests need before they start: `fetch envoy`, `fetch provider`. A missing tool
//! is reported once, with the remedy.

use std::process::ExitCode;

use integration::{DjangoProvider, McpServer, OpenIdProvider, envoy_binary};

fn main() -> ExitCode {
    let ended = match std::env::args().nth(1).as_deref() {
        Some("envoy") => envoy_binary().map(drop),
        Some("provider") => OpenIdProvider::install()
            .and_then(|()| DjangoProvider::install())
            .and_then(|()| McpServer::install()),
        _ => Err("usage: fetch envoy|provider".to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\n{why}");
            ExitCode::FAILURE
        }
    }
}
