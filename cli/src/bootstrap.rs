//! A whole Envoy configuration around a configuration of the filter, with the protections of
//! `envoy/envoy.yaml`: what `migrate` and `init` write. It must never take another file's place, and never
//! write a text that YAML reads differently.

pub(crate) mod clusters;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;

use serde_json::{Map, Value as Json};

/// Where the module is expected.
pub(crate) const MODULE: &str = "/etc/envoy/oidc_token_connector.wasm";

/// The public authorities, where Debian keeps them.
pub(crate) const SYSTEM_CA: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The configuration with places to fill in.
const TEMPLATE: &str = include_str!("bootstrap/envoy.yaml");

/// What an Envoy configuration is made of.
#[derive(Debug)]
pub(crate) struct Bootstrap<'a> {
    /// Its first lines, as comments.
    pub(crate) about: &'a str,
    /// The filter's configuration, as JSON text.
    pub(crate) filter: &'a str,
    /// The variable of Envoy's environment that the filter gets.
    pub(crate) variable: Option<&'a str>,
    /// The module's path.
    pub(crate) module: &'a str,
    /// The host and port of the backend; without them a placeholder on loopback.
    pub(crate) backend: Option<(&'a str, u16)>,
    /// The clusters to the providers, as a YAML list.
    pub(crate) clusters: &'a str,
}

impl Bootstrap<'_> {
    /// The configuration as YAML.
    pub(crate) fn yaml(&self) -> String {
        let (host, port) = self.backend.unwrap_or(("127.0.0.1", 10001));
        let kind = match host.parse::<IpAddr>() {
            Ok(_) => "STATIC",
            Err(_) => "STRICT_DNS\n      dns_lookup_family: V4_PREFERRED",
        };
        let note = if self.backend.is_some() { "The backend. " } else { "PUT IN the backend. " };
        let variables = self.variable.map(|name| {
            format!("{}environment_variables: {{ host_env_keys: [{name}] }}\n", " ".repeat(26))
        });
        // What comes from outside is put in last, and is not searched for placeholders.
        TEMPLATE
            .replace("<kind>", kind)
            .replace("<backend note>", note)
            .replace("<backend port>", &port.to_string())
            .replace("#ENVIRONMENT\n", &variables.unwrap_or_default())
            .replace("#ABOUT\n", self.about)
            .replace("<backend>", &plain(host))
            .replace("<module>", &plain(self.module))
            .replace("#CLUSTERS\n", &indented(self.clusters, "    "))
            .replace("#CONFIGURATION\n", &indented(self.filter, &" ".repeat(28)))
    }
}

/// The labels that the alert rules and the dashboard read, as elements of a YAML list.
pub(crate) fn stats_tags() -> String {
    let after = TEMPLATE.lines().skip_while(|line| line.trim() != "stats_tags:").skip(1);
    let tags = after.map(str::trim_start).take_while(|line| line.starts_with("- "));
    tags.map(|line| format!("{line}\n")).collect()
}

/// The lines with more in front.
pub(crate) fn indented(lines: &str, indent: &str) -> String {
    lines.lines().map(|line| format!("{indent}{line}\n")).collect()
}

/// A text as a YAML scalar: as it is where no reader takes it for anything else.
pub(crate) fn plain(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let is_path = text.starts_with('/') && text.chars().all(safe);
    match is_path || text.parse::<std::net::Ipv4Addr>().is_ok() {
        true => text.to_owned(),
        false => escaped(&Json::from(text).to_string()),
    }
}

/// JSON text that is also valid in a YAML block.
pub(crate) fn pretty(config: &Map<String, Json>) -> String {
    escaped(&format!("{:#}\n", Json::Object(config.clone())))
}

/// Escapes characters of JSON text that YAML reads as a line end or refuses. They occur only in strings.
fn escaped(json: &str) -> String {
    let mut safe = String::new();
    for c in json.chars() {
        match c {
            '\u{7F}'..='\u{9F}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{FEFF}'
            | '\u{FFFE}'
            | '\u{FFFF}' => {
                safe.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => safe.push(c),
        }
    }
    safe
}

/// Writes new files; none if one of them already exists.
///
/// # Errors
///
/// Which file cannot be written, and why.
pub(crate) fn write_new(dir: &Path, files: &[(&str, &str)]) -> Result<(), String> {
    let name = dir.display();
    if dir.is_file() {
        return Err(format!("{name}: is a file, expected a directory; give another name"));
    }
    std::fs::create_dir_all(dir)
        .map_err(|e| format!("{name}: cannot be created: {e}; give another directory"))?;
    let mut paths = files.iter().map(|(name, _)| dir.join(name));
    if let Some(path) = paths.find(|path| path.exists()) {
        let path = path.display();
        return Err(format!("{path}: already exists; remove it, or choose another directory"));
    }
    for (name, text) in files {
        let path = dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| {
            format!("{}: cannot be written: {error}; give another directory", path.display())
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_addresses_stay_as_they_are_and_the_rest_is_quoted() {
        for (text, expected) in [
            ("/etc/a_b-c.pem", "/etc/a_b-c.pem"),
            ("127.0.0.1", "127.0.0.1"),
            ("target/a.wasm", "\"target/a.wasm\""),
            ("/a: b", "\"/a: b\""),
            ("/a\u{2028}b", "\"/a\\u2028b\""),
            ("api.example", "\"api.example\""),
            ("::1", "\"::1\""),
            ("1e3", "\"1e3\""),
        ] {
            assert_eq!(plain(text), expected);
        }
    }

    /// What a user gives is never taken for a place to fill in.
    #[test]
    fn placeholders_in_what_is_given_stay() {
        let bootstrap = Bootstrap {
            about: "# about\n",
            filter: "{\"a\": \"<backend> #CLUSTERS\"}\n",
            variable: Some("A_B"),
            module: "/m <kind>.wasm",
            backend: Some(("api.example", 8080)),
            clusters: "- name: c\n",
        };
        let yaml = bootstrap.yaml();
        let value: Json = serde_saphyr::from_str(&yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
        let listener = &value["static_resources"]["listeners"][0];
        let manager = &listener["filter_chains"][0]["filters"][0]["typed_config"];
        let config = &manager["http_filters"][0]["typed_config"]["config"];
        assert_eq!(config["vm_config"]["code"]["local"]["filename"], "/m <kind>.wasm");
        let keys = &config["vm_config"]["environment_variables"]["host_env_keys"];
        assert_eq!(*keys, serde_json::json!(["A_B"]));
        assert_eq!(config["configuration"]["value"], "{\"a\": \"<backend> #CLUSTERS\"}\n");
        let clusters = value["static_resources"]["clusters"].as_array().unwrap();
        assert_eq!(
            (&clusters[0]["type"], &clusters[1]["name"]),
            (&"STRICT_DNS".into(), &"c".into())
        );
    }
}
