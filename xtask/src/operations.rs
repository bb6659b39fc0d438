//! `cargo xtask bench --operations`: the WebAssembly instructions that the built module runs for a request.

use anyhow::{Context, Result, bail};
use xshell::cmd;

use crate::workspace::become_it;
use crate::{Bench, Workspace, module};

/// The page that has the rows, and what stands before and behind them.
const PAGE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- operations:begin -->\n\n";
const END: &str = "\n<!-- operations:end -->";

/// Prints the rows, or writes them into the page.
pub fn run(workspace: &Workspace, bench: Bench) -> Result<()> {
    let sh = &workspace.sh;
    if bench.write && !bench.only.is_empty() {
        bail!("--write takes all rows: leave out --only");
    }
    module::build(workspace)?;
    let mut module = module::path(workspace);
    if !bench.only.is_empty() {
        module.set_extension("names.wasm");
    }
    let manifest = workspace.root.join("bench/operations/Cargo.toml");
    let run = cmd!(sh, "cargo run --quiet --release --locked --manifest-path {manifest}");
    let run = run.arg("--").arg(module).args(bench.only);
    if !bench.write {
        return become_it(run);
    }
    let page = workspace.root.join(PAGE);
    let text = written(&sh.read_file(&page)?, &run.read()?)?;
    Ok(sh.write_file(&page, text)?)
}

/// The page with these rows.
fn written(page: &str, rows: &str) -> Result<String> {
    let missing = || format!("{PAGE} has no lines `{}` and `{}`", BEGIN.trim(), END.trim());
    let (before, rest) = page.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    Ok(format!("{before}{BEGIN}{}\n{END}{after}", rows.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_the_place_of_the_old_ones() {
        let page = |rows: &str| format!("text\n\n{BEGIN}{rows}\n{END}\n\nmore\n");
        assert_eq!(written(&page("| old |"), "| a |\n| b |\n").unwrap(), page("| a |\n| b |"));
        assert!(written("text", "| a |").unwrap_err().to_string().contains("operations:begin"));
    }
}
