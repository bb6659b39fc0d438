//! Durations as protobuf's JSON form writes them: seconds with up to nine decimals, and an `s`.

use std::time::Duration;

use serde_json::Value;

use crate::tree::Node;

/// The duration that is the member of that field; none if it is absent, or none that Envoy reads.
pub(crate) fn of(node: &Node<'_>, field: &str) -> Option<Duration> {
    let node = node.get(field)?;
    // As a message, which Envoy's readers take as well.
    if node.has("seconds") || node.has("nanos") {
        let part = |name| node.get(name).map_or(Some(0), |part| whole(part.value));
        // More than a second's would be carried over into seconds, which may be all there are.
        let nanos = u32::try_from(part("nanos")?).ok().filter(|nanos| *nanos < 1_000_000_000)?;
        return Some(Duration::new(part("seconds")?, nanos));
    }
    parse(node.value.as_str()?)
}

/// A whole number, as a number or as text, both of which Envoy takes.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn parse(text: &str) -> Option<Duration> {
    let seconds = text.strip_suffix('s')?;
    let plain = seconds.chars().all(|c| c.is_ascii_digit() || c == '.');
    let seconds: f64 = seconds.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A duration as a person writes it.
pub(crate) fn shown(duration: Duration) -> String {
    match duration.as_millis() {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input;

    #[test]
    fn as_a_message() {
        for (text, expected) in [
            (r#"{"d": {"seconds": 2, "nanos": 500000000}}"#, Some("2500ms")),
            (r#"{"d": {"seconds": "18446744073709551615", "nanos": "4000000000"}}"#, None),
            (r#"{"d": {"seconds": 1, "nanos": 1000000000}}"#, None),
        ] {
            let documents = input::documents("f.json", text).unwrap();
            let duration = of(&Node::root(&documents[0]), "d").map(shown);
            assert_eq!(duration.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn seconds_with_decimals() {
        let parsed = |text| parse(text).map(shown);
        assert_eq!(parsed("30s").as_deref(), Some("30s"));
        assert_eq!(parsed("0.25s").as_deref(), Some("250ms"));
        assert_eq!(parsed("0s").as_deref(), Some("0s"));
        for text in ["30", "1m", "s", "-1s", "infs", "1e3s", "1.2.3s"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }
}
