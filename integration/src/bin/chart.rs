//! `cargo xtask chart`: renders the Helm chart into the manifests that are committed.

use std::fs;
use std::process::ExitCode;

use integration::{chart, root};

fn main() -> ExitCode {
    match write() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\n{why}");
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), String> {
    let put = |file: &str, text: &str| {
        println!("{file}");
        fs::write(root().join(file), text).map_err(|e| format!("{file}: {e}"))
    };
    put(&format!("{}/values.schema.json", chart::CHART), &chart::values_schema()?)?;
    for (case, text) in chart::manifests()? {
        put(&case.file, &text)?;
    }
    Ok(())
}
