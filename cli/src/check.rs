//! `oidc-connector check`: every problem of the filter's configuration and of its surroundings.
//!
//! All files of one call describe one gateway: a listener, its clusters and its routes may be in
//! different files. Each of several bootstraps is a gateway by itself. The check does not guess
//! about missing files, but notes them.

mod allowed;
mod carrier;
mod chain;
mod cluster;
mod codes;
mod duration;
mod environment;
mod envoy;
mod finding;
mod gateway;
mod guard;
mod headers;
mod idle;
mod instance;
mod istio;
mod kubernetes;
mod labels;
mod manager;
mod metadata;
mod names;
mod others;
mod patches;
mod paths;
mod place;
mod policy;
mod pool;
mod provider;
mod report;
mod routes;
mod scope;
mod search;
mod tls;
mod tokens;
mod world;

use std::process::ExitCode;

use allowed::Allowed;
use finding::{Finding, Findings};
pub(crate) use instance::Instance;
use instance::Platform;
use report::Report;
pub(crate) use search::world_of;
pub(crate) use world::World;

use crate::input;
use crate::output::{Format, complain, refuse};
use crate::tree::{Document, Node};

/// The arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0: no findings (notes and allowed ones do not count), 1: an error or a warning, 2: wrong
usage or a file that cannot be read. docs/check.md lists every code.")]
pub(crate) struct Args {
    /// Configuration of the filter, of Envoy, Istio or Envoy Gateway, in JSON or YAML; `-` is
    /// standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Accept findings with this code; `warnings` accepts every warning
    #[arg(long, value_name = "CODE")]
    allow: Vec<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Checks the files.
pub(crate) fn run(args: &Args) -> ExitCode {
    let allowed = match Allowed::of(&args.allow) {
        Ok(allowed) => allowed,
        Err(wrong) => return refuse(wrong),
    };
    let mut documents = Vec::new();
    let mut unreadable = Vec::new();
    for file in &args.files {
        match input::read(file) {
            Ok(read) => documents.extend(read),
            Err(wrong) => {
                complain(wrong);
                unreadable.push(file.as_str());
            }
        }
    }
    let (findings, instances) = find(&documents);
    let report =
        Report { findings: &findings, allowed: &allowed, instances, unreadable: &unreadable };
    report.print(args.format);
    match (unreadable.is_empty(), report.has_findings()) {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    }
}

/// Everything found in the documents, and how many instances they have.
fn find(documents: &[Document]) -> (Vec<Finding>, usize) {
    let mut findings = Findings::default();
    for document in documents {
        for place in &document.merges {
            let at = Node { place: place.clone(), ..Node::root(document) };
            findings.add(codes::YAML_MERGE_KEY, &at, "a merge key, `<<`");
        }
    }
    let mut world = world_of(documents);
    for instance in &mut world.instances {
        instance.read(&mut findings);
    }
    let world = world;
    for instance in &world.instances {
        policy::check(instance, &mut findings);
        match (instance.platform, &instance.plugin) {
            (_, Some(_)) => policy::check_plugin(instance, &world, &mut findings),
            (Platform::Istio, None) => {
                policy::check_wasm_plugin(instance, &instance.node, &mut findings);
            }
            (Platform::Gateway, None) => policy::check_extension(instance, &mut findings),
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
    let ways = ways.flatten().collect();
    others::check(ways, &world, &mut findings);
    patches::check(&world, &mut findings);
    place::check(&world, &mut findings);
    for bootstrap in &world.bootstraps {
        manager::check_bootstrap(bootstrap, &world, &mut findings);
    }
    if world.instances.is_empty() && world.misplaced.is_empty() {
        match documents.first() {
            Some(_) if world.managers.is_empty() && !world.clusters.is_empty() => {
                cluster::check_alone(&world, &mut findings);
            }
            Some(first) => {
                let found = "no instance of the filter in any of the files";
                findings.add(codes::NO_INSTANCE, &Node::root(first), found);
            }
            None => {}
        }
    }
    (findings.sorted(), world.instances.len())
}
