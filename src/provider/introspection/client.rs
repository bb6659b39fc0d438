//! `introspection_client`: as which client the gateway asks, and how it proves that.
//!
//! A secret must never reach a log, a reply or `Debug`, and never another provider than its own: nothing
//! falls back from one region to another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::claims::percent_encoded;
use crate::config::environment::Environment;
use crate::config::file::{Fields, Node};
use crate::config::key::{Choice, Key, Own};
use crate::config::location::Report;
use crate::config::problem::quoted;
use crate::config::secret::Secret;
use crate::config::shape::{Keys, Object, names_of, text};
use crate::config::tree::Tree;

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&INTROSPECTION_CLIENT];

static INTROSPECTION_CLIENT: Key<Own> = Key::new(
    "introspection_client",
    Own {
        schema: text(
            r##"{"anyOf": [{"$ref": "#/$defs/IntrospectionClient"},
                {"type": "object", "minProperties": 1,
                 "additionalProperties": {"$ref": "#/$defs/IntrospectionClient"}}]}"##,
        ),
        told: text("object, or object region → object"),
    },
    text(
        "the client as which the gateway asks; only with `introspection_endpoint`, and required there. \
         One for all where the endpoints have one host; else by region, `{\"FR\": {…}, \"default\": {…}}`, \
         one for each region and the default that exist: nothing falls back, because a secret must not go \
         to another provider",
    ),
);

/// A client as an object.
pub static CLIENT: Object = Object {
    title: "IntrospectionClient",
    keys: &[&CLIENT_ID, &CLIENT_SECRET_ENV, &CLIENT_SECRET, &AUTH_METHOD],
    more: text(
        r##""required": ["client_id"],
            "if": {"properties": {"auth_method": {"const": "none"}}, "required": ["auth_method"]},
            "then": {"not": {"anyOf": [{"required": ["client_secret"]}, {"required": ["client_secret_env"]}]}},
            "else": {"oneOf": [{"required": ["client_secret"]}, {"required": ["client_secret_env"]}]}"##,
    ),
};

static CLIENT_ID: Key<Own> = Key::new(
    "client_id",
    Own {
        schema: text(r##"{"$ref": "#/$defs/NoControl", "minLength": 1, "maxLength": 1024}"##),
        told: text("text"),
    },
    text("the gateway's own client at the provider, not that of the tokens"),
);

static CLIENT_SECRET_ENV: Key<Own> = Key::new(
    "client_secret_env",
    Own {
        schema: text(
            r##"{"type": "string", "maxLength": 128, "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}"##,
        ),
        told: text("name of a variable"),
    },
    text(
        "the variable of the VM's environment that has the secret: Envoy hands it over with \
         `environment_variables.host_env_keys`. Absent or empty, the configuration is refused",
    ),
);

static CLIENT_SECRET: Key<Own> = Key::new(
    "client_secret",
    Own {
        schema: text(r##"{"$ref": "#/$defs/NoControl", "minLength": 1, "maxLength": 4096}"##),
        told: text("text"),
    },
    text("the secret itself; everybody who sees the configuration sees it"),
);

static AUTH_METHOD: Key<Choice<AuthMethod>> = Key::new(
    "auth_method",
    Choice {
        default: ("client_secret_basic", AuthMethod::Basic),
        others: &[("client_secret_post", AuthMethod::Post), ("none", AuthMethod::None)],
    },
    text(
        "how the client authenticates (RFC 8414 §2): `Authorization: Basic` with both parts form-encoded \
         (RFC 6749 §2.3.1); both in the form; or only `client_id` in the form, for mutual TLS on the \
         cluster (RFC 8705)",
    ),
);

/// `auth_method`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMethod {
    /// `client_secret_basic`
    Basic,
    /// `client_secret_post`
    Post,
    /// `none`
    None,
}

impl AuthMethod {
    fn name(self) -> &'static str {
        match self {
            AuthMethod::Basic => "client_secret_basic",
            AuthMethod::Post => "client_secret_post",
            AuthMethod::None => "none",
        }
    }
}

/// The gateway as a client of the provider.
#[derive(Debug, Clone)]
pub struct Client {
    id: String,
    method: AuthMethod,
    secret: Secret<'static>,
    /// The secret's SHA-256 in hexadecimal digits, for keys: answers may differ by client.
    digest: Secret<'static>,
}

impl Client {
    pub(crate) fn new(id: &str, method: AuthMethod, secret: &str) -> Client {
        let digest: String =
            Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect();
        Client {
            id: id.to_owned(),
            method,
            secret: Secret::new(secret).into_owned(),
            digest: Secret::new(&digest).into_owned(),
        }
    }

    /// Its name and method, and a digest of its secret.
    pub(crate) fn key_parts(&self) -> [&str; 3] {
        [&self.id, self.method.name(), self.digest.expose()]
    }

    /// The value of `Authorization`, if it authenticates there.
    pub(crate) fn authorization(&self) -> Option<String> {
        (self.method == AuthMethod::Basic).then(|| {
            let pair = [&self.id, self.secret.expose()].map(percent_encoded).join(":");
            format!("Basic {}", STANDARD.encode(pair))
        })
    }

    /// What the form says of the client.
    pub(crate) fn identify(&self, body: &mut String) {
        let secret = match self.method {
            AuthMethod::Basic => return,
            AuthMethod::Post => Some(form("client_secret", self.secret.expose())),
            AuthMethod::None => None,
        };
        for field in [Some(form("client_id", &self.id)), secret].into_iter().flatten() {
            body.push('&');
            body.push_str(&field);
        }
    }
}

/// One field of a form, encoded in the spelling that every reader takes: blanks as `%20`.
pub(crate) fn form(name: &str, value: &str) -> String {
    format!("{name}={}", percent_encoded(value))
}

/// The clients by region.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    everywhere: Option<Client>,
    regions: Vec<(String, Option<Client>)>,
}

impl Clients {
    /// The client for a region, or for `default`.
    pub(crate) fn of(&self, region: &str) -> Option<&Client> {
        let own = self.regions.iter().find(|(code, _)| code == region);
        own.map_or(&self.everywhere, |(_, client)| client).as_ref()
    }
}

/// Reports the key where tokens are not introspected.
pub(crate) fn refuse_with_userinfo(top: &Fields<'_>, report: &mut Report) {
    if let Some(node) = INTROSPECTION_CLIENT.node(top) {
        report.problem(
            &node.place,
            "got introspection_client without introspection_endpoint, expected both together",
        );
    }
}

/// Reads the key. `regions` are the endpoints that exist, `default` among them; `None` if that cannot be
/// known. `providers` is how many of them may be different providers'.
pub(crate) fn read(
    top: &Fields<'_>,
    (regions, providers): (Option<&[String]>, usize),
    environment: &Environment<'_>,
    report: &mut Report,
) -> Clients {
    let Some(node) = INTROSPECTION_CLIENT.node(top) else {
        report.problem(
            &top.place.absent(INTROSPECTION_CLIENT.name()),
            "missing, expected the client as which the gateway asks at introspection_endpoint",
        );
        return Clients::default();
    };
    let place = node.place.clone();
    let is_by_region = match node.value {
        Tree::Object(members) => {
            !members.is_empty() && members.iter().all(|(_, value)| matches!(value, Tree::Object(_)))
        }
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::List(_) => false,
    };
    if !is_by_region {
        if providers > 1 {
            report.problem(
                &place,
                format!(
                    "got one client for {providers} endpoints at different hosts, expected one for each, \
                     by region: a secret must not go to another provider"
                ),
            );
        }
        let everywhere = client(node, environment, report);
        return Clients { everywhere, regions: Vec::new() };
    }
    let mut clients = Clients::default();
    for (code, node) in Fields::open_map(node, report).iter().flat_map(Fields::iter) {
        if regions.is_some_and(|regions| !regions.iter().any(|known| known == code)) {
            report.problem(&node.place, unknown(regions.unwrap_or_default()));
        }
        let client = client(node, environment, report);
        clients.regions.push((code.to_owned(), client));
    }
    for code in regions.unwrap_or_default() {
        if !clients.regions.iter().any(|(known, _)| known == code) {
            report.problem(
                &place,
                format!(
                    "got no client for {}, expected one for each endpoint: a secret must not go to \
                     another provider",
                    quoted(code)
                ),
            );
        }
    }
    clients
}

fn unknown(regions: &[String]) -> String {
    let allowed: Vec<String> = regions.iter().map(|code| quoted(code)).collect();
    format!("unknown region, expected one of {}", allowed.join(", "))
}

fn client(node: Node<'_>, environment: &Environment<'_>, report: &mut Report) -> Option<Client> {
    let fields = Fields::open(node, &names_of(&[CLIENT.keys]), report)?;
    let id = match CLIENT_ID.node(&fields) {
        Some(node) => node.plain_text("text", 1024, report),
        None => {
            report.problem(&fields.place.absent(CLIENT_ID.name()), "missing, expected text");
            None
        }
    };
    let method = method(&fields, report);
    let written = CLIENT_SECRET.node(&fields);
    let named = CLIENT_SECRET_ENV.node(&fields);
    if let (AuthMethod::None, Some(node)) = (method, written.as_ref().or(named.as_ref())) {
        report.problem(
            &node.place,
            "got a secret with auth_method \"none\", expected no secret: remove it, or choose \
             client_secret_basic or client_secret_post",
        );
        return None;
    }
    let secret = match (written, named) {
        (None, None) if method == AuthMethod::None => Some(String::new()),
        (None, None) => {
            report.problem(
                &fields.place.absent(CLIENT_SECRET_ENV.name()),
                "missing, expected the name of the environment variable with the secret",
            );
            None
        }
        (Some(node), Some(_)) => {
            report.problem(
                &node.place,
                "got client_secret together with client_secret_env, expected one of the two",
            );
            None
        }
        (Some(node), None) => node.plain_text("text", 4096, report).map(str::to_owned),
        (None, Some(node)) => from_environment(&node, environment, report),
    };
    Some(Client::new(id?, method, &secret?))
}

/// How it authenticates. Another word is not shown: it may be the secret, in the wrong place.
fn method(fields: &Fields<'_>, report: &mut Report) -> AuthMethod {
    let names = [AuthMethod::Basic, AuthMethod::Post, AuthMethod::None].map(AuthMethod::name);
    if let Some(node) = AUTH_METHOD.node(fields)
        && let Tree::Text(text) = node.value
        && !names.iter().any(|name| name.eq_ignore_ascii_case(text))
    {
        let names = names.map(quoted).join(" or ");
        report.problem(&node.place, format!("got another word, expected {names}"));
        return AuthMethod::Basic;
    }
    AUTH_METHOD.read(fields, report)
}

fn from_environment(
    node: &Node<'_>,
    environment: &Environment<'_>,
    report: &mut Report,
) -> Option<String> {
    let name = node.text("the name of an environment variable", report)?;
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_name = name.starts_with(is_first)
        && name.len() <= 128
        && name.chars().all(|c| is_first(c) || c.is_ascii_digit());
    if !is_name {
        report.problem(
            &node.place,
            "got no name of a variable, expected a letter or _, then letters, digits and _, at most 128",
        );
        return None;
    }
    // The name is not shown: it may be the secret itself, in the wrong place.
    let wrong = match environment.get(name) {
        Some(secret) if secret.is_empty() => "is empty in",
        Some(secret) if secret.len() > 4096 || secret.chars().any(char::is_control) => {
            report.problem(
                &node.place,
                "the variable has a control character, such as a line break at its end, or more than \
                 4096 bytes, expected the secret alone",
            );
            return None;
        }
        Some(secret) => return Some(secret),
        None => "is not in",
    };
    report.problem(
        &node.place,
        format!(
            "the variable {wrong} the VM's environment, expected the secret: give it to the VM \
             with vm_config.environment_variables (host_env_keys), and to Envoy's own process"
        ),
    );
    None
}

#[cfg(test)]
mod tests;
