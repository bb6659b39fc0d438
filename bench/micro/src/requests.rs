//! Requests as Envoy hands them over.

use oidc_token_connector::request::headers::HeaderView;

/// The headers of every request, without `authorization`.
const USUAL: [(&str, &str); 7] = [
    (":authority", "api.example"),
    (":path", "/v1/accounts/4711/orders?status=open"),
    (":method", "GET"),
    (":scheme", "https"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "application/json"),
    ("x-request-id", "7b1c2f1e-2a53-4f0e-9a3b-0c2f6d8f1a77"),
];

/// More headers for long requests, in turn: lengths differ as they do in browsers and behind
/// proxies.
const FURTHER: [(&str, &str); 8] = [
    ("accept-language", "fr-FR,fr;q=0.9,en;q=0.8"),
    ("sec-fetch-mode", "cors"),
    ("x-forwarded-proto", "https"),
    ("cookie", "consent=all; theme=dark"),
    ("x-datacenter", "eu-west-3"),
    ("x-b3-sampled", "1"),
    ("priority", "u=1"),
    ("x-client-version", "2026.11.3"),
];

/// The headers of a client that forges an identity.
const FORGED: [(&str, &str); 3] =
    [("x-user-id", "root"), ("x_user_email", "root@example.com"), ("x-tenant-id", "t-0")];

/// A request that is built once and lives until the process ends, as does all that is set up.
#[derive(Clone, Default)]
pub(crate) struct Request(Vec<(String, String)>);

impl Request {
    /// Only the token.
    pub(crate) fn bare(token: &str) -> Request {
        Request::default().bearing(token)
    }

    /// A request with this many headers, one of which is still missing.
    pub(crate) fn of(headers: usize) -> Request {
        let mut request = Request::default();
        for (name, value) in USUAL {
            request.push(name, value);
        }
        for (round, (name, value)) in FURTHER.iter().cycle().enumerate() {
            if request.0.len() + 1 >= headers {
                break;
            }
            // From the second round on each name is another: a client repeats few.
            let again = round / FURTHER.len();
            let name = if again == 0 { (*name).to_owned() } else { format!("{name}-{again}") };
            request.push(&name, value);
        }
        request
    }

    /// With this token, in the last header.
    pub(crate) fn bearing(mut self, token: &str) -> Request {
        self.push("authorization", &format!("Bearer {token}"));
        self
    }

    /// With something in its last header that is no concern of the filter's.
    pub(crate) fn anonymous(mut self) -> Request {
        self.push("x-anonymous", "1");
        self
    }

    /// With headers that only the filter may set, in place of as many others.
    pub(crate) fn forged(mut self) -> Request {
        let rest = self.0.len() - FORGED.len();
        self.0.truncate(rest);
        FORGED.iter().for_each(|(name, value)| self.push(name, value));
        self
    }

    /// As the core sees it.
    pub(crate) fn view(self) -> HeaderView<'static> {
        let pairs: &'static [(String, String)] = self.0.leak();
        HeaderView::new(pairs.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())).collect())
    }

    fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }
}

/// A token of this many bytes.
pub(crate) fn token(bytes: usize) -> String {
    "2YotnFZFEjr1zCsicMWpAA.k5FhXq0vRtD8mLw3E".chars().cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_the_sizes_of_their_names() {
        for headers in [8, 40] {
            let names = |request: Request| request.view().names().count();
            assert_eq!(names(Request::of(headers).bearing("t")), headers);
            assert_eq!(names(Request::of(headers).anonymous()), headers);
            assert_eq!(names(Request::of(headers).forged().bearing("t")), headers);
        }
        assert_eq!(Request::bare("t").view().names().count(), 1);
        assert_eq!([40, 800].map(|bytes| token(bytes).len()), [40, 800]);
    }
}
