//! `count`: calls one operation by name, for a tool that counts what it does.
//!
//! `count` alone prints the names. `count NAME CALLS` calls one; it prints nothing, and must do
//! nothing that differs from run to run. It is an example because `cargo bench` would build a
//! binary too, against a core that aborts, in the place of the one that unwinds.

use std::process::ExitCode;

/// Before anything is counted: what is slow only at first, such as growing a table.
const WARM_UP: u32 = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let all = micro::all();
    match arguments.as_slice() {
        [] => {
            all.iter().for_each(|operation| println!("{}", operation.name));
            ExitCode::SUCCESS
        }
        [name, calls] => {
            let operation = all.iter().find(|operation| operation.name == *name);
            let (Some(operation), Ok(calls)) = (operation, calls.parse()) else {
                return usage();
            };
            let mut repeat = operation.set_up();
            (0..WARM_UP).for_each(|_| drop(repeat()));
            micro::measured(&mut repeat, calls);
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("Usage: count [NAME CALLS]\n\nWithout arguments it prints the names.");
    ExitCode::from(2)
}
