//! The identifiers that go along with a call, so that the provider's log can be joined with the
//! gateway's: `x-request-id`, and `traceparent` with `tracestate` (W3C Trace Context).
//!
//! They are the client's words as far as Envoy lets these through, so only what is well-formed goes
//! on. Nothing else of a request may come in here.

use crate::request::headers::{Field, HeaderView};

/// Longest `x-request-id`, in bytes; Envoy's own has 36.
const LONGEST_ID: usize = 128;

/// Longest `tracestate`, in bytes: what every system has to pass on (Trace Context §3.3.1.1).
const LONGEST_STATE: usize = 512;

/// Most members of a `tracestate` (Trace Context §3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// The identifiers of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Correlation {
    request_id: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Correlation {
    /// Reads them; what is malformed or doubled is as if it were not there.
    pub fn of(head: &HeaderView<'_>) -> Correlation {
        let one = |name, is: fn(&[u8]) -> bool| match head.field(name) {
            Field::One(value) if is(value) => std::str::from_utf8(value).ok().map(str::to_owned),
            Field::One(_) | Field::Absent | Field::Several => None,
        };
        let traceparent = one("traceparent", is_traceparent);
        // Without its parent it says nothing (Trace Context §3.3). It may come in several lines.
        let tracestate = traceparent.as_ref().and_then(|_| tracestate(head));
        Correlation { request_id: one("x-request-id", is_request_id), traceparent, tracestate }
    }

    /// How many bytes their values have.
    pub(crate) fn size(&self) -> usize {
        self.headers().map(|(_, value)| value.len()).sum()
    }

    /// Name and value of each that there is.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("x-request-id", &self.request_id),
            ("traceparent", &self.traceparent),
            ("tracestate", &self.tracestate),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

fn is_request_id(value: &[u8]) -> bool {
    /// Looked up rather than compared: nearly every call has one, of 36 bytes.
    #[allow(clippy::indexing_slicing, reason = "computed by the compiler, which checks it")]
    const ALLOWED: [bool; 256] = {
        let mut allowed = [false; 256];
        let mut byte = 0_u8;
        while byte < u8::MAX {
            allowed[byte as usize] =
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
            byte = byte.saturating_add(1);
        }
        allowed
    };
    let is_allowed = |byte: &u8| ALLOWED.get(usize::from(*byte)).copied().unwrap_or(false);
    (1..=LONGEST_ID).contains(&value.len()) && value.iter().all(is_allowed)
}

/// `00-` trace id `-` parent id `-` flags, in lower-case hex digits, no id all zeros. Of a later
/// version only what this one has (Trace Context §3.2).
fn is_traceparent(value: &[u8]) -> bool {
    let parts: Vec<&[u8]> = value.split(|b| *b == b'-').collect();
    let [version, trace, parent, flags] = parts.as_slice() else {
        return false;
    };
    let hex = |part: &[u8], length: usize| {
        part.len() == length && part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let some = |part: &[u8]| part.iter().any(|b| *b != b'0');
    hex(version, 2)
        && *version != b"ff"
        && hex(trace, 32)
        && some(trace)
        && hex(parent, 16)
        && some(parent)
        && hex(flags, 2)
}

fn tracestate(head: &HeaderView<'_>) -> Option<String> {
    let whole = head.values("tracestate").collect::<Vec<_>>().join(&b","[..]);
    let members = whole.split(|b| *b == b',').map(<[u8]>::trim_ascii);
    let members: Vec<&[u8]> = members.filter(|member| !member.is_empty()).collect();
    let well_formed = (1..=LONGEST_STATE).contains(&whole.len())
        && whole.iter().all(is_harmless)
        && !whole.windows(2).any(|two| two == b"..")
        && (1..=MOST_MEMBERS).contains(&members.len())
        && members.iter().all(|member| is_member(member));
    if well_formed { String::from_utf8(whole).ok() } else { None }
}

/// What tracing systems write, without the characters of paths and escapes. Trace Context allows
/// every printable character, and so what makes a provider's firewall end the call: a client could
/// choose that nobody answers about its token.
fn is_harmless(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-*@.:;=+~, ".contains(byte)
}

/// `key=value` (Trace Context §3.3.1.3).
fn is_member(member: &[u8]) -> bool {
    let mut parts = member.splitn(2, |b| *b == b'=');
    let (Some(key), Some(value)) = (parts.next(), parts.next()) else {
        return false;
    };
    let starts = key.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let key_byte = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(b);
    starts
        && key.len() <= 256
        && key.iter().all(key_byte)
        && (1..=256).contains(&value.len())
        && !value.contains(&b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::head;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn passed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let correlation = Correlation::of(&head(pairs));
        correlation.headers().map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
    }

    #[track_caller]
    fn check(name: &str, value: &str, goes_on: bool) {
        let expected = if goes_on { vec![(name.to_owned(), value.to_owned())] } else { Vec::new() };
        assert_eq!(passed(&[(name, value)]), expected, "{value:?}");
        // Two of a kind say nothing.
        assert_eq!(passed(&[(name, value), (name, value)]), []);
    }

    #[test]
    fn request_ids() {
        for id in ["7b1c2d9e-0f9a-4c9c-9e6f-1b1b2c3d4e5f", "a", "A_b.c:9", &"x".repeat(128)] {
            check("x-request-id", id, true);
        }
        for id in ["", "a b", "a\tb", "a,b", "a\"b", "ü", "a=b", &"x".repeat(129)] {
            check("x-request-id", id, false);
        }
    }

    #[test]
    fn trace_parents() {
        let later = PARENT.replacen("00", "cc", 1);
        for parent in [PARENT, &later, &PARENT.replace("-01", "-ff")] {
            check("traceparent", parent, true);
        }
        for parent in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            &PARENT.replace("-01", "-1"),
            &format!("{PARENT}-more"),
            &format!("{PARENT} "),
            &PARENT.replace('4', "g"),
        ] {
            check("traceparent", parent, false);
        }
    }

    /// Every sign that goes on.
    const FULL: &str = "a-b_c*d@f=A.Z:0;9+~ x,b=c";

    #[test]
    fn trace_states() {
        let state = |states: &[&str]| {
            let states = states.iter().map(|state| ("tracestate", *state));
            let pairs: Vec<_> = [("traceparent", PARENT)].into_iter().chain(states).collect();
            passed(&pairs).into_iter().find(|(name, _)| name == "tracestate").map(|(_, v)| v)
        };
        let long = format!("a={}", "x".repeat(256));
        for good in ["a=1", "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE", "1@b=x y,,c=z", &long, FULL]
        {
            assert_eq!(state(&[good]).as_deref(), Some(good));
        }
        assert_eq!(state(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        let many = vec!["a=1"; 33].join(",");
        let longer = format!("{long}x");
        let too_long = [&*long, &long].join(",");
        for bad in [
            "",
            " ,",
            "a",
            "a=",
            "=1",
            "A=1",
            "a=1=2",
            "a=\u{7f}",
            "ä=1",
            &many,
            &longer,
            &too_long,
            "a=1,\tb=2",
            "a=é",
        ] {
            assert_eq!(state(&[bad]), None, "{bad}");
        }
        // Printable, and food for a firewall.
        for sign in "!\"#$%&'()/<>?[\\]^`{|}".chars() {
            assert_eq!(state(&[&format!("a=1{sign}2")]), None, "{sign}");
        }
        assert_eq!(state(&["a=1..2"]), None);
        assert_eq!(passed(&[("tracestate", "a=1")]), [], "without its parent");
        assert_eq!(passed(&[("tracestate", "a=1"), ("traceparent", "00")]), []);
    }
}
