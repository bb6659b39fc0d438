//! Draws `deploy/grafana/dashboard.json` with real figures, for the documentation: the reference
//! configuration on a real Envoy under light load, with one region's provider down for a while; Prometheus
//! scrapes it and answers the dashboard's own expressions. The picture is not Grafana's, but every curve is
//! what Grafana would get.

mod draw;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use integration::{Gateway, Prometheus, Provider, Reply, Request, pass, root};
use serde_json::{Value, json};

use draw::{Curve, Panel};

/// How long the load lasts. France is down in the middle third.
const LOAD: Duration = Duration::from_secs(90);
/// Requests a second.
const RATE: u32 = 60;
/// What the dashboard's variables are here. The interval is a few scrapes.
const VARIABLES: [(&str, &str); 2] = [("$__rate_interval", "8s"), ("$job", "envoy")];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file] = arguments.as_slice() else {
        eprintln!(
            "Usage: dashboard FILE   draw the dashboard under load as an SVG, in two minutes"
        );
        return ExitCode::from(2);
    };
    match run(Path::new(file)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("dashboard: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(file: &Path) -> Result<(), String> {
    let gateway = Gateway::reference().await;
    let prometheus = Prometheus::scraping("envoy", gateway.envoy.admin()).await?;
    eprintln!("==> load for {} s", LOAD.as_secs());
    load(&gateway).await;
    let end = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs();
    let source = root().join("deploy/grafana/dashboard.json");
    let text = fs::read_to_string(&source).map_err(|e| format!("{}: {e}", source.display()))?;
    let dashboard: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let mut panels = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let mut curves = Vec::new();
        for target in panel["targets"].as_array().into_iter().flatten() {
            curves.extend(ask(&prometheus, target, end).await?);
        }
        panels.push(Panel::of(panel, curves));
    }
    let empty: Vec<&str> =
        panels.iter().filter(|panel| panel.is_empty()).map(|panel| panel.title.as_str()).collect();
    eprintln!("==> {} panels, without data: {empty:?}", panels.len());
    fs::write(file, draw::svg(&panels, LOAD)).map_err(|e| format!("{}: {e}", file.display()))
}

/// Many users, most of them again and again, some with tokens that are refused, some without one.
async fn load(gateway: &Gateway) {
    let down = Arc::new(AtomicBool::new(false));
    let france_is_down = Arc::clone(&down);
    gateway.provider.answer_with(move |call| {
        let token = call.token().unwrap_or_default();
        let in_france = call.headers.get("host").is_some_and(|host| host.starts_with("fr."));
        Some(if in_france && france_is_down.load(Ordering::Relaxed) {
            Reply::reset()
        } else if token.starts_with("old") {
            Provider::expired()
        } else {
            let time =
                5 + token.len() as u64 * 7 % 30 + token.bytes().map(u64::from).sum::<u64>() % 40;
            Provider::good().after(Duration::from_millis(time))
        })
    });
    let mut clock = tokio::time::interval(Duration::from_secs(1) / RATE);
    let all = u64::from(RATE) * LOAD.as_secs();
    for number in 0..all {
        clock.tick().await;
        down.store((all / 3..all * 2 / 3).contains(&number), Ordering::Relaxed);
        let request = gateway.get("/orders");
        // A few users make most of the requests.
        let user = (number * number * 7919) % 400;
        let token = if user < 40 { format!("user-{}", user % 9) } else { format!("user-{user}") };
        let request = match number % 23 {
            0 => request,
            1 => request.bearer(&format!("old-{user}")),
            _ => request.bearer(&token),
        };
        let request = match number % 5 {
            0 | 1 => request.header("x-region", "FR"),
            2 => request.header("x-region", "US"),
            _ => request,
        };
        // What comes of it is what the picture shows.
        tokio::spawn(async move { request.try_send().await });
    }
    // The last requests are counted and scraped.
    pass(Duration::from_secs(3)).await;
}

/// The curves of a target.
async fn ask(prometheus: &Prometheus, target: &Value, end: u64) -> Result<Vec<Curve>, String> {
    let mut expression = target["expr"].as_str().unwrap_or_default().to_owned();
    for (variable, value) in VARIABLES {
        expression = expression.replace(variable, value);
    }
    let begin = end.saturating_sub(LOAD.as_secs());
    let encoded =
        percent_encoding::utf8_percent_encode(&expression, percent_encoding::NON_ALPHANUMERIC);
    let path = format!("/api/v1/query_range?query={encoded}&start={begin}&end={end}&step=1");
    let answer = Request::new(prometheus.address(), "GET", &path).send().await;
    let answer: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    if answer["status"] != json!("success") {
        return Err(format!("{expression}: {answer}"));
    }
    let legend = target["legendFormat"].as_str().unwrap_or_default();
    let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    Ok(series.iter().map(|series| Curve::of(series, legend, begin)).collect())
}
