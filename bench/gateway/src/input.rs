//! What every request of a benchmark consists of, so that all measure the same: `bench/operations`
//! has this file too. It needs `serde_json` alone.

use serde_json::json;

/// The headers that our filter injects, in this order. The claims are in every UserInfo document.
pub(crate) const INJECTED: [(&str, &str); 10] = [
    ("x-user", "$.sub"),
    ("x-email", "$.email"),
    ("x-name", "$.name"),
    ("x-given-name", "$.given_name"),
    ("x-family-name", "$.family_name"),
    ("x-login", "$.preferred_username"),
    ("x-locale", "$.locale"),
    ("x-tenant", "$.tenant"),
    ("x-plan", "$.plan"),
    ("x-role", "$.roles[0]"),
];

/// A UserInfo document of that many bytes, or as short as it can be.
pub(crate) fn document(bytes: usize) -> String {
    let mut document = json!({
        "sub": "248289761001", "email": "jane@example.com", "name": "Jane Doe",
        "given_name": "Jane", "family_name": "Doe", "preferred_username": "jdoe",
        "locale": "en-GB", "tenant": "t-4711", "plan": "gold",
        "roles": ["buyer", "approver"], "updated_at": 1_700_000_000, "groups": "",
    });
    let missing = bytes.saturating_sub(document.to_string().len());
    document["groups"] = "member-of ".chars().cycle().take(missing).collect::<String>().into();
    document.to_string()
}

/// The first `count` header fields of a client: six as an API client sends them, then more of the
/// kind that proxies and tracing add. `Host` and `Authorization` come on top.
pub(crate) fn fields(count: usize) -> Vec<(String, String)> {
    const CLIENT: [(&str, &str); 6] = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ("accept", "application/json, text/plain;q=0.9"),
        ("accept-language", "de-DE,de;q=0.9,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        ("referer", "https://shop.example/orders/2026"),
        ("x-correlation-id", "4f7c1a52-9d0e-4b1f-8a53-0c6f1f6f9a11"),
    ];
    let client = CLIENT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let more = (1..).map(|n| (format!("x-client-context-{n:02}"), format!("value-{n:02}-of-many")));
    client.chain(more).take(count).collect()
}

/// Header pairs as Envoy and a module hand them to each other: a count, two lengths for each pair, then
/// names and values with a zero byte behind each.
pub(crate) fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut block = number(fields.len()).to_vec();
    for (name, value) in fields {
        block.extend(number(name.len()));
        block.extend(number(value.len()));
    }
    for text in fields.iter().flat_map(|(name, value)| [name, value]) {
        block.extend(text.as_bytes());
        block.push(0);
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_has_the_documented_sizes() {
        assert_eq!([300, 8192].map(|bytes| document(bytes).len()), [300, 8192]);
        assert_eq!([0, 6, 38].map(|count| fields(count).len()), [0, 6, 38]);
    }
}
