//! Each border that the schema names, and its neighbours, judged by both.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{keys, validator, verdict, with};

/// Judges a value at a place, and says what came of it.
struct Judge {
    validator: jsonschema::Validator,
    seen: BTreeSet<(String, bool)>,
}

impl Judge {
    fn new() -> Judge {
        Judge { validator: validator(), seen: BTreeSet::new() }
    }

    fn judge(&mut self, place: &[&str], value: &Value) -> bool {
        let verdict = verdict(&self.validator, &with(place, value));
        self.seen.insert((place.join("."), verdict));
        verdict
    }

    /// A place of which every value was accepted, or every one refused, was not judged at all.
    fn finish(self, places: usize) {
        let names: BTreeSet<&String> = self.seen.iter().map(|(place, _)| place).collect();
        assert_eq!(names.len(), places, "{names:?}");
        assert_eq!(self.seen.len(), 2 * places, "{:?}", self.seen);
    }
}

/// Every place with what one of its forms says, where it says that.
fn saying(word: &str) -> Vec<(Vec<String>, Value)> {
    let said = |(place, schema): (Vec<String>, Value)| {
        let forms = keys::forms(&schema);
        Some((place, forms.iter().find_map(|form| form.get(word))?.clone()))
    };
    keys::places().into_iter().filter_map(said).collect()
}

#[test]
fn integers() {
    let mut judge = Judge::new();
    let (low, high) = (saying("minimum"), saying("maximum"));
    assert_eq!(low.len(), high.len());
    for ((place, low), (_, high)) in low.iter().zip(&high) {
        let place = keys::named(place);
        let (low, high) = (low.as_i64().unwrap(), high.as_i64().unwrap());
        for (number, fits) in [(low - 1, false), (low, true), (high, true), (high + 1, false)] {
            assert_eq!(judge.judge(&place, &number.into()), fits, "{place:?} {number}");
        }
        for other in [json!("5"), json!(1.5), json!(null), json!(true), json!([1])] {
            assert!(!judge.judge(&place, &other), "{place:?} {other}");
        }
    }
    judge.finish(8);
}

const NUMBERS: [u64; 38] = [
    0, 1, 2, 5, 9, 10, 23, 24, 25, 29, 30, 31, 59, 60, 61, 99, 100, 101, 299, 300, 301, 999, 1000,
    1001, 1440, 1441, 3600, 3601, 29_999, 30_000, 30_001, 60_000, 60_001, 300_000, 300_001,
    3_600_000, 3_600_001, 86_400_000,
];

#[test]
fn durations() {
    let mut judge = Judge::new();
    for (place, _) in saying("x-range") {
        let place = keys::named(&place);
        for unit in ["ms", "s", "m", "h"] {
            for number in NUMBERS {
                judge.judge(&place, &format!("{number}{unit}").into());
                judge.judge(&place, &format!("00{number}{unit}").into());
            }
        }
        for other in
            ["", "5", "s", "5 s", " 5s", "5s ", "-5s", "+5s", "1.5s", "5S", "5us", "5min", "0x5s"]
        {
            assert!(!judge.judge(&place, &other.into()), "{place:?} {other}");
        }
        assert!(!judge.judge(&place, &5.into()));
    }
    judge.finish(7);
}

#[test]
fn lengths() {
    let mut judge = Judge::new();
    for (place, longest) in saying("maxLength") {
        let place = keys::named(&place);
        let longest = usize::try_from(longest.as_u64().unwrap()).unwrap();
        let text = |length: usize| match place.last() {
            Some(_) if longest == 2048 => {
                format!("https://a.example/{}", "a".repeat(length - "https://a.example/".len()))
            }
            _ => "a".repeat(length),
        };
        assert!(judge.judge(&place, &text(longest).into()), "{place:?}");
        assert!(!judge.judge(&place, &text(longest + 1).into()), "{place:?}");
    }
    judge.finish(39);
}

#[test]
fn words_and_kinds() {
    let mut judge = Judge::new();
    for (place, words) in saying("enum") {
        let place = keys::named(&place);
        for word in words.as_array().unwrap() {
            assert!(judge.judge(&place, word), "{place:?} {word}");
            let upper = word.as_str().map(str::to_lowercase).map_or(json!(402), Value::from);
            if upper != *word {
                assert!(!judge.judge(&place, &upper), "{place:?} {upper}");
            }
        }
        assert!(!judge.judge(&place, &"other".into()));
    }
    for (place, kind) in saying("type").into_iter().filter(|(_, kind)| kind == "boolean") {
        let place = keys::named(&place);
        assert!(judge.judge(&place, &false.into()), "{place:?} {kind}");
        for other in [json!("true"), json!(0), json!(null), json!({})] {
            assert!(!judge.judge(&place, &other), "{place:?} {other}");
        }
    }
    judge.finish(29);
}

/// Characters at every place that accepts text: header names, URIs, values that become a header.
#[test]
fn characters() {
    let mut judge = Judge::new();
    let texts = [
        "a",
        "",
        " ",
        "a b",
        " a",
        "a ",
        "a\tb",
        "a\nb",
        "a\u{0}",
        "a\u{7f}",
        "a\u{85}b",
        "é",
        "a:b",
        "a/b",
        "(a)",
        "a{b}",
        "a\"b",
        "a_b",
        "a.b",
        "a-b",
        "a!b",
        "~",
        "default",
        "https://a.example/",
        "http://a.example/",
        "HTTPS://a.example/u",
        "https://a.example",
        "https:///u",
        "//a.example/u",
        "ftp://a.example/u",
        "https://a.example:443/u",
        "https://a.example:/u",
        "https://[::1]:1/u",
        "https://[::1/u",
        "https://a.example/u?b=c&d=%20",
        "https://a.example/%2",
        "https://a.example/#f",
        "https://u@a.example/u",
        "https://a.example/u u",
        "https://a.example/{a}",
        "https://a example/u",
    ];
    let mut places = 0;
    for (place, _) in saying("pattern") {
        let place = keys::named(&place);
        // Durations have a table of their own.
        if place.iter().any(|name| name.contains("ttl") || name.contains("time")) {
            continue;
        }
        places += 1;
        for text in texts {
            judge.judge(&place, &text.into());
        }
    }
    assert!(places > 10, "{places}");
}

/// The reader's result for a configuration. Error set and cache show in it only if they are on.
fn policy(configuration: &Value) -> String {
    let mut configuration = configuration.clone();
    if configuration.get("error_set").is_some() {
        configuration["enable_error_set"] = json!(true);
    }
    let loaded = oidc_token_connector::policy::read(configuration.to_string().as_bytes());
    format!("{:?}", loaded.unwrap().policy)
}

/// A key with its default is the same as none; and with another value it is not, so this can fail.
#[test]
fn defaults() {
    let mut count = 0;
    for (place, default) in saying("default") {
        let place = keys::named(&place);
        // The keys that it requires stay.
        let mut absent = with(&place, &default);
        let (key, around) = place.split_last().unwrap();
        let around = around.iter().fold(&mut absent, |at, name| &mut at[*name]);
        around.as_object_mut().unwrap().remove(*key).unwrap();
        assert_eq!(policy(&with(&place, &default)), policy(&absent), "{place:?}");
        let other = match (&default, default.as_str()) {
            (Value::Bool(on), _) => json!(!on),
            (Value::Number(_), _) if place.last() == Some(&"status") => json!(503),
            (Value::Number(number), _) => json!(number.as_u64().unwrap() + 1),
            (_, Some("GET")) => json!("POST"),
            (_, Some("authenticate")) => json!("pass"),
            (_, Some("required")) => json!("optional"),
            (_, Some("refuse")) => json!("trust_tls"),
            (_, Some("response")) => json!("token"),
            (_, Some("client_secret_basic")) => json!("client_secret_post"),
            (_, Some("default")) => json!("reject"),
            (_, Some("reject")) => json!("default"),
            (_, Some("relay")) => json!("map"),
            (_, Some("5s" | "60s" | "0s")) => json!("7s"),
            _ => json!("other"),
        };
        assert_ne!(policy(&with(&place, &other)), policy(&absent), "{place:?}");
        count += 1;
    }
    assert_eq!(count, 42);
}
