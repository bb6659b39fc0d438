//! Target: the region header → one of the configured endpoints. Input: one byte that chooses the
//! configuration, then the header's values, one per line; a line `-` alone is no header at all.

use std::rc::Rc;

use oidc_token_connector::filter::{Gate, Seed, StreamId};
use oidc_token_connector::policy::{self, Policy};
use oidc_token_connector::provider::call::Call;
use oidc_token_connector::request::headers::HeaderView;
use oidc_token_connector::time::{MonotonicTime, Now, UnixTime};

use crate::drive::{self, Admission};
use crate::rules;

const REGIONS: [&str; 3] = ["FR", "US", "De-1"];

thread_local! {
    static POLICIES: [Rc<Policy>; 4] = std::array::from_fn(policy);
}

/// Bit 0: an unknown region is rejected; bit 1: there is no default.
fn policy(choice: usize) -> Rc<Policy> {
    let unknown = if choice & 1 == 0 { "default" } else { "reject" };
    let default = if choice & 2 == 0 { r#","defaultURI":"https://default.example/d""# } else { "" };
    let text = format!(
        r#"{{"userinfo_endpoint": {{"regionCodeHeader": "X-Region", "regionCodeValue": {{
            "FR": "https://fr.example/f", "US": "https://us.example:9/u?x=1",
            "De-1": "http://de.example/g"}}{default}}}, "unknown_region": "{unknown}"}}"#
    );
    Rc::new(policy::read(text.as_bytes()).expect("a good configuration").policy)
}

/// Runs the target.
pub fn check(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let choice = usize::from(choice % 4);
    let policy = POLICIES.with(|policies| Rc::clone(&policies[choice]));
    let values: Vec<&[u8]> = match text {
        b"-" => Vec::new(),
        _ => text.split(|b| *b == b'\n').collect(),
    };
    let mut pairs: Vec<(&[u8], &[u8])> = vec![(b"authorization", b"Bearer t")];
    pairs.extend(values.iter().map(|value| (&b"x-region"[..], *value)));

    let known = match values.as_slice() {
        [value] => REGIONS.into_iter().find(|region| region.as_bytes() == *value),
        _ => None,
    };
    let unknown = known.is_none() && !matches!(values.as_slice(), [] | [b""]);
    let (rejects, has_default) = (choice & 1 != 0, choice & 2 == 0);
    let expected = match known {
        Some(region) => Some(region),
        None if (unknown && rejects) || !has_default => None,
        None => Some("default"),
    };
    let now = Now { moment: MonotonicTime::from_nanos(0), date: UnixTime(0) };
    let (mut gate, headers) = (Gate::new(Seed::new([1; 16])), HeaderView::new(pairs));
    let admission = drive::arrives(&mut gate, StreamId(1), &policy, &headers, now);
    match (admission, expected) {
        (Admission::Call(_, call), Some(region)) => is_call_of(&call, region),
        (Admission::Decided(decision), None) => {
            let name = if unknown && rejects { "InvalidRegionCode" } else { "DefaultUserInfo" };
            let reply = rules::replied(&decision);
            assert!(reply.status == 401 && reply.body.contains(name), "{}", reply.body);
        }
        (Admission::Call(_, call), None) => panic!("asks {} about {text:?}", call.cluster),
        (Admission::Decided(_), Some(region)) => panic!("not asked {region} about {text:?}"),
        (Admission::Joined, _) => panic!("follows nobody"),
    }
}

/// Every byte of the call but the token comes from the configuration.
fn is_call_of(call: &Call, region: &str) {
    let (scheme, authority, path) = match region {
        "FR" => ("https", "fr.example", "/f"),
        "US" => ("https", "us.example:9", "/u?x=1"),
        "De-1" => ("http", "de.example", "/g"),
        _ => ("https", "default.example", "/d"),
    };
    assert_eq!(call.cluster, authority);
    let agent = format!("oidc-token-connector/{}", env!("CARGO_PKG_VERSION"));
    let headers: Vec<_> = call.headers.iter().collect();
    let expected = [
        (":method", "GET"),
        (":scheme", scheme),
        (":authority", authority),
        (":path", path),
        ("authorization", "Bearer t"),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("user-agent", &agent),
    ];
    assert_eq!(headers, expected);
}
