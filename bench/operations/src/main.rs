//! Counts the WebAssembly instructions that the built module runs for a request: a figure that is
//! the same at every run, and on every machine. Envoy's host calls are stubs here that answer as
//! Envoy does, so only the module's own work is counted.
//!
//! `cargo run --release -- MODULE`, a table; `MODULE ROW`, the functions of that row, of a module with names;
//! `MODULE size`, what the code of a module with names consists of.
//! It is no member of the workspace: it takes minutes to
//! build, and nothing but this needs a WebAssembly engine.

mod host;
#[allow(dead_code, reason = "the benchmark on Envoy uses more of it")]
#[path = "../../gateway/src/input.rs"]
mod input;
mod profile;
mod size;

use host::Guest;
use input::{INJECTED, document, fields, header_block};
use serde_json::{Value, json};
use wasmtime::Result;
use wasmtime::error::Context as _;

/// What one request runs, by callback.
#[derive(Default)]
struct Request {
    created: u64,
    headers: u64,
    response: u64,
    done: u64,
}

impl Request {
    fn all(&self) -> u64 {
        self.created + self.headers + self.response + self.done
    }
}

/// A configuration that injects this many headers.
fn configuration(injected: usize, keys: &Value) -> String {
    let mut configuration = json!({
        "userinfo_endpoint": {"defaultURI": "http://127.0.0.1:10000/userinfo"},
        "clusters": {"127.0.0.1:10000": "provider"},
        "inject_headers": {},
    });
    for (name, path) in INJECTED.iter().take(injected) {
        configuration["inject_headers"][*name] = (*path).into();
    }
    for (key, value) in keys.as_object().into_iter().flatten() {
        configuration[key] = value.clone();
    }
    configuration.to_string()
}

/// One request of this token; answers its call if it makes one.
fn request(guest: &mut Guest, id: u32, token: &str) -> Result<Request> {
    let authorization = format!("Bearer {token}");
    let client = fields(6);
    let mut headers = vec![
        (":authority", "gateway.example"),
        (":path", "/orders/01"),
        (":method", "GET"),
        (":scheme", "http"),
    ];
    headers.extend(client.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    headers.extend([
        ("authorization", authorization.as_str()),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "4f7c1a52-9d0e-4b1f-8a53-0c6f1f6f9a12"),
    ]);
    guest.host().request = header_block(&headers);
    let mut ran = Request {
        created: guest.run("proxy_on_context_create", &[id, 1])?,
        headers: guest.run("proxy_on_request_headers", &[id, 13, 1])?,
        ..Request::default()
    };
    if let Some(call) = guest.host().call.take() {
        let headers = [
            (":status", "200"),
            ("content-type", "application/json"),
            ("content-length", "300"),
            ("date", "Mon, 01 Jan 2029 00:00:00 GMT"),
            ("server", "envoy"),
            ("x-envoy-upstream-service-time", "0"),
        ];
        guest.host().response = header_block(&headers);
        let body = document(300);
        let size = u32::try_from(body.len())?;
        guest.host().body = body.into_bytes();
        ran.response = guest.run("proxy_on_http_call_response", &[1, call, 6, size, 0])?;
    }
    wasmtime::ensure!(guest.host().added > 0, "nothing was injected: the request was refused");
    guest.host().added = 0;
    ran.done = guest.run("proxy_on_done", &[id])?;
    Ok(ran)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().context("usage: operations MODULE [ROW]")?;
    let wanted = arguments.next();
    let bytes = std::fs::read(&path).with_context(|| path.clone())?;
    if wanted.as_deref() == Some("size") {
        println!("| code of | bytes |\n| --- | ---: |");
        for (room, size) in size::by_room(&bytes)?.iter().filter(|(_, size)| *size >= 5_000) {
            println!("| `{room}` | {size} |");
        }
        return Ok(());
    }
    let (bytes, names) =
        if wanted.is_some() { profile::instrumented(&bytes)? } else { (bytes, Vec::new()) };
    let module = host::Module::of(&bytes)?;
    let cache = json!({"cache": {"ttl": "1h"}});
    let mut requiring = cache.clone();
    requiring["require_claims"] =
        json!({"$.tenant": "t-4711", "$.plan": ["gold", "silver"], "$.roles[*]": "buyer"});
    let rows = [
        ("hit, 1 header", 1, cache.clone(), true),
        ("hit, 3 headers", 3, cache.clone(), true),
        ("hit, 10 headers", 10, cache, true),
        ("hit, 1 header, 3 requirements", 1, requiring, true),
        ("call, 1 header", 1, json!({}), false),
        ("call, 3 headers", 3, json!({}), false),
        ("call, 10 headers", 10, json!({}), false),
    ];
    if let Some(wanted) = &wanted {
        let known = rows.iter().any(|(name, ..)| name == wanted);
        let names: Vec<&str> = rows.iter().map(|(name, ..)| *name).collect();
        wasmtime::ensure!(known, "got row `{wanted}`, expected `size` or one of: {}", names.join("; "));
    } else {
        println!("| request | operations | create | headers | response | done |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    }
    let chosen = |name: &&str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    for (name, injected, keys, hit) in rows.into_iter().filter(|(name, ..)| chosen(name)) {
        let Ok(mut guest) = module.start(&configuration(injected, &keys)) else {
            println!("| {name} | the module does not take the configuration | | | | |");
            continue;
        };
        let mut ran = Request::default();
        // The last of many: tables have grown by then.
        for n in 0..200 {
            let token = format!("2YotnFZFEjr1zCsicMWpAA.k5FhXq0v{:08}", if hit { 0 } else { n });
            guest.host().profile.clear();
            ran = request(&mut guest, 10 + n, &token)?;
        }
        if wanted.is_some() {
            return print(&guest.host().profile.most(&names));
        }
        let Request { created, headers, response, done } = ran;
        println!("| {name} | {} | {created} | {headers} | {response} | {done} |", ran.all());
    }
    Ok(())
}

/// A line for each function: what it took by itself, how often it was called, with what it called.
fn print(most: &[(profile::Taken, String)]) -> Result<()> {
    println!(
        "| function | operations | calls | with what it calls |\n| --- | ---: | ---: | ---: |"
    );
    for (profile::Taken { own, times, all }, name) in
        most.iter().filter(|(taken, _)| taken.own >= 50)
    {
        println!("| `{:#}` | {own} | {times} | {all} |", rustc_demangle::demangle(name));
    }
    Ok(())
}
