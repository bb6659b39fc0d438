//! Each operation does what its name says, the first time and after many: a benchmark of something
//! else would measure nothing.

use std::cell::Cell;
use std::rc::Rc;

use micro::{Effect, Operation};
use oidc_token_connector::claims::jsonpath::Selection;
use oidc_token_connector::filter::{Action, Decision};
use oidc_token_connector::outcome::{Outcome, Source};

/// The effect that an operation's name promises.
fn check(name: &str, effect: &Effect) {
    match (name.split('/').collect::<Vec<_>>().as_slice(), effect) {
        (["hit", ..], Effect::Decided(decision)) => {
            assert_eq!(decision.record.source, Source::Hit, "{name}");
            forwards_the_user(name, decision);
        }
        (["negative-hit", ..], Effect::Decided(decision)) => {
            assert_eq!(decision.record.source, Source::Hit, "{name}");
            refuses(name, decision);
        }
        (["no-token", ..], Effect::Decided(decision)) => {
            assert_eq!(decision.record.source, Source::Filter, "{name}");
            refuses(name, decision);
        }
        (["asked", ..], Effect::Decided(decision)) => {
            assert_eq!(decision.record.source, Source::Asked, "{name}");
            forwards_the_user(name, decision);
        }
        (["digest", ..], Effect::Asks(read)) => {
            let [good, bad] = [0, 1].map(|place| read.slots[place].name());
            assert_ne!(good, bad, "{name}");
        }
        (["claims", headers, _], Effect::Mapped(claims)) => {
            // It shows what it holds only where it is used.
            let shown = format!("{claims:?}");
            let headers: usize = headers.trim_end_matches("-headers").parse().unwrap();
            assert_eq!(shown.matches("(\"x-").count(), headers, "{name}: {shown}");
            assert!(shown.contains("(\"x-user-id\", \"248289761001\")"), "{name}: {shown}");
        }
        (["jsonpath", "singular"], Effect::Finds(found)) => {
            assert!(matches!(found, Selection::One(_)), "{name}: {found:?}");
        }
        (["jsonpath", kind], Effect::Finds(Selection::Many(nodes))) => {
            // There are some 160 groups, and half of them have such a level.
            let expected = if *kind == "filter" { 60..=99 } else { 130..=199 };
            assert!(expected.contains(&nodes.len()), "{name}: {} nodes", nodes.len());
        }
        (["strip", _, what], Effect::Edits(edit)) => {
            let forged = ["x-tenant-id", "x-user-id", "x_user_email"];
            let forged = if *what == "three-forged" { &forged[..] } else { &[] };
            let expected: Vec<_> =
                forged.iter().chain(&["authorization"]).map(|n| n.as_bytes().to_vec()).collect();
            assert_eq!(edit.remove, expected, "{name}");
            let set: Vec<_> = edit.set().collect();
            assert_eq!(set, [("x-user-id", "248289761001")], "{name}");
        }
        _ => panic!("{name} does something else than its name says, or nobody has said what"),
    }
}

fn forwards_the_user(name: &str, decision: &Decision) {
    assert_eq!(decision.record.outcome, Outcome::Pass, "{name}");
    let Action::Forward(edit) = &decision.action else { panic!("{name}: {decision:?}") };
    assert_eq!(edit.remove, [&b"authorization"[..]], "{name}");
    let set: Vec<_> = edit.set().collect();
    let expected = [
        ("x-user-id", "248289761001"),
        ("x-user-email", "jane.doe@example.com"),
        ("x-tenant-id", "t-4711"),
    ];
    assert_eq!(set, expected, "{name}");
}

fn refuses(name: &str, decision: &Decision) {
    let Action::Reply(reply) = &decision.action else { panic!("{name}: {decision:?}") };
    assert_eq!(reply.status, 401, "{name}");
}

#[test]
fn operations_do_the_same_on_every_call() {
    let all = micro::all();
    assert!(all.len() >= 20, "{}", all.len());
    for operation in &all {
        let mut repeat = operation.set_up();
        for _ in 0..300 {
            check(&operation.name, &repeat());
        }
    }
}

#[test]
fn operation_names_are_unique_and_without_spaces() {
    let mut names: Vec<String> =
        micro::all().into_iter().map(|operation: Operation| operation.name).collect();
    assert!(names.iter().all(|name| !name.contains(char::is_whitespace)), "{names:?}");
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
}

#[test]
fn operation_runs_the_requested_number_of_times() {
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    let operation = micro::all().into_iter().find(|o| o.name == "no-token/8-headers").unwrap();
    let mut inner = operation.set_up();
    let mut repeat: micro::Repeat = Box::new(move || {
        counter.set(counter.get() + 1);
        inner()
    });
    micro::measured(&mut repeat, 7);
    assert_eq!(count.get(), 7);
}
