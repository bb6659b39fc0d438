//! `oidc-connector explain`: what a configuration does with one request, and why.
//!
//! The filter's own gate decides, with an answer of the provider that the user supplies. Nothing is
//! sent anywhere. Tokens do not appear in what is printed.

mod request;
mod story;
mod why;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use oidc_token_connector::config::{self, Policy};
use oidc_token_connector::filter::{Admission, Arrival, CallId, Decision, Gate, Seed, StreamId};
use oidc_token_connector::provider::userinfo::{Answer, Body, Call};
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

use crate::check::{Instance, World};
use crate::input;
use crate::output::{Format, complain, refuse};
use request::{Given, Headers};
use story::Story;

/// The arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit code: 0: explained, whatever the decision; 2: wrong usage, or a configuration that cannot be
read or does not load.")]
pub(crate) struct Args {
    /// Configuration of the filter, or of Envoy, Istio or Envoy Gateway with the filter in it; `-`
    /// is standard input
    #[arg(long, value_name = "FILE")]
    config: String,
    /// Which instance of the filter, if the file has several
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// The region code, in the header that the configuration names
    #[arg(long, value_name = "CODE")]
    region: Option<String>,
    /// The request's bearer token; without it a made-up one is used
    #[arg(long, value_name = "TOKEN", conflicts_with = "no_token")]
    token: Option<String>,
    /// The request has no token
    #[arg(long)]
    no_token: bool,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,
    /// A further header of the request
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The provider's answer: a file with its body
    #[arg(long, value_name = "FILE", conflicts_with = "no_answer")]
    userinfo: Option<String>,
    /// The status of the provider's answer; 200 if there is a body
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(100..=599),
          conflicts_with = "no_answer")]
    status: Option<u16>,
    /// A header of the provider's answer
    #[arg(long, value_name = "NAME: VALUE", conflicts_with = "no_answer")]
    answer_header: Vec<String>,
    /// The provider cannot be reached
    #[arg(long)]
    no_answer: bool,
    /// In which form it is explained
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Explains what becomes of the request.
pub(crate) fn run(args: &Args) -> ExitCode {
    match explain(args) {
        Ok(story) => {
            story.print(args.format);
            ExitCode::SUCCESS
        }
        Err(wrong) => refuse(wrong),
    }
}

fn explain(args: &Args) -> Result<Story, String> {
    let documents = input::read(&args.config)?;
    let world = World::of(&documents);
    let instance = chosen(&world, args)?;
    let policy = Rc::new(policy(instance, args)?);
    let request = request::of(args, &policy)?;
    let given = Given::of(args)?;

    let mut gate = Gate::new(Seed::new(*b"one request only"));
    gate.configured(&policy);
    let now = now();
    let arrival = gate.admit(&policy, StreamId(1), &request.head(), now);
    let admission = match arrival {
        Arrival::Admitted(admission) => admission,
        // No other worker knows anything.
        Arrival::LookUp(question, _) => gate.looked_up(question, [None, None], now),
    };
    let region = why::region(&policy, &request.head());
    let mut story = Story::new(&instance.name, request, region);
    match admission {
        Admission::Decided(decision) => story.end(decision),
        Admission::Call(id, call) => {
            if let Some(decision) = asked(&mut gate, (id, call), given.as_ref(), now, &mut story) {
                story.end(decision);
            }
        }
        Admission::Joined => return Err("got an unexpected call under way".to_owned()),
    }
    if let Some(given) = &given {
        story.left_out = story.missing(|head, set| why::left_out(&policy, head, &given.body, set));
    }
    Ok(story)
}

/// Makes one call after the other, each with the same answer, until the request is decided.
fn asked(
    gate: &mut Gate,
    first: (CallId, Call),
    given: Option<&Given>,
    mut now: Now,
    story: &mut Story,
) -> Option<Decision> {
    let mut calls = VecDeque::from([first]);
    loop {
        let settled = match calls.pop_front() {
            Some((id, call)) => {
                story.asks(&call);
                let given = given?;
                let fits = given.body.len() <= gate.answer_limit(id);
                let body = if fits { Body::Read(&given.body) } else { Body::TooLarge };
                gate.answered(id, &Answer::Whole { head: given.headers.head(), body }, now)
            }
            // A call that ended at once without an answer is repeated after a while.
            None => {
                now.moment = gate.next_due()?;
                gate.tick(now)
            }
        };
        if let Some(release) = settled.releases.into_iter().next() {
            return Some(release.decision);
        }
        calls.extend(settled.calls);
    }
}

fn chosen<'w, 'a>(world: &'w World<'a>, args: &Args) -> Result<&'w Instance<'a>, String> {
    let (file, all) = (&args.config, &world.instances);
    let names: Vec<&str> = all.iter().map(|instance| instance.name.as_str()).collect();
    let wanted = args.instance.as_deref();
    let mut matching = all.iter().filter(|i| wanted.is_none_or(|wanted| wanted == i.name));
    match (matching.next(), matching.next(), wanted) {
        (Some(instance), None, _) => Ok(instance),
        (None, _, None) => Err(format!("{file}: no instance of the filter in it")),
        (None, _, Some(wanted)) => {
            let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
            let there = match (all.is_empty(), names.is_empty()) {
                (true, _) => "there is none".to_owned(),
                (false, true) => "it is one configuration alone; leave --instance out".to_owned(),
                (false, false) => format!("there is {}", names.join(", ")),
            };
            Err(format!("{file}: no instance {wanted}; {there}"))
        }
        (Some(_), Some(_), _) => {
            let names = names.join(", ");
            Err(format!("{file}: several instances; choose by --instance one of {names}"))
        }
    }
}

fn policy(instance: &Instance<'_>, args: &Args) -> Result<Policy, String> {
    let file = &args.config;
    let text = instance.text().map_err(|wrong| format!("{file}: {wrong}"))?;
    match config::read(text) {
        Ok(loaded) => {
            for fault in &loaded.faults {
                complain(format_args!("{file}: {fault}"));
            }
            Ok(loaded.policy)
        }
        Err(problems) => {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let problems = problems.join("\n  ");
            Err(format!("{file}: the filter does not load this configuration:\n  {problems}"))
        }
    }
}

fn now() -> Now {
    let date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { moment: MonotonicTime::from_nanos(0), date: UnixTime(date.as_secs()) }
}

impl Headers {
    /// As the filter sees them, with nothing behind them.
    fn head(&self) -> HeaderView<'_> {
        let pairs = self.0.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect();
        HeaderView::new(pairs).ending(true)
    }
}
