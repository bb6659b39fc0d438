//! What happens when a test fails: its end, however sudden, ends Envoy too; its failure prints
//! Envoy's log; a missing tool is reported with its remedy. Each test here runs this binary again
//! in a part that fails on purpose.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use integration::{DEADLINE, Gateway};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// Tells the second process which part to play.
const PART: &str = "RIG_PART";

/// The part of the second process; nothing in an ordinary run.
#[tokio::test]
async fn part() {
    match std::env::var(PART).as_deref() {
        Err(_) => {}
        Ok("wait to be killed") => {
            let gw = Gateway::reference().await;
            println!("envoy is {}", gw.envoy.id());
            tokio::time::timeout(DEADLINE, std::future::pending::<()>()).await.unwrap();
        }
        Ok("fail") => {
            let gw = Gateway::reference().await;
            gw.get("/public/shown").send().await;
            gw.envoy.access_entry("/public/shown").await;
            panic!("on purpose");
        }
        Ok("start") => drop(Gateway::reference().await),
        Ok(other) => panic!("no such part: {other}"),
    }
}

fn second_process(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "part", "--nocapture"]).env(PART, part).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn output_of(mut command: Command) -> (bool, String) {
    let output = tokio::time::timeout(DEADLINE * 2, command.output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn envoy_dies_with_a_killed_test_process() {
    let mut child = second_process("wait to be killed").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let id = loop {
        let line =
            lines.next_line().await.unwrap().expect("the second process says its Envoy's id");
        // The test runner writes the test's name first, on the same line.
        if let Some((_, id)) = line.split_once("envoy is ") {
            break id.to_owned();
        }
    };
    assert!(Path::new("/proc").join(&id).exists());
    child.kill().await.unwrap();
    // The system reports the end of a process only to its parent, so this polls.
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let gone = async {
        while running(&id) {
            look.tick().await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, gone).await.is_ok(), "Envoy {id} is still there");
}

/// Whether the process runs, and is not only waiting to be reaped.
fn running(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !state.is_empty() && !state.starts_with('Z')
}

#[tokio::test]
async fn failing_test_prints_both_envoy_logs() {
    let (succeeded, text) = output_of(second_process("fail")).await;
    assert!(!succeeded);
    assert!(text.contains("all dependencies initialized. starting workers"), "{text}");
    assert!(text.contains(r#""path":"/public/shown""#), "{text}");
}

#[tokio::test]
async fn missing_module_error_names_the_build_command() {
    let mut command = second_process("start");
    command.env("OIDC_CONNECTOR_WASM", "/nowhere/module.wasm");
    let (succeeded, text) = output_of(command).await;
    assert!(!succeeded);
    assert!(text.contains("the module /nowhere/module.wasm is missing"), "{text}");
    assert!(text.contains("run `cargo xtask build`"), "{text}");
}

#[tokio::test]
async fn missing_python_is_reported_with_remedies() {
    let mut command = second_process("start");
    let empty = integration::target_dir().join("rig").join(format!("{}-empty", std::process::id()));
    let module = integration::module().unwrap();
    command.env_remove("ENVOY_BIN").env_remove("OIDC_ENVOY_VERSION");
    command.env("PATH", "").env("CARGO_TARGET_DIR", &empty);
    command.env("OIDC_CONNECTOR_WASM", module);
    let (succeeded, text) = output_of(command).await;
    std::fs::remove_dir_all(&empty).unwrap();
    assert!(!succeeded);
    assert!(text.contains("python3 is not on PATH"), "{text}");
    assert!(text.contains("set ENVOY_BIN to an Envoy 1.40.0 binary"), "{text}");
}

#[tokio::test]
async fn invalid_envoy_bin_is_refused() {
    let mut command = second_process("start");
    command.env("ENVOY_BIN", "/bin/true").env_remove("OIDC_ENVOY_VERSION");
    let (succeeded, text) = output_of(command).await;
    assert!(!succeeded);
    assert!(text.contains("ENVOY_BIN=/bin/true: does not answer --version like Envoy"), "{text}");
}
