//! `oidc-connector explain`: what a configuration does with one request, and why.
//!
//! The filter's own gate decides, with an answer of the provider that the user supplies. Nothing is
//! sent anywhere. Tokens do not appear in what is printed.

mod args;
mod got;
mod request;
mod rule;
mod story;
mod why;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::rc::Rc;

use oidc_token_connector::filter::{CallId, Decision, Effect, Event, Gate, Seed, StreamId};
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::provider::{
    call::Call,
    response::{Answer, Body},
};
use oidc_token_connector::time::Now;

use crate::check::{self, Instance, World};
use crate::input;
use crate::output::{complain, refuse};
pub use args::Args;
use request::Given;
use story::Story;

/// Explains what becomes of the request.
pub fn run(args: &Args) -> ExitCode {
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
    let world = check::world_of(&documents, Some(check::Kind::Filter));
    let instance = chosen(&world, args)?;
    let policy = Rc::new(policy(instance, args)?);
    let request = request::of(args, &policy)?;
    let given = Given::of(args)?;

    let mut gate = Gate::new(Seed::new(*b"one request only"));
    gate.configured(&policy);
    let now = request::now();
    let headers = request.head();
    let event = Event::Request { stream: StreamId(1), policy: &policy, headers: &headers };
    let mut effects = carried_out(&mut gate, event, now);
    let region = why::region(&policy, &request.head());
    let metadata = why::no_metadata(&policy, args);
    let mut story = Story::new(&instance.name, request, region);
    story.metadata = metadata;
    match effects.pop() {
        Some(Effect::Release(release)) => story.end(release.decision),
        Some(Effect::Call(id, call)) => {
            if let Some(decision) = asked(&mut gate, (id, call), given.as_ref(), now, &mut story) {
                story.end(decision);
            }
        }
        Some(Effect::ReadShared(_) | Effect::WriteShared(..) | Effect::Took(_)) | None => {
            return Err("found a call under way in a gate without one".to_owned());
        }
    }
    if let Some(given) = &given {
        story.left_out = story.missing(|head, set| why::left_out(&policy, head, given, set));
        story.rule = story.refused(|head| rule::unmet(instance, &policy, head, given));
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
        let effects = match calls.pop_front() {
            Some((id, call)) => {
                story.asks(&call);
                let given = given?;
                let fits = given.body.len() <= gate.answer_limit(id);
                let body = if fits { Body::Read(&given.body) } else { Body::TooLarge };
                let answer = &Answer::Whole { head: given.headers.head(), body };
                carried_out(gate, Event::CallEnded { call: id, answer }, now)
            }
            // A call that ended at once without an answer is repeated after a while.
            None => {
                now.moment = gate.next_due()?;
                carried_out(gate, Event::Tick, now)
            }
        };
        for effect in effects {
            match effect {
                Effect::Release(release) => return Some(release.decision),
                Effect::Call(id, call) => calls.push_back((id, call)),
                Effect::ReadShared(_) | Effect::WriteShared(..) | Effect::Took(_) => {}
            }
        }
    }
}

/// The effects of an event without other workers.
fn carried_out(gate: &mut Gate, event: Event<'_>, now: Now) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut left = VecDeque::from_iter(gate.handle(event, now));
    while let Some(effect) = left.pop_front() {
        match effect {
            Effect::ReadShared(read) => {
                let values = vec![None; read.slots.len()];
                left.extend(gate.handle(Event::SharedData { read, values }, now));
            }
            Effect::Release(_) | Effect::Call(..) => effects.push(effect),
            Effect::WriteShared(..) | Effect::Took(_) => {}
        }
    }
    effects
}

fn chosen<'w, 'a>(world: &'w World<'a>, args: &Args) -> Result<&'w Instance<'a>, String> {
    let (file, all) = (&args.config, &world.instances);
    let names: Vec<&str> = all.iter().map(|instance| instance.name.as_str()).collect();
    let wanted = args.instance.as_deref();
    let mut matching = all.iter().filter(|i| wanted.is_none_or(|wanted| wanted == i.name));
    match (matching.next(), matching.next(), wanted) {
        (Some(instance), None, _) => Ok(instance),
        (None, _, None) => Err(format!("{file}: has no instance of the filter")),
        (None, _, Some(wanted)) => {
            let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
            let there = match (all.is_empty(), names.is_empty()) {
                (true, _) => "the file has none".to_owned(),
                (false, true) => "the file is a single configuration; omit --instance".to_owned(),
                (false, false) => format!("expected one of {}", names.join(", ")),
            };
            Err(format!("{file}: no instance {wanted}; {there}"))
        }
        (Some(_), Some(_), _) => {
            let names = names.join(", ");
            Err(format!("{file}: several instances; select one by --instance: {names}"))
        }
    }
}

fn policy(instance: &Instance<'_>, args: &Args) -> Result<Policy, String> {
    let file = &args.config;
    let text = instance.text().map_err(|wrong| format!("{file}: {wrong}"))?;
    match policy::read(text) {
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
