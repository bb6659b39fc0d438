//! Everything that a release publishes, made by the same command here and in the release workflow, which
//! only uploads it: the module with its digest, its bill of materials and its image, the manifests and
//! the chart with the image's digest, and the command line tool for one platform. It looks at what it
//! has made before it ends well. It publishes nothing.

mod archive;
mod image;
mod sbom;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use archive::{Entry, sha256};
use clap::{Args, ValueEnum};
use xshell::cmd;

use crate::Workspace;
use crate::module;

/// The module's name in a release.
const MODULE: &str = "oidc_token_connector.wasm";
const CHART: &str = "deploy/helm/oidc-token-connector";
/// What stands in the manifests and in the chart's values where a release names its image.
const PLACEHOLDER: &str = "registry.example/oidc-token-connector";
/// The command line tool.
const TOOL: &str = "oidc-connector";

/// What to make, and where.
#[derive(Args)]
pub struct Options {
    /// The directory; it is made if it is not there.
    #[arg(long, default_value = "dist")]
    output: PathBuf,
    /// Only the module and what is made of it, or only the command line tool.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Build the tool for this platform instead of this machine's.
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
    /// Where the image will be, without tag: the manifests name it.
    #[arg(long, default_value = PLACEHOLDER)]
    image: String,
}

/// A part of a release.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Module,
    Cli,
}

/// `cargo xtask release`
pub fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    // Relative to the user's directory, not to the root.
    let output = std::path::absolute(&options.output)?;
    fs::create_dir_all(&output).with_context(|| output.display().to_string())?;
    let mut made = Vec::new();
    if options.only != Some(Part::Cli) {
        made.extend(of_module(workspace, &output, &options.image)?);
    }
    if options.only != Some(Part::Module) {
        made.push(tool(workspace, &output, options.target.as_deref())?);
    }
    println!("\n{}", output.display());
    for path in made {
        let size = fs::metadata(&path)?.len().div_ceil(1024);
        println!("{size:>8} KiB  {}", name(&path));
    }
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The version of all crates.
fn version(workspace: &Workspace) -> Result<String> {
    let manifest = workspace.sh.read_file("Cargo.toml")?;
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).context("Cargo.toml: got no version of the workspace")
}

/// Writes a file, and beside it its digest, as `sha256sum --check` reads it.
fn put(output: &Path, name: &str, content: &[u8]) -> Result<PathBuf> {
    let path = output.join(name);
    fs::write(&path, content).with_context(|| path.display().to_string())?;
    let line = format!("{}  {name}\n", sha256(content));
    fs::write(output.join(format!("{name}.sha256")), line)?;
    Ok(path)
}

fn of_module(workspace: &Workspace, output: &Path, place: &str) -> Result<Vec<PathBuf>> {
    module::build(workspace)?;
    let path = module::path(workspace);
    let module = fs::read(&path).with_context(|| path.display().to_string())?;
    let version = version(workspace)?;
    let image = image::image(&module, &version)?;
    let image_name = format!("oidc-token-connector-{version}-image.tar");
    let mut made = vec![
        put(output, MODULE, &module)?,
        put(output, "oidc-token-connector.cdx.json", sbom::sbom(workspace)?.as_bytes())?,
        put(output, &image_name, &image.archive)?,
    ];
    // What is on the disk, as a registry's client will read it.
    let (digest, inside) = image::read(&fs::read(output.join(&image_name))?)?;
    ensure!(inside == module && digest == image.digest, "the image has another module");

    let pinned = format!("{place}:{version}");
    let sh = &workspace.sh;
    cmd!(sh, "bash deploy/pin.sh {pinned} {digest} {output}").quiet().run()?;
    for name in ["istio.yaml", "istio-routes.yaml", "envoy-gateway.yaml"] {
        let path = output.join(name);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        ensure!(text.contains(&digest) && text.contains(&pinned), "{name} does not name the image");
        made.push(path);
    }
    let chart = chart(&workspace.root.join(CHART), place, &digest)?;
    made.push(put(output, &format!("oidc-token-connector-{version}.tgz"), &chart)?);
    println!("image: {pinned}\ndigest: sha256:{digest}");
    Ok(made)
}

/// The chart as Helm packages it, with the image in its values.
fn chart(directory: &Path, place: &str, digest: &str) -> Result<Vec<u8>> {
    let mut entries = Vec::new();
    files(directory, "oidc-token-connector", &mut entries)?;
    entries.sort_by(|one, other| one.path.cmp(&other.path));
    let values = entries.iter_mut().find(|entry| entry.path == "oidc-token-connector/values.yaml");
    let values = values.context("the chart has no values.yaml")?;
    let text = String::from_utf8(values.content.clone())?;
    let zeros = "0".repeat(64);
    ensure!(text.contains(PLACEHOLDER) && text.contains(&zeros), "values.yaml names another image");
    values.content = text.replace(PLACEHOLDER, place).replace(&zeros, digest).into_bytes();
    archive::tar_gz(&entries)
}

/// The files below a directory, but for those of the tests; links are followed.
fn files(directory: &Path, path: &str, entries: &mut Vec<Entry>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let entry = entry?.path();
        let path = format!("{path}/{}", name(&entry));
        if name(&entry) == "ci" {
            continue;
        }
        match entry.is_dir() {
            true => files(&entry, &path, entries)?,
            false => entries.push(Entry::file(path, fs::read(&entry)?)),
        }
    }
    Ok(())
}

/// The archive of the command line tool for a platform.
fn tool(workspace: &Workspace, output: &Path, target: Option<&str>) -> Result<PathBuf> {
    let sh = &workspace.sh;
    let host = cmd!(sh, "rustc -vV").quiet().read()?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc -vV: got no host")?;
    let target = target.unwrap_or(host);
    let libraries = cmd!(sh, "rustc --print target-libdir --target {target}").quiet().read()?;
    if !Path::new(&libraries).is_dir() {
        bail!("Rust's standard library for {target} is missing: `rustup target add {target}`");
    }
    cmd!(sh, "cargo build --release --locked --package cli --bin {TOOL} --target {target}")
        .run()?;
    let suffix = if target.contains("windows") { ".exe" } else { "" };
    let program = workspace.target.join(target).join("release").join(format!("{TOOL}{suffix}"));
    let program = fs::read(&program).with_context(|| program.display().to_string())?;
    let version = version(workspace)?;
    let directory = format!("{TOOL}-{version}-{target}");
    let packed = archive::tar_gz(&[
        Entry::program(format!("{directory}/{TOOL}{suffix}"), program),
        Entry::file(format!("{directory}/LICENSE"), sh.read_file("LICENSE")?),
        Entry::file(format!("{directory}/check.md"), sh.read_file("docs/check.md")?),
    ])?;
    let path = put(output, &format!("{directory}.tar.gz"), &packed)?;
    // What is in the archive, not what was put there; where this machine can run it.
    let unpacked = archive::untar_gz(&fs::read(&path)?)?;
    let [program, ..] = &unpacked[..] else { bail!("{} is empty", path.display()) };
    ensure!(program.runs, "{} is no program", program.path);
    if runs_here(host, target) {
        let told = told(output, program)?;
        ensure!(told == format!("{TOOL} {version}"), "got {told:?} from --version");
    } else {
        println!("LEFT OUT: the tool for {target} was not run: this machine is {host}");
    }
    Ok(path)
}

/// Whether programs of that target run on that host: the C library may differ, if it is linked in.
fn runs_here(host: &str, target: &str) -> bool {
    let platform = |triple: &str| {
        let parts: Vec<String> = triple.split('-').take(3).map(str::to_owned).collect();
        parts
    };
    platform(host) == platform(target) && (host == target || target.ends_with("-musl"))
}

/// What a program out of an archive says of its version.
fn told(output: &Path, program: &Entry) -> Result<String> {
    let path = output.join(format!(".{TOOL}"));
    fs::write(&path, &program.content)?;
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let ended = std::process::Command::new(&path).arg("--version").output();
    fs::remove_file(&path)?;
    let ended = ended.context("the tool does not run")?;
    ensure!(ended.status.success(), "the tool ended with {}", ended.status);
    Ok(String::from_utf8(ended.stdout)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_packaged_with_its_image_and_without_the_tests() {
        let workspace = Workspace::find().unwrap();
        let directory = workspace.root.join(CHART);
        let digest = "0123456789abcdef".repeat(4);
        let made = chart(&directory, "images.example.com/gateway", &digest).unwrap();
        assert_eq!(chart(&directory, "images.example.com/gateway", &digest).unwrap(), made);
        let entries = archive::untar_gz(&made).unwrap();
        let content = |path: &str| {
            let path = format!("oidc-token-connector/{path}");
            let found = entries.iter().find(|entry| entry.path == path);
            String::from_utf8(found.unwrap_or_else(|| panic!("no {path}")).content.clone()).unwrap()
        };
        let values = content("values.yaml");
        assert!(values.contains("repository: images.example.com/gateway\n"), "{values}");
        assert!(values.contains(&digest) && !values.contains("registry.example"), "{values}");
        // Links become files.
        assert!(content("files/rules.yml").contains("OidcProviderUnavailable"));
        assert!(content("files/dashboard.json").contains("panels"));
        assert!(!content("templates/istio/connector.yaml").is_empty());
        assert!(entries.iter().all(|entry| !entry.path.contains("/ci/")), "values of the tests");
        let version = version(&workspace).unwrap();
        let chart = content("Chart.yaml");
        assert!(chart.contains(&format!("\nversion: {version}\n")), "{chart}");
        assert!(chart.contains(&format!("\nappVersion: \"{version}\"\n")), "{chart}");
        assert!(values.contains(&format!("\n  tag: {version}\n")), "{values}");
    }

    #[test]
    fn a_digest_is_beside_its_file_as_sha256sum_reads_it() {
        let dir = std::env::temp_dir().join(format!("oidc-release-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        put(&dir, "some.tar.gz", b"").unwrap();
        let line = fs::read_to_string(dir.join("some.tar.gz.sha256")).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(line, format!("{}  some.tar.gz\n", sha256(b"")));
    }

    #[test]
    fn only_what_this_machine_can_run_is_run() {
        let gnu = "x86_64-unknown-linux-gnu";
        for (target, runs) in [
            (gnu, true),
            ("x86_64-unknown-linux-musl", true),
            ("aarch64-unknown-linux-musl", false),
            ("x86_64-apple-darwin", false),
        ] {
            assert_eq!(runs_here(gnu, target), runs, "{target}");
        }
        assert!(!runs_here("x86_64-unknown-linux-musl", gnu));
    }
}
