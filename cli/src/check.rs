//! `oidc-connector check`: every problem of the filter's configuration and of its surroundings.
//!
//! All files of one call describe one gateway: a listener, its clusters and its routes may be in
//! different files. Each of several bootstraps is a gateway by itself. The check does not guess
//! about missing files, but notes them; nor about files of a kind that it does not know.

mod admin;
mod allowed;
mod applied;
mod attached;
mod backends;
mod beside;
mod bypassed;
mod capabilities;
mod carrier;
mod chain;
mod chosen;
mod cluster;
mod code;
mod codes;
mod covered;
mod duration;
mod environment;
mod envoy;
mod fed;
mod finding;
mod gateway;
mod guard;
mod guarded;
mod headers;
mod idle;
mod instance;
mod istio;
mod jwt;
mod kubernetes;
mod labels;
mod logs;
mod manager;
mod mesh;
mod metadata;
mod names;
mod network;
mod open;
mod other;
mod others;
mod patches;
mod paths;
mod place;
mod policy;
mod pool;
mod provider;
mod report;
mod routes;
mod rules;
mod runtime;
mod scope;
mod search;
mod sockets;
mod taken;
mod tls;
mod tokens;
mod undone;
mod weak;
mod world;
mod writes;

use std::collections::HashSet;
use std::fs;
use std::process::ExitCode;

use allowed::Allowed;
use finding::{Finding, Findings};
pub(crate) use instance::Instance;
use instance::Platform;
use report::Report;
pub(crate) use search::{Kind, world_of};
pub(crate) use world::World;

use crate::input;
use crate::output::{Format, complain, refuse, say};
use crate::tree::{Document, Node};

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0: no findings (notes and allowed ones do not count), 1: an error or a warning, 2: wrong
usage or a file that cannot be read, 3: nothing found, but a file is of no kind that check knows.
docs/check.md lists every code.")]
pub struct Args {
    /// Configuration of the filter, of Envoy, Istio or Envoy Gateway, in JSON or YAML; `-` is
    /// standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Accept findings with this code; `warnings` accepts every warning but `no-instance`
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// What a file is whose content does not show it
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Checks the files.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let allowed = match Allowed::of(&args.allow) {
        Ok(allowed) => allowed,
        Err(wrong) => return refuse(wrong),
    };
    let (mut documents, mut unreadable) = (Vec::new(), Vec::new());
    for file in once(&args.files) {
        match input::read(file).and_then(|read| readable(read, args.kind)) {
            Ok(read) => documents.extend(read),
            Err(wrong) => {
                complain(wrong);
                unreadable.push(file.to_owned());
            }
        }
    }
    let report = judge(&documents, &unreadable, &allowed, args.kind);
    for file in &report.unknown {
        complain(format_args!(
            "{file}: is not a file that check knows: no configuration of the filter or of Envoy \
             and no manifest of a kind that it reads; if it is one of the first two, say so by \
             --kind"
        ));
    }
    say(report.shown(args.format));
    report.code().into()
}

/// What `check` says of one text, and its exit code: in the form for people, and in that for
/// programs.
#[must_use]
pub fn of_text(file: &str, text: &[u8]) -> (u8, String, String) {
    let read = input::of_bytes(file, text).and_then(|read| readable(read, None));
    let (documents, unreadable) = match read {
        Ok(read) => (read, Vec::new()),
        Err(wrong) => (Vec::new(), vec![wrong]),
    };
    let allowed = Allowed::default();
    let report = judge(&documents, &unreadable, &allowed, None);
    (report.code(), report.shown(Format::Text), report.shown(Format::Json))
}

/// Each file once, however often and by whatever name it is given.
fn once(files: &[String]) -> impl Iterator<Item = &str> {
    let mut known = HashSet::new();
    files.iter().map(String::as_str).filter(move |file| {
        let path = fs::canonicalize(file).unwrap_or_else(|_| (*file).into());
        known.insert(path)
    })
}

/// Only the filter's own reader can say what is wrong in JSON that is broken; of other files nobody
/// knows what they were to be.
fn readable(documents: Vec<Document>, kind: Option<Kind>) -> Result<Vec<Document>, String> {
    let broken = documents.iter().find_map(|document| {
        let filters = kind == Some(Kind::Filter) || instance::is_alone(&Node::root(document));
        let text = document.json.as_ref().filter(|_| document.value.is_null() && !filters)?;
        let wrong = serde_json::from_str::<serde_json::Value>(text).err()?;
        Some(format!("{}: is not JSON: {wrong}", document.file))
    });
    broken.map_or(Ok(documents), Err)
}

fn judge<'f>(
    documents: &[Document],
    unreadable: &'f [String],
    allowed: &'f Allowed,
    kind: Option<Kind>,
) -> Report<'f> {
    let (findings, instances, unknown) = find(documents, kind);
    Report { findings, allowed, instances, unreadable, unknown }
}

/// Everything found in the documents, how many instances they have, and which are of no known kind.
fn find(documents: &[Document], kind: Option<Kind>) -> (Vec<Finding>, usize, Vec<String>) {
    let mut findings = Findings::default();
    let mut world = world_of(documents, kind);
    // Of a file of another kind nothing is judged.
    let unknown = |document: &Document| {
        world.unknown.iter().any(|root| std::ptr::eq(root.document, document))
    };
    for document in documents.iter().filter(|document| !unknown(document)) {
        for place in &document.merges {
            let at = Node { place: place.clone(), ..Node::root(document) };
            findings.add(codes::YAML_MERGE_KEY, &at, "a merge key, `<<`");
        }
    }
    if !world.instances.is_empty() {
        for document in documents.iter().filter(|document| !unknown(document)) {
            logs::check(&Node::root(document), &mut findings);
        }
    }
    for instance in &mut world.instances {
        instance.read(&mut findings);
    }
    if world.foreign.len() + world.unknown.len() == documents.len() {
        // Nothing else is there for which they could be the surroundings.
        world.unknown.append(&mut world.foreign);
    }
    let world = world;
    for document in documents {
        kubernetes::check_unread(&Node::root(document), &world, &mut findings);
    }
    for instance in &world.instances {
        policy::check(instance, &mut findings);
        applied::check_placeholders(instance, &mut findings);
        match (instance.platform, &instance.plugin) {
            (_, Some(_)) => policy::check_plugin(instance, &world, &mut findings),
            (Platform::Istio, None) => {
                policy::check_wasm_plugin(instance, &instance.node, &mut findings);
            }
            (Platform::Gateway, None) => policy::check_extension(instance, &world, &mut findings),
            (Platform::Envoy | Platform::Alone, None) => {}
        }
        cluster::check(instance, &world, &mut findings);
        provider::check_code(instance, &world, &mut findings);
        if !world.is_in_a_manager(instance) {
            let found = "no connection manager with this filter is in these files";
            findings.add(codes::SURROUNDINGS_NOT_SEEN, &instance.node, found);
            guard::check_made(instance, &world, &mut findings);
        }
    }
    let managers = 0..world.managers.len();
    let ways = managers.filter_map(|index| manager::check(index, &world, &mut findings));
    let ways: Vec<_> = ways.flatten().collect();
    network::check(&ways, &world, &mut findings);
    others::check(ways, &world, &mut findings);
    patches::check(&world, &mut findings);
    applied::check(&world, &mut findings);
    bypassed::check(&world, &mut findings);
    undone::check(&world, &mut findings);
    let targets = attached::targets(&world);
    attached::check(&targets, &world, &mut findings);
    covered::check(&targets, &world, &mut findings);
    beside::check(&targets, &world, &mut findings);
    guarded::check(&targets, &world, &mut findings);
    place::check(&world, &mut findings);
    for bootstrap in &world.bootstraps {
        manager::check_bootstrap(bootstrap, &world, &mut findings);
    }
    if world.instances.is_empty() && world.misplaced.is_empty() {
        match documents.first() {
            Some(_) if world.managers.is_empty() && !world.clusters.is_empty() => {
                cluster::check_alone(&world, &mut findings);
            }
            Some(first) if world.unknown.len() < documents.len() => {
                let found = "no instance of the filter in any of the files";
                findings.add(codes::NO_INSTANCE, &Node::root(first), found);
            }
            Some(_) | None => {}
        }
    }
    let unknown = world.unknown.iter().map(|root| match root.document.number {
        Some(number) => format!("{}#{number}", root.document.file),
        None => root.document.file.clone(),
    });
    (findings.sorted(), world.instances.len(), unknown.collect())
}
