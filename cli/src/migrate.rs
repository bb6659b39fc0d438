//! `oidc-connector migrate`: the source system's text becomes a filter configuration, the clusters
//! that it needs, and a report of every difference.
//!
//! The result has the meaning of the text, or there is none: the filter's own reader reads it back,
//! every part that cannot be converted is reported with its line, and existing files are never
//! overwritten.

mod advice;
mod cleaned;
mod cursor;
mod encoding;
mod leniency;
mod report;
mod settings;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use oidc_token_connector::config::MAX_CONFIG_BYTES;
use oidc_token_connector::policy::{self, Policy};
use serde_json::{Map, Value as Json};

use crate::bootstrap::clusters::{self, Cluster, NOWHERE, Proxy};
use crate::bootstrap::{Bootstrap, MODULE, SYSTEM_CA, pretty, write_new};
use crate::input;
use advice::Subject;
use leniency::Leniency;
use report::Report;
use settings::{Finding, Settings, Weight};

/// The arguments of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0: all that the text says is in the result and works, 1: something is not, or every request
would be refused; the report says what and why, 2: wrong usage, or a file that cannot be read or
written.")]
pub struct Args {
    /// The source system's text ("Data to make available for pre-processing"); `-` is standard
    /// input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write filter.json, clusters.yaml, envoy.yaml and report.md into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Values that the text cannot contain.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// IP address of the forward proxy that the text names: Envoy does not resolve a name there
    #[arg(long, value_name = "IP")]
    pub proxy_address: Option<IpAddr>,
    /// Refuse a 200 without `sub`, as OpenID Connect requires it: the source system takes any 200
    #[arg(long)]
    pub require_subject: bool,
}

/// The result of a migration.
#[derive(Debug)]
pub struct Migration {
    /// `None` if the text must be corrected first.
    pub result: Option<Migrated>,
    /// The report, as Markdown.
    pub report: String,
    /// Whether the result is complete, and no request will be refused because of it.
    pub whole: bool,
    /// Why requests will be refused, and what to do.
    pub refusing: Vec<String>,
}

/// The result of a migration.
#[derive(Debug)]
pub struct Migrated {
    /// The filter's configuration, as JSON text.
    pub filter: String,
    /// The clusters, as a YAML list.
    pub clusters: String,
    /// Both in an Envoy configuration that loads, as YAML.
    pub envoy: String,
}

/// Migrates a file. Returns the exit code: 0 all that the text says is in the result and works, 1
/// something is not or does not, 2 wrong usage, or a file that cannot be read or written.
pub fn run(args: &Args, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let text = match content(&args.file) {
        Ok(text) => text,
        Err(why) => {
            say(err, &format!("oidc-connector: {why}"));
            return 2;
        }
    };
    let migration = migrate(&text, &args.options);
    let written = match (&args.out, &migration.result) {
        (Some(dir), result) => {
            say(err, &summary(&migration, &dir.join(REPORT)));
            for refusing in &migration.refusing {
                say(err, &format!("oidc-connector: {refusing}"));
            }
            write_all(dir, result.as_ref(), &migration.report)
        }
        (None, result) => {
            say(err, migration.report.trim_end());
            if let Some(migrated) = result {
                say(out, migrated.envoy.trim_end());
            }
            Ok(())
        }
    };
    match written {
        Err(why) => {
            say(err, &format!("oidc-connector: {why}"));
            2
        }
        Ok(()) => u8::from(!migration.whole),
    }
}

/// Migrates a text.
#[must_use]
pub fn migrate(text: &str, options: &Options) -> Migration {
    let cleaned = cleaned::clean(text);
    let reading = text::read(&cleaned.text);
    let settings = Settings::of(&reading.members);
    let mut lenient = reading.lenient;
    lenient.extend(cleaned.lenient);
    if !settings.alone.is_empty() {
        lenient.insert(Leniency::Alone, settings.alone.iter().copied().collect());
    }
    let unreadable = reading.unreadable.iter().map(|(line, what, remedy)| Finding {
        line: Some(*line),
        what: (*what).to_owned(),
        remedy: (*remedy).to_owned(),
        weight: Weight::Mend,
    });
    let unreadable = comments(&cleaned.comments).into_iter().chain(unreadable);
    let mut findings: Vec<Finding> = unreadable.chain(settings.findings.iter().cloned()).collect();
    // Every problem at once; but what follows from an unreadable value is none of its own.
    let certain = findings.iter().all(|finding| finding.weight != Weight::Mend);
    let mut built = match build(&settings, options) {
        Ok(built) => Some(built),
        Err(more) => {
            findings.extend(more.into_iter().filter(|finding| certain || !may_follow(finding)));
            None
        }
    };
    let proxy = built.as_ref().and_then(|b| Proxy::of(&b.policy, options.proxy_address));
    if !certain {
        built = None;
    }
    findings.extend(built.iter().flat_map(|built| &built.faults).cloned());
    let proxy_line = settings.line_of("http_proxy_server");
    findings.extend(
        proxy
            .iter()
            .filter_map(unknown_address)
            .map(|finding| Finding { line: proxy_line, ..finding }),
    );
    findings.sort_by_key(|finding| finding.line);

    let subject = built.as_ref().map(|built| Subject {
        config: &built.config,
        policy: &built.policy,
        clusters: &built.clusters,
        proxy: proxy.as_ref(),
    });
    let report = Report {
        rows: &settings.rows,
        findings: &findings,
        lenient: &lenient,
        clusters: built.as_ref().map(|built| built.clusters.as_slice()).unwrap_or_default(),
        proxy: proxy.as_ref(),
        differences: subject.as_ref().map(advice::differences).unwrap_or_default(),
        decisions: subject.as_ref().map(advice::decisions).unwrap_or_default(),
        beyond: subject.as_ref().map(|_| advice::beyond()).unwrap_or_default(),
    };
    Migration {
        report: report.markdown(),
        whole: findings.is_empty(),
        refusing: findings
            .iter()
            .filter(|finding| finding.weight == Weight::Refusing)
            .map(|finding| format!("{}; {}", finding.what, finding.remedy))
            .collect(),
        result: built.as_ref().map(|built| built.migrated(proxy.as_ref())),
    }
}

/// Whether a problem may be there only because another value could not be read: it is about what is
/// absent.
fn may_follow(finding: &Finding) -> bool {
    const ABSENT: [&str; 3] = [" without ", "unknown region", "got no key"];
    ABSENT.iter().any(|words| finding.what.contains(words))
}

/// The finding about comments: one for all lines.
fn comments(lines: &BTreeSet<usize>) -> Option<Finding> {
    let shown: Vec<String> = lines.iter().map(usize::to_string).collect();
    let (s, have) = if lines.len() == 1 { ("", "has") } else { ("s", "have") };
    (!lines.is_empty()).then(|| Finding {
        line: None,
        what: format!(
            "line{s} {} {have} a comment (`# …` or `// …`), which the source system reads as a part of \
             the value",
            shown.join(", ")
        ),
        remedy: "remove the comments and run this again".to_owned(),
        weight: Weight::Mend,
    })
}

/// The finding about a proxy without an address, for the line that names the proxy.
fn unknown_address(proxy: &Proxy) -> Option<Finding> {
    proxy.address.is_none().then(|| Finding {
        line: None,
        what: format!(
            "The proxy's IP address is unknown, and Envoy does not resolve a name there. The \
             placeholder {NOWHERE} is unreachable, so every request would be refused"
        ),
        remedy: format!(
            "run this again with `--proxy-address` and the address of {}, or replace the \
             placeholder",
            proxy.server
        ),
        weight: Weight::Refusing,
    })
}

/// A configuration with its clusters, as the filter reads it.
struct Built {
    config: Map<String, Json>,
    policy: Policy,
    clusters: Vec<Cluster>,
    /// Problems that the filter answers per request instead of refusing to load.
    faults: Vec<Finding>,
}

fn build(settings: &Settings, options: &Options) -> Result<Built, Vec<Finding>> {
    let mend = |what: String, line| Finding {
        line,
        what,
        remedy: "correct the text and run this again".to_owned(),
        weight: Weight::Mend,
    };
    let finding =
        |problem: policy::Problem| mend(problem.to_string(), settings.line_of(&problem.path));
    let read = |config: &Map<String, Json>| {
        let loaded = policy::read(pretty(config).as_bytes());
        loaded.map_err(|problems| problems.into_iter().map(finding).collect::<Vec<_>>())
    };
    if settings.config.is_empty() {
        let what = "got no key of the source system in the text".to_owned();
        return Err(vec![mend(what, None)]);
    }
    let clusters = clusters::of(&read(&settings.config)?.policy).map_err(|authority| {
        let what = format!(
            "{authority} is called both with http:// and with https://, but a cluster supports \
             only one of them. Write the port into one of the URIs, `{authority}:80` or \
             `{authority}:443`"
        );
        vec![mend(what, settings.line_of("userinfo_endpoint"))]
    })?;
    let mut config = settings.config.clone();
    if !clusters.is_empty() {
        let name = |cluster: &Cluster| (cluster.authority.clone(), cluster.name.clone().into());
        config.insert("clusters".to_owned(), Json::Object(clusters.iter().map(name).collect()));
    }
    if options.require_subject {
        config.insert("require_subject".to_owned(), Json::Bool(true));
    }
    // The guard behind the filter needs it.
    config.insert("access_log_state".to_owned(), Json::Bool(true));
    let policy::Loaded { policy, faults } = read(&config)?;
    let faults = faults.into_iter().map(|problem| Finding {
        weight: Weight::Refusing,
        remedy: "the source system behaves the same; add it, and run this again".to_owned(),
        ..finding(problem)
    });
    let faults = faults.collect();
    Ok(Built { config, policy, clusters, faults })
}

impl Built {
    fn migrated(&self, proxy: Option<&Proxy>) -> Migrated {
        let filter = pretty(&self.config);
        let clusters = clusters::yaml(&self.clusters, proxy, SYSTEM_CA);
        let bootstrap = Bootstrap {
            about: ABOUT,
            filter: &filter,
            variable: None,
            module: MODULE,
            backend: None,
            clusters: &clusters,
        };
        let envoy = bootstrap.yaml();
        Migrated { filter, clusters, envoy }
    }
}

/// The first lines of the Envoy configuration.
const ABOUT: &str = "\
# Envoy 1.40 with oidc-token-connector, made by `oidc-connector migrate` from the source system's
# text. It loads unchanged if the module and the trusted CA are at the paths in it; PUT IN marks
# values that the text does not have. envoy/envoy.yaml explains the purpose of each setting.
";

/// The report's name in the directory.
const REPORT: &str = "report.md";

fn content(file: &Path) -> Result<String, String> {
    let bytes = input::bytes(file)?;
    let name = file.display();
    if bytes.len() > MAX_CONFIG_BYTES {
        let (found, allowed) = (bytes.len(), MAX_CONFIG_BYTES);
        return Err(format!(
            "{name}: got {found} bytes, expected at most {allowed}; give the connector's text alone"
        ));
    }
    encoding::text(bytes).map_err(|why| format!("{name}: {why}"))
}

/// Writes the files; none if one of them already exists.
fn write_all(dir: &Path, result: Option<&Migrated>, report: &str) -> Result<(), String> {
    let mut files = vec![(REPORT, report)];
    if let Some(migrated) = result {
        files.push(("filter.json", migrated.filter.as_str()));
        files.push(("clusters.yaml", migrated.clusters.as_str()));
        files.push(("envoy.yaml", migrated.envoy.as_str()));
    }
    write_new(dir, &files)
}

fn summary(migration: &Migration, report: &Path) -> String {
    let what = match (&migration.result, migration.whole) {
        (None, _) => "no result: correct the text first",
        (Some(_), false) => "migrated, with differences from the text",
        (Some(_), true) => "migrated, with open decisions",
    };
    format!("oidc-connector: {what}, see {}", report.display())
}

/// A closed output pipe does not change the exit code.
fn say(to: &mut dyn Write, text: &str) {
    let _: io::Result<()> = writeln!(to, "{text}");
}
