//! One request more each: `cargo xtask walk` counts what of the core runs for it.

use super::*;

fn world() -> World {
    World::new(r#""cache": {}, "inject_headers": {"X-User": "$.sub"}"#)
}

fn asked(world: &mut World) {
    let decision = world.asked(&[], "200", &JSON, br#"{"sub":"alice"}"#);
    assert_eq!(decision.record.source, Source::Asked);
    assert_eq!(decision.forwarded().set, pairs(&[("x-user", "alice")]));
}

#[test]
fn nothing_yet() {
    assert_eq!(world().gate.stats().calls, 0);
}

#[test]
fn a_request_that_calls() {
    asked(&mut world());
}

#[test]
fn a_request_that_is_a_hit() {
    let mut world = world();
    asked(&mut world);
    let decision = world.decided(&T);
    assert_eq!(decision.record.source, Source::Hit);
    assert_eq!(decision.forwarded().set, pairs(&[("x-user", "alice")]));
}
