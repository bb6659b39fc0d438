//! Which endpoint serves a request.
//!
//! The region header, or the issuer that the token names, selects an entry of a closed table by exact
//! bytes. No byte of either ever becomes part of a cluster, a host, a path or a log line.

pub mod issuers;
pub(crate) mod region;
pub mod table;
pub mod targets;

use std::rc::Rc;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use self::issuers::UnknownIssuer;
use self::table::{Endpoint, EndpointTable, Endpoints};
use self::targets::UnknownRegion;
use crate::claims::token;
use crate::refusal::EndpointFault;
use crate::request::bearer::BearerToken;
use crate::request::headers::{Field, HeaderView};

/// Chooses the endpoint by the request's region header, or by the token's issuer.
pub fn choose<'p>(
    endpoints: &'p Endpoints,
    head: &HeaderView<'_>,
    token: &BearerToken<'_>,
) -> Result<&'p Rc<Endpoint>, EndpointFault> {
    let table = match endpoints {
        Endpoints::NotConfigured => return Err(EndpointFault::NotConfigured),
        Endpoints::Configured(table) => table,
    };
    if let Some(unknown) = table.unknown_issuer {
        return by_issuer(table, unknown, token);
    }
    let code = table.region_header.as_deref().map_or(Field::Absent, |name| head.field(name));
    let known = match code {
        Field::Absent | Field::One(b"") => None,
        Field::One(code) => table.regions.iter().find(|e| e.region.as_bytes() == code),
        Field::Several => None,
    };
    let unknown = known.is_none() && !matches!(code, Field::Absent | Field::One(b""));
    match (known, table.unknown_region) {
        (Some(endpoint), _) => Ok(endpoint),
        (None, UnknownRegion::Reject) if unknown => Err(EndpointFault::UnknownRegion),
        (None, _) => table.default.as_ref().ok_or(EndpointFault::NoDefault),
    }
}

/// The endpoint of the issuer that a token names. What looks like a JWT is shown to no provider that it
/// does not name; only what is opaque goes to the default.
fn by_issuer<'p>(
    table: &'p EndpointTable,
    unknown: UnknownIssuer,
    token: &BearerToken<'_>,
) -> Result<&'p Rc<Endpoint>, EndpointFault> {
    let default = || table.default.as_ref().ok_or(EndpointFault::NoDefault);
    let issuer = token::unverified_issuer(token);
    let is_opaque = issuer.is_none() && !looks_like_jwt(token.expose());
    let named = |issuer: &str| {
        let of = |endpoint: &&Rc<Endpoint>| endpoint.issuer.as_deref() == Some(issuer);
        table.regions.iter().find(of)
    };
    match (issuer.as_deref().and_then(named), unknown) {
        (Some(endpoint), _) => Ok(endpoint),
        (None, _) if is_opaque => default(),
        // Which issuer a doubtful token names cannot be known: it may be one that is listed.
        (None, UnknownIssuer::UseDefault) if issuer.is_some() => default(),
        (None, UnknownIssuer::UseDefault | UnknownIssuer::Reject) => {
            Err(EndpointFault::UnknownIssuer)
        }
    }
}

/// Whether a token has parts, and the first one is a JSON object to any reader, however lenient. Some
/// decoders skip what is not in their alphabet, and a character that is left over at the end.
fn looks_like_jwt(token: &str) -> bool {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let Some((header, _)) = token.split_once('.') else {
        return false;
    };
    let mut header: String = header
        .chars()
        .filter_map(|c| match c {
            '+' => Some('-'),
            '/' => Some('_'),
            '-' | '_' | 'A'..='Z' | 'a'..='z' | '0'..='9' => Some(c),
            _ => None,
        })
        .collect();
    if header.len() % 4 == 1 {
        header.pop();
    }
    // Byte order marks and the zeros of other encodings: parsers find the text behind them.
    let is_ahead = |byte: u8| {
        byte.is_ascii_whitespace() || matches!(byte, 0 | 0xEF | 0xBB | 0xBF | 0xFE | 0xFF)
    };
    let object = LENIENT.decode(header);
    object.is_ok_and(|bytes| bytes.into_iter().find(|byte| !is_ahead(*byte)) == Some(b'{'))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::table::EndpointTable;
    use super::*;
    use crate::provider::subject::Success;
    use crate::provider::userinfo::{SignedUserInfo, UserInfo};
    use crate::request::bearer;

    fn endpoint(region: &str) -> Rc<Endpoint> {
        let method =
            UserInfo { method: "GET", jwt: SignedUserInfo::Refuse, success: Success::Object };
        Rc::new(Endpoint { region: region.into(), ..crate::sim::endpoint(Rc::new(method)) })
    }

    fn table(unknown_region: UnknownRegion) -> EndpointTable {
        EndpointTable {
            region_header: Some("x-region".into()),
            regions: vec![endpoint("FR"), endpoint("US")],
            default: Some(endpoint("default")),
            unknown_region,
            unknown_issuer: None,
        }
    }

    fn chosen(table: EndpointTable, values: &[&[u8]]) -> Result<String, EndpointFault> {
        let head = HeaderView::new(values.iter().map(|v| (&b"x-region"[..], *v)).collect());
        let token = bearer::of("t");
        choose(&Endpoints::Configured(table), &head, &token).map(|e| e.region.to_string())
    }

    #[test]
    fn code_selects_region_or_default() {
        let cases: [(&[&[u8]], &str); 9] = [
            (&[b"FR"], "FR"),
            (&[b"US"], "US"),
            (&[], "default"),
            (&[b""], "default"),
            (&[b"fr"], "default"),
            (&[b"FR,US"], "default"),
            (&[b"FR", b"FR"], "default"),
            (&[b"", b"FR"], "default"),
            (&[b"\xff"], "default"),
        ];
        for (values, region) in cases {
            assert_eq!(chosen(table(UnknownRegion::UseDefault), values), Ok(region.to_owned()));
        }
    }

    #[test]
    fn only_unknown_codes_are_rejected_if_configured() {
        let reject = |values| chosen(table(UnknownRegion::Reject), values);
        assert_eq!(reject(&[b"zz"]), Err(EndpointFault::UnknownRegion));
        assert_eq!(reject(&[b"FR", b"FR"]), Err(EndpointFault::UnknownRegion));
        assert_eq!(reject(&[]), Ok("default".to_owned()));
        assert_eq!(reject(&[b""]), Ok("default".to_owned()));
        assert_eq!(reject(&[b"FR"]), Ok("FR".to_owned()));
    }

    #[test]
    fn without_default_only_regions_are_served() {
        let bare = || EndpointTable { default: None, ..table(UnknownRegion::UseDefault) };
        assert_eq!(chosen(bare(), &[b"US"]), Ok("US".to_owned()));
        assert_eq!(chosen(bare(), &[b"zz"]), Err(EndpointFault::NoDefault));
        assert_eq!(chosen(bare(), &[]), Err(EndpointFault::NoDefault));
    }

    /// What a token with this header, payload and signature gets, by either `unknown_issuer`.
    #[track_caller]
    fn by_issuer_of(
        token: &str,
        reject: Result<&str, EndpointFault>,
        default: Result<&str, EndpointFault>,
    ) {
        for (unknown, expected) in [("reject", reject), ("default", default)] {
            let config = format!(
                r#"{{"userinfo_endpoint": {{
                        "issuers": {{"https://a": {{"name": "a", "uri": "https://a.example/u"}}}},
                        "defaultURI": "https://idp.example/u"}},
                    "unknown_issuer": "{unknown}"}}"#
            );
            let policy = crate::policy::read(config.as_bytes()).unwrap().policy;
            let token = bearer::of(token);
            let chosen = choose(&policy.endpoints, &HeaderView::default(), &token);
            assert_eq!(chosen.map(|e| &*e.region), expected, "{unknown} {token:?}");
        }
    }

    /// A token is shown to no other provider than the one that it names, and a doubtful one to none.
    #[test]
    fn issuer_of_a_token_chooses_and_a_doubtful_one_reaches_nobody() {
        let jwt = |header: &str, payload: &str| {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            format!("{}.{}.c2ln", part(header), part(payload))
        };
        let (plain, listed, other) =
            (r#"{"alg":"a"}"#, r#"{"iss":"https://a"}"#, r#"{"iss":"https://c"}"#);
        let (a, default, none) = (Ok("a"), Ok("default"), Err(EndpointFault::UnknownIssuer));
        by_issuer_of(&jwt(plain, listed), a, a);
        by_issuer_of(&jwt(plain, other), none, default);
        for opaque in ["opaque", "a.b.c", "e30", "..", "~.~", "eyJ", "MTIz.e30.c2ln"] {
            by_issuer_of(opaque, default, default);
        }
        for (header, payload) in [
            (r#"{"alg":"none"}"#, listed),
            (r#"{"alg":"a","crit":["x"]}"#, listed),
            ("{\n \"alg\":\"none\"\n}", listed),
            ("{\r\n\"typ\":\"JWT\"}", listed),
            ("\t{\"typ\":\"JWT\"}", listed),
            (" {}", listed),
            ("{}", listed),
            ("{", listed),
            (plain, "{}"),
            (plain, "x"),
            (plain, r#"{"iss":["https://a"]}"#),
            (plain, r#"{"iss":"https://c","iss":"https://a"}"#),
        ] {
            by_issuer_of(&jwt(header, payload), none, none);
        }
        let good = jwt(plain, listed);
        // As decoders read it that skip what is no base64url.
        let lenient = |header: &str| good.replacen(good.split('.').next().unwrap(), header, 1);
        for header in [
            "eyJh~bGciOiJhIn0",
            "~eyJhbGciOiJhIn0",
            "eyJhbGciOiJhIn0~~",
            "eyJhbGciOiJhIn0AA",
            "e~30",
        ] {
            by_issuer_of(&lenient(header), none, none);
        }
        for header in [
            &b"\xef\xbb\xbf{\"alg\":\"a\"}"[..],
            b"\n\xef\xbb\xbf {}",
            b"\xff\xfe{\0}\0",
            b"\xfe\xff\0{\0}",
            b"\0\0\0{\0\0\0}",
        ] {
            by_issuer_of(&lenient(&URL_SAFE_NO_PAD.encode(header)), none, none);
        }
        let encrypted = format!("{good}.e30.e30");
        let two = good.rsplit_once('.').unwrap().0;
        for doubtful in [&*format!("{good}="), &encrypted, two, &format!("{two}.")] {
            by_issuer_of(doubtful, none, none);
        }
    }

    #[test]
    fn no_endpoint_configured() {
        let chosen = choose(&Endpoints::NotConfigured, &HeaderView::default(), &bearer::of("t"));
        assert_eq!(chosen.err(), Some(EndpointFault::NotConfigured));
    }
}
