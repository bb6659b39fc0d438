//! `protected_resource`: the metadata of the resource that the gateway protects (RFC 9728), which the
//! filter itself answers, before it looks at any token.
//!
//! Clients find their provider by it. What is configured goes out to the letter: some compare it byte for
//! byte with what the provider says of itself.

use std::borrow::Cow;

use super::{Dialect, LocalReply};
use crate::claims::json::Json;
use crate::config::file::{Fields, Node};
use crate::config::key::{Key, Own};
use crate::config::list;
use crate::config::location::Report;
use crate::config::shape::{Keys, Object, text};
use crate::config::uri::{self, Uri};
use crate::request::headers::{Field, HeaderView};

/// The keys of this room.
pub(crate) const KEYS: Keys = &[&PROTECTED_RESOURCE];

static PROTECTED_RESOURCE: Key<&Object> = Key::new(
    "protected_resource",
    &Object {
        title: "ProtectedResource",
        keys: &[
            &RESOURCE,
            &AUTHORIZATION_SERVERS,
            &SCOPES_SUPPORTED,
            &RESOURCE_NAME,
            &RESOURCE_DOCUMENTATION,
        ],
        more: text(r##""required": ["resource", "authorization_servers"]"##),
    },
    text(
        "metadata for clients that discover their provider, such as MCP clients (RFC 9728): the filter \
         answers `/.well-known/oauth-protected-resource` + the path of `resource`, but for gRPC requests, and \
         every challenge says where that is. Recommended with `require_audience`",
    ),
);

static RESOURCE: Key<Own> = Key::new(
    "resource",
    Own { schema: text(r##"{"$ref": "#/$defs/PublicUri"}"##), told: text("URI") },
    text(
        "the resource identifier that clients use: `https://`, or `http://` on loopback, without query and \
         fragment. Requests for the metadata have its host in `:authority`",
    ),
);

static AUTHORIZATION_SERVERS: Key<Own> = Key::new(
    "authorization_servers",
    Own {
        schema: text(
            r##"{"type": "array", "minItems": 1, "maxItems": 10, "uniqueItems": true, "items":
                {"$ref": "#/$defs/PublicUri"}}"##,
        ),
        told: text("list of issuers, 1 to 10"),
    },
    text(
        "the issuers of usable tokens, exactly as they name themselves: a slash at the end counts",
    ),
);

static SCOPES_SUPPORTED: Key<Own> = Key::new(
    "scopes_supported",
    Own {
        schema: text(
            r##"{"type": "array", "minItems": 1, "maxItems": 64, "uniqueItems": true, "items":
                {"$ref": "#/$defs/Scope"}}"##,
        ),
        told: text("list of scopes, 1 to 64"),
    },
    text("the scopes of this resource; only such as the provider has"),
);

static RESOURCE_NAME: Key<Own> = Key::new(
    "resource_name",
    Own {
        schema: text(r##"{"$ref": "#/$defs/NoControl", "minLength": 1, "maxLength": 256}"##),
        told: text("text"),
    },
    text("its name, for people"),
);

static RESOURCE_DOCUMENTATION: Key<Own> = Key::new(
    "resource_documentation",
    Own { schema: text(r##"{"$ref": "#/$defs/PublicUri"}"##), told: text("URI") },
    text("a page for developers, without query and fragment"),
);

/// Where every metadata document is (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Most authorization servers, and most scopes.
const MOST_SERVERS: usize = 10;
const MOST_SCOPES: usize = 64;

/// The metadata, and where it is asked for.
#[derive(Debug)]
pub struct Metadata {
    /// Its URL, as challenges name it.
    pub url: String,
    /// The issuers as configured.
    pub authorization_servers: Vec<String>,
    /// The resource as configured.
    pub resource: String,
    path: String,
    /// Lower-cased, without the default port.
    authority: String,
    default_port: &'static str,
    body: String,
}

impl Metadata {
    /// The reply, if this request asks for the metadata.
    pub(crate) fn answer(&self, head: &HeaderView<'_>) -> Option<LocalReply> {
        let path = one(head, ":path")?;
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path != self.path.as_bytes() || !self.is_authority(one(head, ":authority")?) {
            return None;
        }
        // Envoy makes a gRPC status of it, under HTTP status 200: a cache would keep that as the document.
        if Dialect::of(head) == Dialect::Grpc {
            return None;
        }
        let mut headers = vec![("access-control-allow-origin", "*".to_owned())];
        let (status, body) = match head.field(":method") {
            Field::One(b"GET" | b"HEAD") => {
                headers.push(("content-type", "application/json".to_owned()));
                headers.push(("cache-control", "max-age=3600".to_owned()));
                (200, self.body.clone())
            }
            Field::One(b"OPTIONS") => {
                headers.push(("access-control-allow-methods", "GET, HEAD".to_owned()));
                headers.push(("access-control-allow-headers", "*".to_owned()));
                (204, String::new())
            }
            Field::One(_) | Field::Absent | Field::Several => {
                headers.push(("allow", "GET, HEAD, OPTIONS".to_owned()));
                (405, String::new())
            }
        };
        let details = "oidc_token_connector{metadata}".to_owned();
        Some(LocalReply { status, headers, body, details })
    }

    /// The path at which it is asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn is_authority(&self, authority: &[u8]) -> bool {
        let bare = authority.strip_suffix(self.default_port.as_bytes()).unwrap_or(authority);
        bare.eq_ignore_ascii_case(self.authority.as_bytes())
    }
}

fn one<'b>(head: &HeaderView<'b>, name: &str) -> Option<&'b [u8]> {
    match head.field(name) {
        Field::One(value) => Some(value),
        Field::Absent | Field::Several => None,
    }
}

fn texts(texts: &[String]) -> Json<'_> {
    Json::Array(texts.iter().map(|text| Json::String(Cow::Borrowed(text))).collect())
}

/// Reads the key.
pub(crate) fn read(top: &Fields<'_>, report: &mut Report) -> Option<Metadata> {
    let fields = PROTECTED_RESOURCE.open(top, report)?;
    let resource = match RESOURCE.node(&fields) {
        Some(node) => public(&node, report),
        None => {
            report.problem(&fields.place.absent(RESOURCE.name()), "missing, expected a URI");
            None
        }
    };
    let missing = "missing, expected an array with at least one issuer";
    let servers = match AUTHORIZATION_SERVERS.node(&fields) {
        Some(node) => {
            let wrong = |text: &str| uri::public(text).err();
            list::texts(&node, MOST_SERVERS, "a URI as text", wrong, report)
        }
        None => {
            report.problem(&fields.place.absent(AUTHORIZATION_SERVERS.name()), missing);
            Vec::new()
        }
    };
    let scopes = SCOPES_SUPPORTED
        .node(&fields)
        .map(|node| list::texts(&node, MOST_SCOPES, "a scope as text", list::wrong_scope, report));
    let name = RESOURCE_NAME
        .node(&fields)
        .and_then(|node| node.plain_text("a name as text", 256, report).map(str::to_owned));
    let documentation = RESOURCE_DOCUMENTATION.node(&fields).and_then(|node| public(&node, report));
    let (written, Uri { scheme, authority, path }) = resource?;
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let bare = authority.strip_suffix(default_port).unwrap_or(&authority).to_ascii_lowercase();
    let path = format!("{WELL_KNOWN}{}", if path == "/" { "" } else { &path });
    let mut members = vec![
        ("resource", Json::String(Cow::Borrowed(&*written))),
        ("authorization_servers", texts(&servers)),
        ("bearer_methods_supported", Json::Array(vec![Json::String(Cow::Borrowed("header"))])),
    ];
    members.extend(scopes.as_ref().map(|scopes| ("scopes_supported", texts(scopes))));
    for (key, value) in [
        ("resource_name", name.as_deref()),
        ("resource_documentation", documentation.as_ref().map(|(text, _)| &**text)),
    ] {
        members.extend(value.map(|value| (key, Json::String(Cow::Borrowed(value)))));
    }
    let members = members.into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
    Some(Metadata {
        url: format!("{scheme}://{authority}{path}"),
        body: Json::Object(members.collect()).to_compact(),
        authorization_servers: servers,
        resource: written,
        path,
        authority: bare,
        default_port,
    })
}

/// A URI that strangers may call: TLS, or this machine.
fn public(node: &Node<'_>, report: &mut Report) -> Option<(String, Uri)> {
    let text = node.text("a URI as text", report)?;
    match uri::public(text) {
        Ok(uri) => Some((text.to_owned(), uri)),
        Err(wrong) => {
            report.problem(&node.place, wrong);
            None
        }
    }
}

#[cfg(test)]
mod tests;
