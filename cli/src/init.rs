//! `oidc-connector init`: a provider's discovery document becomes a configuration that protects one API
//! behind one provider: for Envoy, Istio or Envoy Gateway.
//!
//! What is written is safe as it lies: `check` finds nothing in it. Nothing is guessed that decides who
//! passes: what the document does not say is a problem with its remedy, and existing files are never
//! overwritten.

mod discovery;
mod fetch;
mod host;
mod made;
mod members;
mod next;
mod options;
mod platform;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use oidc_token_connector::policy;
use serde_json::{Map, Value as Json, json};

use crate::bootstrap::clusters::{self, Cluster};
use crate::bootstrap::{SYSTEM_CA, pretty, write_new};
use crate::{check, input};
use discovery::{Discovered, Method};
use made::Made;
use options::VARIABLE;
pub use options::{File, Options, Platform};
use platform::{Backend, Image};

/// The arguments of `init`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(after_help = "\
Exit code: 0: written, 1: no safe configuration follows from the discovery document, 2: wrong usage, or
a document that cannot be read, or files that cannot be written.")]
pub struct Args {
    /// The provider's issuer, as in `iss` of its tokens: its discovery document is fetched by HTTPS
    #[arg(long, value_name = "URL", required_unless_present = "discovery")]
    pub issuer: Option<String>,
    /// The discovery document as a file, where there is no network; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub discovery: Option<PathBuf>,
    /// The directory to write into
    #[arg(long, value_name = "DIR")]
    pub output: PathBuf,
    /// What to write, and with which values
    #[command(flatten)]
    pub options: Options,
}

/// Writes the files. Returns the exit code: 0 written, 1 the document allows no safe configuration, 2
/// wrong usage, or a file or document that cannot be read or written.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut complain = |problems: &[String]| {
        for problem in problems {
            say(err, &format!("oidc-connector: {problem}"));
        }
    };
    let usage = usage(&args.options);
    if !usage.is_empty() {
        complain(&usage);
        return 2;
    }
    let document = match document(args) {
        Ok(document) => document,
        Err(why) => {
            complain(&[why]);
            return 2;
        }
    };
    let options = with_absolute_paths(&args.options);
    let files = match files(&document, args.issuer.as_deref(), &options) {
        Ok(files) => files,
        Err(problems) => {
            complain(&problems);
            return 1;
        }
    };
    let texts: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    if let Err(why) = write_new(&args.output, &texts) {
        complain(&[why]);
        return 2;
    }
    for (name, text) in &files {
        say(out, &args.output.join(name).display().to_string());
        for note in next::notes(text) {
            say(err, &format!("oidc-connector: note: {note}"));
        }
    }
    say(out, &format!("Read {} next.", args.output.join(next::NAME).display()));
    0
}

/// The files for a discovery document.
///
/// # Errors
///
/// Every reason why there is no safe configuration, with its remedy.
pub fn files(
    document: &str,
    issuer: Option<&str>,
    options: &Options,
) -> Result<Vec<File>, Vec<String>> {
    let discovered = discovery::read(document, issuer, options)?;
    let (config, cluster) = configuration(&discovered, options)?;
    let made = Made {
        discovered: &discovered,
        config: &config,
        cluster: &cluster,
        ca: ca(options),
        options,
    };
    let manifest = platform::file(&made)?;
    let found = found(&manifest, options);
    if !found.is_empty() {
        return Err(found);
    }
    let next = (next::NAME.to_owned(), next::page(&made, &manifest.0));
    Ok(vec![manifest, next])
}

/// What `check` finds in a file that is to be written, but for what was asked for.
fn found((name, text): &File, options: &Options) -> Vec<String> {
    let (code, _, report) = check::of_text(name, text.as_bytes());
    let report: Json = serde_json::from_str(&report).unwrap_or_default();
    let findings = report.get("findings").and_then(Json::as_array);
    let text = |finding: &Json, key: &str| {
        finding.get(key).and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    let asked_for = |finding: &Json| {
        options.allow_http && text(finding, "code") == "endpoint-in-clear"
            || text(finding, "severity") == "note"
    };
    match findings {
        Some(findings) if !findings.is_empty() => findings
            .iter()
            .filter(|finding| !asked_for(finding))
            .map(|finding| {
                let [code, found, remedy] =
                    ["code", "found", "remedy"].map(|key| text(finding, key));
                format!("{name} would not pass `oidc-connector check`: {code}: {found}; {remedy}")
            })
            .collect(),
        Some(_) | None if code == 0 => Vec::new(),
        Some(_) | None => {
            vec![format!("{name} would not pass `oidc-connector check`; report this as a fault")]
        }
    }
}

/// The file with the authorities that vouch for the provider.
fn ca(options: &Options) -> &str {
    options.ca.as_deref().or(fetch::system_ca()).unwrap_or(SYSTEM_CA)
}

/// Envoy may be started in another directory. With Istio the file is one of the gateway's pod.
fn with_absolute_paths(options: &Options) -> Options {
    let absolute = |path: &String| {
        let path_here = std::path::absolute(path).ok().and_then(|p| p.to_str().map(str::to_owned));
        path_here.unwrap_or_else(|| path.clone())
    };
    let mut options = options.clone();
    options.module = options.module.as_ref().map(absolute);
    if options.platform != Platform::Istio {
        options.ca = options.ca.as_ref().map(absolute);
    }
    options
}

/// Options that do not go together, or are not what they should be.
fn usage(options: &Options) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_envoy = options.platform == Platform::Envoy;
    let mut only = |given: bool, option: &str, for_envoy: bool| {
        if given && for_envoy != is_envoy {
            let expected = if for_envoy { "it only with" } else { "it not with" };
            wrong.push(format!("got {option}, expected {expected} --platform envoy: leave it out"));
        }
    };
    only(options.backend.is_some(), "--backend", true);
    only(options.module.is_some(), "--module", true);
    only(options.allow_http, "--allow-http", true);
    only(options.image.is_some(), "--image", false);
    only(options.namespace.is_some(), "--namespace", false);
    only(options.gateway.is_some(), "--gateway", false);
    if !is_envoy {
        wrong.extend(Image::of(options.image.as_deref()).err());
        for (option, name) in [("--namespace", &options.namespace), ("--gateway", &options.gateway)]
        {
            wrong.extend(name.iter().filter_map(|name| platform::wrong_name(option, name)));
        }
    }
    wrong.extend(options.backend.as_deref().and_then(|backend| Backend::of(backend).err()));
    wrong.extend(options.module.as_deref().and_then(wrong_module));
    wrong.extend(options.ca.as_deref().and_then(|ca| wrong_ca(ca, options.platform)));
    wrong
}

fn wrong_module(module: &str) -> Option<String> {
    let expected = "expected the path of oidc_token_connector.wasm; correct it";
    if module.is_empty() || module.contains(char::is_control) {
        return Some(format!("--module: got {module:?}, {expected}"));
    }
    Path::new(module).is_dir().then(|| format!("--module: got the directory {module}, {expected}"))
}

fn wrong_ca(ca: &str, platform: Platform) -> Option<String> {
    if ca.is_empty() || ca.contains(char::is_control) {
        return Some(format!("--ca: got {ca:?}, expected the path of a PEM file; correct it"));
    }
    match platform {
        // The file is one of the gateway's pod, and need not be here.
        Platform::Istio if ca.starts_with('/') => None,
        Platform::Istio => Some(format!(
            "--ca: got {ca:?}, expected a path from / on; give the file's path in the gateway's pod"
        )),
        Platform::Envoy | Platform::EnvoyGateway => {
            fetch::certificates(ca).err().map(|wrong| format!("--ca: {wrong}"))
        }
    }
}

/// The discovery document's text.
fn document(args: &Args) -> Result<String, String> {
    let Some(file) = &args.discovery else {
        let issuer = args.issuer.as_deref().unwrap_or_default();
        return discovery::wrong_issuer(issuer, &args.options)
            .map_or_else(|| fetch::document(issuer, args.options.ca.as_deref()), Err);
    };
    let bytes = input::bytes(file)?;
    fetch::text(bytes).map_err(|why| format!("{}: {why}", file.display()))
}

/// The filter's configuration, as its own reader accepts it, and the cluster that it calls.
fn configuration(
    discovered: &Discovered,
    options: &Options,
) -> Result<(Map<String, Json>, Cluster), Vec<String>> {
    let Discovered { endpoint, method, .. } = discovered;
    let key = method.key();
    let mut config = Map::from_iter([(key.to_owned(), json!({"defaultURI": endpoint}))]);
    let client = match method {
        Method::UserInfo => None,
        Method::Introspection { client_id, auth_method } => {
            let mut client = Map::from_iter([
                ("client_id".to_owned(), json!(client_id)),
                ("client_secret_env".to_owned(), json!(VARIABLE)),
            ]);
            if *auth_method != discovery::BASIC {
                client.insert("auth_method".to_owned(), json!(auth_method));
            }
            Some(("introspection_client".to_owned(), Json::Object(client)))
        }
    };
    config.extend(client.clone());
    let found = clusters::of(&read(&config, key)?).unwrap_or_default();
    let Some(cluster) = found.into_iter().next() else {
        return Err(vec![format!("{key}: got no endpoint, expected one; give another document")]);
    };
    let cluster = platform::cluster(cluster, options)?;

    let mut config = Map::from_iter([(key.to_owned(), json!({"defaultURI": endpoint}))]);
    let mut set = |key: &str, value: Json| config.insert(key.to_owned(), value);
    set("clusters", json!({cluster.authority.clone(): cluster.name.clone()}));
    if let Some((key, client)) = client {
        set(&key, client);
    }
    set("timeout", json!("2s"));
    set(
        "cache",
        match options.platform {
            // A WasmPlugin cannot have a vm_id: other plugins would read and write what is shared.
            Platform::Istio => json!({"ttl": "60s", "negative_ttl": "5s"}),
            Platform::Envoy | Platform::EnvoyGateway => {
                json!({"ttl": "60s", "negative_ttl": "5s", "shared": true})
            }
        },
    );
    if *method == Method::UserInfo {
        set("require_subject", json!(true));
    }
    if !options.audience.is_empty() {
        set("require_audience", json!(options.audience));
    }
    set("inject_headers", Json::Object(discovered.headers()));
    set("userinfo_unavailable", json!({"status": 503, "retry_after": "5s"}));
    set("provider_errors", json!("map"));
    if options.platform == Platform::Istio {
        // A WasmPlugin comes before Istio's CORS filter, and a browser sends no token with a preflight.
        set("preflight", json!("pass"));
    }
    // The guard behind the filter needs it.
    set("access_log_state", json!(true));

    read(&config, key)?;
    Ok((config, cluster))
}

/// Has the filter's own reader read the configuration. Its problems are about what was given.
fn read(config: &Map<String, Json>, key: &str) -> Result<policy::Policy, Vec<String>> {
    let loaded = policy::read(pretty(config).as_bytes());
    let said = |problem: policy::Problem| {
        let option = match problem.path.as_str() {
            path if path.starts_with(key) => key,
            path if path.starts_with("require_audience") => "--audience",
            path if path.starts_with("introspection_client") => "--client-id",
            path => path,
        };
        format!("{option}: {}; correct what was given", problem.message)
    };
    let loaded = loaded.map_err(|problems| problems.into_iter().map(said).collect::<Vec<_>>())?;
    Ok(loaded.policy)
}

/// A closed output pipe does not change the exit code.
fn say(to: &mut dyn Write, text: &str) {
    let _: io::Result<()> = writeln!(to, "{text}");
}
