//! The Helm chart in `deploy/helm`, rendered by Helm's own code: PyPI's `helm-python-sdk`, installed
//! below `target/`. What is rendered is committed, for those without Helm: this says which values
//! make which file. It reaches no cluster.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::bootstrap::parsed;
use crate::install::python::HELM;
use crate::root;

/// The chart's directory.
pub const CHART: &str = "deploy/helm/oidc-token-connector";
/// The name under which it is installed.
const RELEASE: &str = "oidc-token-connector";

/// What is rendered to where, if not below `deploy/tests/rendered`.
const PLAIN: [(&str, &str); 3] = [
    ("istio", "deploy/istio/wasmplugin.yaml"),
    ("istio-routes", "deploy/istio-routes/envoyfilter.yaml"),
    ("envoy-gateway", "deploy/envoy-gateway/policy.yaml"),
];

/// A file of values below `ci/`, and the file that is rendered from it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Of the values, without `-values.yaml`.
    pub name: String,
    /// The committed manifests.
    pub file: String,
    /// What it is, in the first line of its values.
    about: String,
    values: Value,
}

impl Case {
    /// The values.
    #[must_use]
    pub fn values(&self) -> Value {
        self.values.clone()
    }
}

/// Every file of values.
///
/// # Errors
///
/// If one cannot be read.
pub fn cases() -> Result<Vec<Case>, String> {
    let directory = root().join(CHART).join("ci");
    let entries = fs::read_dir(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()))
        .filter_map(|name| Some(name.strip_suffix("-values.yaml")?.to_owned()))
        .collect();
    names.sort();
    let case = |name: String| {
        let file = format!("{CHART}/ci/{name}-values.yaml");
        let text = fs::read_to_string(root().join(&file)).map_err(|e| format!("{file}: {e}"))?;
        let about = text.lines().next().unwrap_or_default().trim_start_matches("# ");
        let values = parsed(&file)?;
        let plain = PLAIN.iter().find(|(plain, _)| *plain == name);
        let rendered = format!("deploy/tests/rendered/{name}.yaml");
        let file = plain.map_or(rendered, |(_, file)| (*file).to_owned());
        Ok(Case { about: about.to_owned(), values, file, name })
    };
    names.into_iter().map(case).collect()
}

/// Renders the chart with each of these values: the manifests, or why there are none.
///
/// # Errors
///
/// If Helm is not available, with the remedy.
pub fn render(values: &[Value]) -> Result<Vec<Result<String, String>>, String> {
    render_that(&root().join(CHART), values)
}

fn render_that(chart: &Path, values: &[Value]) -> Result<Vec<Result<String, String>>, String> {
    let jobs: Vec<Value> = values
        .iter()
        .map(|values| {
            let istio = values["platform"] != "envoy-gateway";
            let namespace = if istio { "istio-system" } else { "default" };
            json!({"name": RELEASE, "namespace": namespace, "values": values})
        })
        .collect();
    let mut command = HELM.install()?.command("render.py");
    command.arg(chart).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("render.py: {e}"))?;
    let mut input = child.stdin.take().ok_or("render.py: no input")?;
    input.write_all(Value::from(jobs).to_string().as_bytes()).map_err(|e| e.to_string())?;
    drop(input);
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).map_err(|e| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("render.py ended with {}: {e}\n{said}", output.status)
    })?;
    let answer = |answer: &Value| match (answer["manifests"].as_str(), answer["error"].as_str()) {
        (Some(manifests), _) => Ok(manifests.to_owned()),
        (None, error) => Err(error.unwrap_or("no answer").to_owned()),
    };
    Ok(answers.iter().map(answer).collect())
}

/// What `helm template` prints for a chart, a directory or an archive, with a file of values, under the name
/// and in the namespace of the documents.
///
/// # Errors
///
/// If the file cannot be read, Helm is not available, or refuses the chart.
pub fn template(chart: &Path, values: &str) -> Result<String, String> {
    let mut rendered = render_that(chart, &[parsed(values)?])?;
    rendered.pop().unwrap_or_else(|| Err("no answer".to_owned()))
}

/// Every file that is rendered, with what belongs in it.
///
/// # Errors
///
/// If Helm is not available, or refuses the chart.
pub fn manifests() -> Result<Vec<(Case, String)>, String> {
    let cases = cases()?;
    let values: Vec<Value> = cases.iter().map(Case::values).collect();
    let rendered = render(&values)?;
    let file = |(case, rendered): (Case, Result<String, String>)| {
        let manifests = rendered.map_err(|why| format!("{}: {why}", case.name))?;
        let text = format!("{}{manifests}", head(&case));
        Ok((case, text))
    };
    cases.into_iter().zip(rendered).map(file).collect()
}

fn head(case: &Case) -> String {
    let (name, about) = (&case.name, &case.about);
    let source = format!(
        "# Rendered by `cargo xtask chart` from {CHART}\n# with ci/{name}-values.yaml: change these. \
         A test compares.\n"
    );
    let Some((_, file)) = PLAIN.iter().find(|(plain, _)| plain == name) else { return source };
    let directory = file.rsplit_once('/').map_or(*file, |(directory, _)| directory);
    let about = about.split_once(": ").map_or(about.as_str(), |(_, about)| about);
    format!(
        "# For those without Helm: {about}\n#\n#   kubectl apply -f {directory}\n#\n# To adapt: the \
         image's place and digest, the selector or the Gateway, the provider's host, the headers. With \
         Helm\n# each of them stands in one place. See docs/deployment.md. NOT RUN in a cluster.\n#\n\
         {source}"
    )
}

/// `values.schema.json` with what it takes from the filter's own schema: a configuration's keys, each by
/// itself. Rules about several keys are left to the whole, which the filter and `check` read.
///
/// # Errors
///
/// If one of the two is not there.
pub fn values_schema() -> Result<String, String> {
    let mut schema = parsed(&format!("{CHART}/values.schema.json"))?;
    let file = "docs/config.schema.json";
    let text = fs::read_to_string(root().join(file)).map_err(|e| format!("{file}: {e}"))?;
    // Helm's expressions know no `\u0020`, and all know `\x20`.
    let text = text.replace(r"\\u00", r"\\x");
    let mut filter: Value = serde_json::from_str(&text).map_err(|e| format!("{file}: {e}"))?;
    let mut definitions = filter["$defs"].take();
    let mut keys = filter["properties"].take();
    // The guard needs it, so the chart sets it.
    keys.as_object_mut().ok_or("no keys")?.shift_remove("access_log_state");
    definitions["Configuration"] = json!({
        "type": "object",
        "properties": keys,
        "additionalProperties": false,
    });
    schema["$defs"] = definitions;
    serde_json::to_string_pretty(&schema).map(|text| text + "\n").map_err(|e| e.to_string())
}
