//! One instance of the filter: its place, and its configuration as the filter reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oidc_token_connector::policy::{self, Authorization, Endpoint, Endpoints, Policy};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as ProtoValue};
use serde_json::Value;

use super::codes;
use super::finding::Findings;
use crate::tree::Node;

/// The name of the module or its file, in one of these spellings.
const NAMES: [&str; 2] = ["oidc-token-connector", "oidc_token_connector"];
/// Keys that no other filter's configuration has.
const OWN_KEYS: [&str; 3] = ["userinfo_endpoint", "introspection_endpoint", "inject_headers"];

/// The platform of an instance, which decides what can be known of its surroundings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    /// Envoy's own configuration.
    Envoy,
    /// A manifest for Istio.
    Istio,
    /// A manifest for Envoy Gateway.
    Gateway,
    /// The filter's configuration alone.
    Alone,
}

/// One instance of the filter.
#[derive(Debug)]
pub(crate) struct Instance<'a> {
    /// By what name routes switch it.
    pub(crate) name: String,
    /// Its place.
    pub(crate) node: Node<'a>,
    /// Its surroundings.
    pub(crate) platform: Platform,
    /// Which connection manager has it among its filters.
    pub(crate) manager: Option<usize>,
    /// Whether it is off unless a route switches it on.
    pub(crate) disabled: bool,
    /// Envoy's PluginConfig, if it is in one.
    pub(crate) plugin: Option<Node<'a>>,
    /// The place of its configuration.
    pub(crate) place: Node<'a>,
    /// Its configuration as the filter gets it, or the reason why there is none.
    text: Result<Vec<u8>, String>,
    /// The policy, if it loads.
    pub(crate) policy: Option<Policy>,
}

impl<'a> Instance<'a> {
    /// The filter's own object is all there is.
    pub(crate) fn alone(root: &Node<'a>) -> Instance<'a> {
        let text = match &root.document.json {
            Some(text) => text.clone().into_bytes(),
            None => root.value.to_string().into_bytes(),
        };
        Instance::new("", root, Platform::Alone, root, Ok(text))
    }

    /// An instance with its configuration.
    pub(crate) fn new(
        name: &str,
        node: &Node<'a>,
        platform: Platform,
        place: &Node<'a>,
        text: Result<Vec<u8>, String>,
    ) -> Instance<'a> {
        Instance {
            name: name.to_owned(),
            node: node.clone(),
            platform,
            manager: None,
            disabled: false,
            plugin: None,
            place: place.clone(),
            text,
            policy: None,
        }
    }

    /// Reads the configuration; problems have the filter's own text.
    pub(crate) fn read(&mut self, findings: &mut Findings) {
        let text = match &self.text {
            Ok(text) => text,
            Err(wrong) => return findings.add(codes::CONFIGURATION, &self.place, wrong),
        };
        let problems = match policy::read(text) {
            Ok(loaded) => {
                self.policy = Some(loaded.policy);
                loaded.faults
            }
            Err(problems) => problems,
        };
        for problem in problems {
            let problem = problem.to_string();
            let remedy = self.misread(&problem);
            findings.add_with(codes::CONFIGURATION, &self.place, problem, remedy);
        }
    }

    /// The remedy for a value that only looks like a number.
    fn misread(&self, problem: &str) -> Option<String> {
        let mut texts = self.place.document.texts.iter();
        let (_, text) = texts.find(|(place, _)| {
            let place = place.strip_prefix(self.place.place.as_str());
            place.is_some_and(|place| {
                problem.starts_with(&format!("{}: ", place.trim_start_matches('.')))
            })
        })?;
        Some(format!(
            "Envoy's YAML reader reads {text} as text: write a decimal number of at most \
             2147483647, without point, exponent or underscore; or give the configuration as JSON \
             text, in a google.protobuf.StringValue"
        ))
    }

    /// Its configuration as Envoy hands it over.
    pub(crate) fn text(&self) -> Result<&[u8], &str> {
        self.text.as_deref().map_err(String::as_str)
    }

    /// Its configuration as it is written, where that is an object.
    pub(crate) fn written(&self) -> Option<Cow<'a, Value>> {
        let value = self.place.value;
        if value.is_object() {
            return Some(Cow::Borrowed(value));
        }
        serde_json::from_slice(self.text().ok()?).ok().map(Cow::Owned)
    }

    /// Whether a key is written, with anything but `null`.
    pub(crate) fn sets(&self, key: &str) -> bool {
        self.written().is_some_and(|written| written.get(key).is_some_and(|value| !value.is_null()))
    }

    /// Whether tokens are introspected.
    pub(crate) fn introspects(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.method.name() == "introspection")
    }

    /// Whether an answer counts without its signature: TLS alone vouches for it.
    pub(crate) fn trusts_tls(&self) -> bool {
        let written = self.written();
        written.is_some_and(|written| {
            written.get("userinfo_jwt").is_some_and(|value| value == "trust_tls")
        })
    }

    /// Every client as which tokens are introspected.
    pub(crate) fn clients(&self) -> Vec<Value> {
        let written = self.written();
        match written.as_ref().and_then(|written| written.get("introspection_client")) {
            Some(Value::Object(members)) if members.values().all(Value::is_object) => {
                members.values().cloned().collect()
            }
            Some(client) => vec![client.clone()],
            None => Vec::new(),
        }
    }

    /// Every endpoint that may be called.
    pub(crate) fn endpoints(&self) -> Vec<&Endpoint> {
        match self.policy.as_ref().map(|policy| &policy.endpoints) {
            Some(Endpoints::Configured(table)) => {
                table.regions.iter().chain(&table.default).map(|endpoint| &**endpoint).collect()
            }
            Some(Endpoints::NotConfigured) | None => Vec::new(),
        }
    }

    /// Every header that it may set: a backend believes these.
    pub(crate) fn identity_headers(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let rules = self.endpoints().into_iter().flat_map(|endpoint| endpoint.rules.iter());
        let forward = self.policy.iter().map(|policy| &policy.forward);
        let own = forward.flat_map(|forward| [&forward.region_header, &forward.anonymous_header]);
        for name in rules.map(|rule| &rule.name).chain(own.flatten()) {
            if !names.iter().any(|known| **known == **name) {
                names.push(name.to_string());
            }
        }
        names
    }

    /// Whether nothing behind it sees the token.
    pub(crate) fn removes_the_token(&self) -> bool {
        let policy = self.policy.as_ref();
        policy.is_some_and(|policy| policy.forward.authorization == Authorization::Remove)
    }

    /// Whether it removes the client's header of that name.
    pub(crate) fn strips(&self, name: &str) -> bool {
        let policy = self.policy.as_ref();
        policy.is_some_and(|policy| policy.forward.strip.covers(name.as_bytes()))
    }
}

/// The instance in an entry of `http_filters`, or in a resource with its name and configuration, if
/// the Wasm filter in it is this one.
pub(crate) fn in_envoy<'a>(
    entry: &Node<'a>,
    wasm: &Node<'a>,
    manager: Option<usize>,
    platform: Platform,
) -> Option<Instance<'a>> {
    let plugin = wasm.get("config")?;
    let name = entry.text("name").unwrap_or_default();
    let (place, text) = configuration(&plugin);
    let code = plugin.at(&["vm_config", "code"]);
    let names = [Some(name), plugin.text("name"), plugin.text("root_id")];
    let named = names.into_iter().flatten().any(is_name);
    if !named && !code.is_some_and(|code| is_named_in(code.value)) && !is_configuration(&text) {
        return None;
    }
    let mut instance = Instance::new(name, entry, platform, &place, text);
    instance.manager = manager;
    instance.disabled = entry.is_true("disabled");
    instance.plugin = Some(plugin);
    Some(instance)
}

/// Whether a name, a path or an address is this filter's.
pub(crate) fn is_name(text: &str) -> bool {
    NAMES.iter().any(|name| text.contains(name))
}

fn is_named_in(value: &Value) -> bool {
    match value {
        Value::String(text) => is_name(text),
        Value::Array(items) => items.iter().any(is_named_in),
        Value::Object(members) => members.values().any(is_named_in),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether an object is a configuration of this filter.
pub(crate) fn is_own(value: &Value) -> bool {
    OWN_KEYS.iter().any(|key| value.get(key).is_some())
}

/// Whether a document is a configuration of this filter by itself: it has one of the filter's own
/// keys, or most of its keys are the filter's.
pub(crate) fn is_alone(root: &Node<'_>) -> bool {
    let Some(members) = root.value.as_object() else {
        // JSON with a mistake in it.
        return root.document.json.as_ref().is_some_and(|text| has_own_key(text.as_bytes()));
    };
    let known = |name: &&String| {
        let mut keys = policy::ROOMS.iter().flat_map(|keys| keys.iter());
        keys.any(|key| key.name() == **name)
    };
    let known: Vec<&String> = members.keys().filter(known).collect();
    // Single words, such as `timeout` and `cache`, are in too many other files.
    let particular = known.iter().any(|name| name.contains('_'));
    is_own(root.value) || particular && known.len() > 1 && known.len() > members.len() / 2
}

fn is_configuration(text: &Result<Vec<u8>, String>) -> bool {
    let Ok(text) = text else {
        return false;
    };
    has_own_key(text)
}

/// Also where it is JSON with a mistake in it, or a Struct.
fn has_own_key(text: &[u8]) -> bool {
    OWN_KEYS.iter().any(|key| text.windows(key.len()).any(|window| window == key.as_bytes()))
}

/// The node of a plugin's configuration, and the bytes that Envoy makes of it.
fn configuration<'a>(plugin: &Node<'a>) -> (Node<'a>, Result<Vec<u8>, String>) {
    const ALLOWED: &str = "expected a google.protobuf.StringValue with the JSON text, or a \
                           google.protobuf.Struct";
    let Some(any) = plugin.get("configuration") else {
        return (plugin.clone(), Ok(Vec::new()));
    };
    let value = any.member("value").unwrap_or_else(|| any.clone());
    let written = value.value;
    let message = any.member("@type").and_then(|kind| kind.value.as_str()).unwrap_or_default();
    let text = match message.rsplit('/').next().unwrap_or_default() {
        "google.protobuf.StringValue" => match (written.as_str(), any.member("value")) {
            (Some(text), Some(_)) => Ok(text.as_bytes().to_vec()),
            (_, None) => Ok(Vec::new()),
            (None, _) => Err(format!("got no text in the StringValue, {ALLOWED}")),
        },
        "google.protobuf.BytesValue" => {
            let bytes = written.as_str().and_then(|text| STANDARD.decode(text).ok());
            bytes.ok_or_else(|| format!("got no base64 text in the BytesValue, {ALLOWED}"))
        }
        "google.protobuf.Struct" => match (written.as_object(), any.member("value")) {
            (Some(members), Some(_)) => Ok(structure(members).encode_to_vec()),
            (_, _) => Err(format!("got no object as `value` of the Struct, {ALLOWED}")),
        },
        "" => Err(format!("got no @type, {ALLOWED}")),
        other => Err(format!("got a {other}, {ALLOWED}")),
    };
    (value, text)
}

/// The text that Envoy makes of an object in its file: the filter gets it in this form.
fn structure(members: &serde_json::Map<String, Value>) -> Struct {
    let fields = members.iter().map(|(name, value)| (name.clone(), proto(value)));
    Struct { fields: fields.collect::<BTreeMap<_, _>>() }
}

fn proto(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        // Envoy has no other numbers in a Struct.
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => {
            Kind::ListValue(ListValue { values: items.iter().map(proto).collect() })
        }
        Value::Object(members) => Kind::StructValue(structure(members)),
    };
    ProtoValue { kind: Some(kind) }
}
