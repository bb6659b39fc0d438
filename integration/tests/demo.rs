//! The demo, run as a user runs it: it shows every step, and reports a step that fails.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use integration::Request;

const TITLES: [&str; 8] = [
    "1/8 A good token",
    "2/8 The same user in France",
    "3/8 The same token again",
    "4/8 A client with a forged identity",
    "5/8 No token",
    "6/8 An expired token",
    "7/8 The provider is down",
    "8/8 A route with an error set",
];

fn demo() -> Command {
    Command::new(env!("CARGO_BIN_EXE_demo"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the demo writes UTF-8")
}

/// The output of one step, from its title to the next title.
fn block<'a>(out: &'a str, title: &str) -> &'a str {
    let from = out.find(title).unwrap_or_else(|| panic!("no step {title:?} in\n{out}"));
    let rest = &out[from..];
    rest.find("\n\n").map_or(rest, |end| &rest[..end])
}

fn failed(output: &Output, code: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    err
}

#[test]
fn demo_shows_every_step() {
    let output = demo().output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    assert!(!out.contains('\x1b') && !err.contains('\x1b'), "escape codes in a pipe:\n{out}{err}");
    for title in TITLES {
        assert!(block(&out, title).starts_with(&format!("{title}  ok\n")), "{out}");
    }
    let shows = |title: usize, parts: &[&str]| {
        let block = block(&out, TITLES[title]);
        for part in parts {
            assert!(block.contains(part), "{part:?} is not in\n{block}");
        }
    };
    shows(0, &["-H 'Authorization: Bearer good'", "+ x-user-id: 248289761001", "answer    200"]);
    shows(1, &["-H 'X-Region: FR'", "fr.idp.example/userinfo", "+ x-user-name: Claes Rosenlöf"]);
    shows(2, &["gets no call", "+ x-user-id: 248289761001", "answer    200"]);
    shows(3, &["-H 'X-User-Id: admin'", "- X-User-Id: admin", "+ x-user-id: 248289761001"]);
    shows(4, &["gets no call", "receives nothing", "www-authenticate: Bearer realm=\"api\"\n"]);
    shows(5, &["answers 401, expired", "error=\"invalid_token\"", "answer    401"]);
    shows(6, &["does not listen", "answer    503", "retry-after: 5"]);
    shows(7, &["/partners/orders", "answer    403", "{\"message\":\"Not a partner\"}"]);
    // Its own port is gone when it has ended.
    let urls: Vec<&str> = out.split("http://").skip(1).collect();
    assert!(urls.len() >= 8 && urls.iter().all(|url| url.starts_with("127.0.0.1:10000/")), "{out}");
    assert!(!err.contains("http://"), "{err}");
    assert!(out.contains("\nAll 8 steps behaved as described.\n"), "{out}");
    assert!(err.contains("==> starting"), "no progress: {err}");
}

#[test]
fn failing_step_is_named_and_fails() {
    let module = Scratch::file("do-nothing.wasm", &do_nothing());
    let output = demo().env("OIDC_CONNECTOR_WASM", &module.0).output().unwrap();
    let err = failed(&output, 1);
    let out = text(&output.stdout);
    let first = block(&out, TITLES[0]);
    assert!(first.starts_with("1/8 A good token  FAILED\n"), "{first}");
    let told = "call to the provider\n      expected: GET idp.example/userinfo, token `good`\n      \
                got:      none\n";
    assert!(first.contains(told), "{first}");
    // A request without a call does not pass the guard.
    assert!(block(&out, TITLES[4]).contains("expected: 401\n      got:      403\n"), "{out}");
    for title in TITLES {
        assert!(out.contains(title), "the demo stopped before {title}:\n{out}");
    }
    assert!(!out.contains("behaved as described"), "{out}");
    let named = "these steps did not behave as described: 1/8 (A good token), 2/8";
    assert!(err.contains(named) && err.contains("Envoy's log"), "{err}");
}

#[test]
fn missing_module_fails_with_remedy() {
    let output = demo().env("OIDC_CONNECTOR_WASM", "no/such/module.wasm").output().unwrap();
    let err = failed(&output, 1);
    assert!(err.contains("no/such/module.wasm is missing: run `cargo xtask build`"), "{err}");
}

#[test]
fn refused_module_fails_with_envoys_log() {
    let module = Scratch::file("rubbish.wasm", b"rubbish");
    let err = failed(&demo().env("OIDC_CONNECTOR_WASM", &module.0).output().unwrap(), 1);
    assert!(err.contains("Envoy ended with exit code 1") && err.contains("Wasm"), "{err}");
}

#[test]
fn unknown_option_prints_usage() {
    let err = failed(&demo().arg("--sreve").output().unwrap(), 2);
    assert!(
        err.contains("--sreve") && err.contains("Usage: demo [--serve | --record FILE]"),
        "{err}"
    );
}

#[test]
fn port_in_use_is_reported_with_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for variable in ["DEMO_PORT", "DEMO_ADMIN_PORT"] {
        let mut command = demo();
        command.arg("--serve").env("DEMO_PORT", "0").env("DEMO_ADMIN_PORT", "0");
        let err = failed(&command.env(variable, port.to_string()).output().unwrap(), 1);
        assert!(err.contains(&format!("port {port} of 127.0.0.1")), "{err}");
        assert!(err.contains(&format!("choose another port with {variable}=<port>")), "{err}");
    }
    let err = failed(&demo().arg("--serve").env("DEMO_PORT", "http").output().unwrap(), 1);
    assert!(err.contains("DEMO_PORT=http: not a port number"), "{err}");
}

#[tokio::test]
async fn serve_ends_on_interrupt_and_leaves_nothing() {
    let mut child = Ended(
        demo()
            .arg("--serve")
            .envs([("DEMO_PORT", "0"), ("DEMO_ADMIN_PORT", "0")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut out = BufReader::new(child.0.stdout.take().unwrap());
    let mut printed = String::new();
    // The last line before the requests.
    while !printed.contains("\nYour requests, as they end") {
        assert_ne!(out.read_line(&mut printed).unwrap(), 0, "it ended:\n{printed}");
    }
    let at = |after: &str| -> SocketAddr {
        let from = printed.find(after).unwrap_or_else(|| panic!("no {after:?} in\n{printed}"));
        let rest = &printed[from + after.len()..];
        rest[..rest.find('/').unwrap()].parse().unwrap()
    };
    let (gateway, admin) = (at("curl -i http://"), at("curl 'http://"));

    for (path, token, status) in [
        ("/orders", "good", 200),
        ("/orders", "expired", 401),
        ("/orders", "forbidden", 403),
        // The reference maps.
        ("/orders", "busy", 503),
        ("/orders", "nobody", 401),
        ("/orders", "webpage", 502),
        ("/orders", "crash", 503),
        ("/orders", "whatever", 401),
        ("/partners/orders", "good", 200),
        ("/public/health", "none", 200),
    ] {
        let r = Request::new(gateway, "GET", path).bearer(token).send().await;
        assert_eq!(r.status, status, "{path} with {token}: {r:?}");
    }
    assert_eq!(Request::new(admin, "GET", "/ready").send().await.status, 200);

    // Each was told as it ended, the last of them last, with what provider and backend saw.
    while !printed.contains("/public/health → 200") || !printed.ends_with("with no identity\n") {
        assert_ne!(out.read_line(&mut printed).unwrap(), 0, "it ended:\n{printed}");
    }
    for told in [
        "\nGET /orders → 200  pass;hit;default\n    provider  gets no call\n    backend   GET \
         /orders with x-user-email: claes@example.com, x-user-id: 248289761001, x-user-region: \
         default\n",
        "\nGET /orders → 403  forbidden:provider_4xx\n    provider  GET idp.example/userinfo, token \
         `forbidden`: answers 403, insufficient scope\n    backend   receives nothing\n",
        "\nGET /public/health → 200  the filter is off on this route\n    provider  gets no call\n",
    ] {
        assert!(printed.contains(told), "no {told:?} in\n{printed}");
    }

    let interrupt = format!("kill -INT {}", child.0.id());
    assert!(Command::new("sh").args(["-c", &interrupt]).status().unwrap().success());
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    assert!(TcpStream::connect(gateway).is_err() && TcpStream::connect(admin).is_err());
}

/// A process that ends with its test, also where that fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // One that has ended already is none any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file that goes with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn file(name: &str, content: &[u8]) -> Scratch {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The smallest module that Envoy loads: memory, an allocator, the ABI's version, no callback.
fn do_nothing() -> Vec<u8> {
    let export = |name: &str, kind: u8, index: u8| {
        [&[u8::try_from(name.len()).unwrap()], name.as_bytes(), &[kind, index]].concat()
    };
    let exports = [
        vec![3],
        export("memory", 2, 0),
        export("proxy_abi_version_0_2_1", 0, 0),
        export("proxy_on_memory_allocate", 0, 1),
    ]
    .concat();
    let section = |id: u8, body: &[u8]| [&[id, u8::try_from(body.len()).unwrap()], body].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[2, 0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f]),
        section(3, &[2, 0, 1]),
        section(5, &[1, 0, 1]),
        section(7, &exports),
        section(10, &[2, 2, 0, 0x0b, 5, 0, 0x41, 0x80, 8, 0x0b]),
    ]
    .concat()
}
