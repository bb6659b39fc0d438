//! UserInfo documents, and the configurations that read them.

use std::fmt::Write;

/// An answer as a provider gives it that knows little.
pub(crate) const SMALL: &str = concat!(
    r#"{"sub":"248289761001","name":"Jane Doe","given_name":"Jane","family_name":"Doe","#,
    r#""email":"jane.doe@example.com","email_verified":true,"locale":"fr-FR","#,
    r#""zoneinfo":"Europe/Paris","updated_at":1790000000,"#,
    r#""tenant":{"id":"t-4711","unit":"u-0815","country":"FR"},"#,
    r#""roles":["reader","writer","approver"]}"#,
);

/// Every header that is configured anywhere here, and where its value is.
const HEADERS: [(&str, &str); 10] = [
    ("X-User-Id", r#""$.sub""#),
    ("X-User-Email", r#""$.email""#),
    ("X-Tenant-Id", r#""$.tenant.id""#),
    ("X-User-Name", r#""$.name""#),
    ("X-Given-Name", r#""$.given_name""#),
    ("X-Family-Name", r#""$.family_name""#),
    ("X-Email-Verified", r#""$.email_verified""#),
    ("X-Locale", r#""$.locale""#),
    ("X-Unit-Id", r#""$.tenant.unit""#),
    ("X-Roles", r#"{"path": "$.roles[*]", "join": ","}"#),
];

/// An answer with a long list of groups, of about 8 KiB.
pub(crate) fn large() -> String {
    let mut text = SMALL.trim_end_matches('}').to_owned();
    text.push_str(r#","groups":["#);
    let mut number = 0;
    while text.len() < 8100 {
        let comma = if number == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"{comma}{{"id":"g-{number:04}","name":"Group number {number}","level":{}}}"#,
            number % 10
        );
        number += 1;
    }
    text.push_str("]}");
    text
}

/// A configuration that injects this many headers and has these additional members.
pub(crate) fn configuration(headers: usize, members: &str) -> String {
    let rules: Vec<String> =
        HEADERS.iter().take(headers).map(|(name, path)| format!("\"{name}\": {path}")).collect();
    let comma = if members.is_empty() { "" } else { "," };
    format!(
        r#"{{"userinfo_endpoint": {{"defaultURI": "https://idp.example/userinfo"}},
            "inject_headers": {{"default": {{{}}}}}{comma}{members}}}"#,
        rules.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_sizes_of_their_names() {
        assert!((290..=310).contains(&SMALL.len()), "{}", SMALL.len());
        assert!((8 * 1024 - 128..=8 * 1024 + 128).contains(&large().len()), "{}", large().len());
    }
}
