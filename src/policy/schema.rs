//! What the JSON Schema of the configuration says beyond single keys: forms that several keys have, and
//! rules between keys. As JSON text, in the part of ECMA-262 that every validator has: no look-around,
//! no flags. It describes; the rooms' readers decide, and tests hold the two together.

use crate::claims::{required, rules};
use crate::config::shape::Object;
use crate::provider::endpoint::issuers;
use crate::provider::introspection::client;

/// Objects that are no key's own value.
pub const OBJECTS: &[(&str, &Object)] = &[
    ("a value", &rules::VALUE),
    ("a client", &client::CLIENT),
    ("an issuer", &issuers::ISSUER),
    ("values of a claim", &required::ANY_OF),
];

/// Forms that keys refer to, by name.
pub const FORMS: &str = r##"{
"HeaderName": {
    "description": "The name of a header (RFC 9110 §5.6.2).",
    "type": "string", "maxLength": 128, "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
},
"HeaderText": {
    "description": "Printable ASCII without blanks at its ends.",
    "type": "string", "pattern": "^([!-~]([ -~]*[!-~])?)?$"
},
"Name": {
    "description": "A name in filter state or statistics.",
    "type": "string", "maxLength": 64, "pattern": "^[a-z][a-z0-9_]*$"
},
"NoControl": {
    "description": "Text without control characters.",
    "type": "string", "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"
},
"RegionCode": {
    "description": "A region code.",
    "type": "string", "maxLength": 256,
    "pattern": "^[^\\u0000-\\u0020\\u007f-\\u00a0]([^\\u0000-\\u001f\\u007f-\\u009f]*[^\\u0000-\\u0020\\u007f-\\u00a0])?$"
},
"Uri": {
    "description": "An absolute `http://` or `https://` URI with host and path, without user-info and fragment (RFC 3986).",
    "type": "string", "maxLength": 2048,
    "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://(\\[[0-9A-Fa-f:.]+\\]|[0-9A-Za-z._-]+)(:[0-9]+)?/([0-9A-Za-z._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*$"
},
"Endpoint": {
    "description": "An endpoint at one site, or at several in the order in which they are tried.",
    "anyOf": [
        {"$ref": "#/$defs/Uri"},
        {"type": "array", "items": {"$ref": "#/$defs/Uri"}, "minItems": 1, "maxItems": 5, "uniqueItems": true}
    ]
},
"TlsEndpoint": {
    "description": "An endpoint whose every URI is `https://`.",
    "pattern": "^[Hh][Tt][Tt][Pp][Ss]://", "items": {"pattern": "^[Hh][Tt][Tt][Pp][Ss]://"}
},
"TlsEndpoints": {
    "description": "Endpoints that are `https://`.",
    "properties": {
        "defaultURI": {"$ref": "#/$defs/TlsEndpoint"},
        "regionCodeValue": {"additionalProperties": {"$ref": "#/$defs/TlsEndpoint"}},
        "issuers": {"additionalProperties": {"properties": {"uri": {"$ref": "#/$defs/TlsEndpoint"}}}}
    }
},
"PublicUri": {
    "description": "An absolute `https://` URI, or `http://` on loopback, without user-info, query and fragment.",
    "type": "string", "maxLength": 2048,
    "pattern": "^([Hh][Tt][Tt][Pp][Ss]://(\\[[0-9A-Fa-f:.]+\\]|[0-9A-Za-z._-]+)|[Hh][Tt][Tt][Pp]://([Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|\\[::1\\]|127(\\.(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}))(:[0-9]+)?(/([0-9A-Za-z._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?$"
},
"Scope": {
    "description": "One scope (RFC 6749 §3.3).",
    "type": "string", "minLength": 1, "maxLength": 256, "pattern": "^[!#-\\[\\]-~]+$"
},
"JsonPath": {
    "description": "A JSONPath: RFC 9535, and the older forms of the connector's guide.",
    "type": "string", "minLength": 1, "maxLength": 256
},
"ClaimValue": {
    "description": "What a claim has to be, a number as written.",
    "type": ["string", "boolean", "number"]
},
"ClaimValues": {
    "description": "Values of which a claim has to be one.",
    "type": "array", "items": {"$ref": "#/$defs/ClaimValue"}, "minItems": 1
},
"SubjectPath": {
    "description": "A JSONPath of names and indexes alone, to where a provider has the subject that does not have it in `sub`.",
    "type": "string", "minLength": 1, "maxLength": 256, "not": {"enum": ["true", "false"]}
},
"ValueRule": {
    "description": "Where a value is.",
    "anyOf": [{"$ref": "#/$defs/JsonPath"}, {"$ref": "#/$defs/ValueObject"}]
},
"RegionHeaders": {
    "description": "The headers of one region.",
    "type": "object", "propertyNames": {"$ref": "#/$defs/HeaderName"},
    "additionalProperties": {"$ref": "#/$defs/ValueRule"}
}
}"##;

/// Rules between keys, as members of the outermost schema. Envoy reaches a forward proxy with CONNECT
/// alone, so its endpoints are `https://`.
pub const RULES: &str = r##"{
"oneOf": [
    {"required": ["userinfo_endpoint"], "not": {"anyOf": [
        {"required": ["introspection_endpoint"]}, {"required": ["introspection_client"]}]}},
    {"required": ["introspection_endpoint", "introspection_client"],
     "properties": {"userinfo_headers": {"propertyNames": {
         "not": {"pattern": "^[Cc][Oo][Nn][Tt][Ee][Nn][Tt][^0-9A-Za-z][Tt][Yy][Pp][Ee]$"}}}},
     "not": {"anyOf": [
        {"required": ["userinfo_endpoint"]}, {"required": ["userinfo_method"]},
        {"required": ["userinfo_jwt"]}, {"required": ["accept_any_200"]}]}}
],
"dependentRequired": {
    "http_proxy_server": ["http_proxy_port"], "http_proxy_port": ["http_proxy_server"]
},
"not": {
    "properties": {"accept_any_200": {"const": true}, "require_subject": {"not": {"const": false}}},
    "required": ["accept_any_200", "require_subject"]
},
"dependentSchemas": {
    "provider_errors": {
        "if": {"properties": {"provider_errors": {"const": "map"}}},
        "then": {
            "properties": {"userinfo_unavailable": {
                "properties": {"status": {"const": 503}}, "required": ["status"]
            }},
            "required": ["userinfo_unavailable"]
        }
    },
    "anonymous_header": {
        "properties": {"credentials": {"const": "optional"}}, "required": ["credentials"]
    },
    "unknown_issuer": {"properties": {
        "userinfo_endpoint": {"required": ["issuers"]},
        "introspection_endpoint": {"required": ["issuers"]}
    }},
    "userinfo_jwt": {
        "if": {"properties": {"userinfo_jwt": {"const": "trust_tls"}}},
        "then": {"properties": {"userinfo_endpoint": {"$ref": "#/$defs/TlsEndpoints"}}}
    },
    "http_proxy_server": {"properties": {
        "userinfo_endpoint": {"$ref": "#/$defs/TlsEndpoints"},
        "introspection_endpoint": {"$ref": "#/$defs/TlsEndpoints"}
    }}
}
}"##;
