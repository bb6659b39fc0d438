//! The requests of the demo, and what each must lead to.

use integration::{Gateway, Headers, Received, Request, tokens};

/// One request and all that should come of it.
pub(crate) struct Scene {
    /// The purpose of the scene.
    pub(crate) title: &'static str,
    /// Why that is so, in one sentence.
    pub(crate) why: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    provider: Expected,
    backend: Option<Backend>,
    status: u16,
    answer: &'static [&'static str],
    body: Option<&'static str>,
}

/// What the provider should see.
enum Expected {
    /// No call.
    Nothing,
    /// A call, but the provider does not listen.
    Down,
    /// This one call.
    Call(&'static str),
}

/// What the backend should see.
struct Backend {
    added: &'static [&'static str],
    removed: &'static [&'static str],
}

/// The actual or expected result, as the text that is printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Story {
    /// Calls at the provider.
    pub(crate) asked: Vec<String>,
    /// The request at the backend; none if not one byte arrived.
    pub(crate) backend: Option<Forwarded>,
    /// The status that the client got.
    pub(crate) status: String,
    /// Those headers of the answer that say something.
    pub(crate) headers: Vec<String>,
    /// The body of the answer.
    pub(crate) body: String,
    /// Whether the provider was down.
    pub(crate) provider_down: bool,
}

/// A request at the backend, compared with the client's.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Method, path and query.
    pub(crate) request: String,
    /// Header lines that the client did not send.
    pub(crate) added: Vec<String>,
    /// Header lines of the client that did not arrive.
    pub(crate) removed: Vec<String>,
}

const FROM_BACKEND: &str = "(what the backend said)";

/// Answer headers that are shown; the others are Envoy's housekeeping.
const TELLING: [&str; 4] =
    ["www-authenticate", "retry-after", "x-mashery-error-code", "x-error-detail-header"];

pub(crate) const SCENES: [Scene; 8] = [
    Scene {
        title: "A good token",
        why: "The provider validates it: its claims become headers, and the token is removed.",
        path: "/orders",
        headers: &[("Authorization", "Bearer good")],
        provider: Expected::Call("GET idp.example/userinfo, token `good`"),
        backend: Some(Backend {
            added: &[
                "x-user-email: claes@example.com",
                "x-user-id: 248289761001",
                "x-user-region: default",
            ],
            removed: &["Authorization: Bearer good"],
        }),
        status: 200,
        answer: &[],
        body: None,
    },
    Scene {
        title: "The same user in France",
        why: "X-Region selects the French provider, and France has its own headers.",
        path: "/orders",
        headers: &[("Authorization", "Bearer good"), ("X-Region", "FR")],
        provider: Expected::Call("GET fr.idp.example/userinfo, token `good`"),
        backend: Some(Backend {
            added: &[
                "x-user-groups: travel,approvers",
                "x-user-id: 248289761001",
                "x-user-name: Claes Rosenlöf",
                "x-user-region: FR",
            ],
            removed: &["Authorization: Bearer good"],
        }),
        status: 200,
        answer: &[],
        body: None,
    },
    Scene {
        title: "The same token again",
        why: "The verdict is cached for a minute: the provider gets no second call.",
        path: "/orders",
        headers: &[("Authorization", "Bearer good")],
        provider: Expected::Nothing,
        backend: Some(Backend {
            added: &[
                "x-user-email: claes@example.com",
                "x-user-id: 248289761001",
                "x-user-region: default",
            ],
            removed: &["Authorization: Bearer good"],
        }),
        status: 200,
        answer: &[],
        body: None,
    },
    Scene {
        title: "A client with a forged identity",
        why: "Only the filter sets identity headers, also those of other regions.",
        path: "/orders",
        headers: &[
            ("Authorization", "Bearer good"),
            ("X-User-Id", "admin"),
            ("X-Account-Number", "1"),
        ],
        provider: Expected::Nothing,
        backend: Some(Backend {
            added: &[
                "x-user-email: claes@example.com",
                "x-user-id: 248289761001",
                "x-user-region: default",
            ],
            removed: &["Authorization: Bearer good", "X-Account-Number: 1", "X-User-Id: admin"],
        }),
        status: 200,
        answer: &[],
        body: None,
    },
    Scene {
        title: "No token",
        why: "The provider gets no call. The challenge names the missing scheme.",
        path: "/orders",
        headers: &[],
        provider: Expected::Nothing,
        backend: None,
        status: 401,
        answer: &[
            "www-authenticate: Bearer realm=\"api\"",
            "x-mashery-error-code: ERR_401_UNAUTHORIZED",
        ],
        body: Some(
            "{\"error\":\"InvalidAuthorizationHeaderValue\",\"error_description\":\"The \
             Authorization header is missing, empty or not one Bearer token.\"}",
        ),
    },
    Scene {
        title: "An expired token",
        why: "The provider refuses it: its status and its reason reach the client.",
        path: "/orders",
        headers: &[("Authorization", "Bearer expired")],
        provider: Expected::Call("GET idp.example/userinfo, token `expired`"),
        backend: None,
        status: 401,
        answer: &[
            "www-authenticate: Bearer realm=\"api\", error=\"invalid_token\", \
             error_description=\"The access token expired\"",
            "x-mashery-error-code: ERR_401_UNAUTHORIZED",
        ],
        body: Some(
            "Bearer error=\"invalid_token\", error_description=\"The access token expired\"",
        ),
    },
    Scene {
        title: "The provider is down",
        why: "A token without a cached verdict does not pass. 503, because a 401 makes clients discard valid tokens.",
        path: "/orders",
        headers: &[("Authorization", "Bearer unknown")],
        provider: Expected::Down,
        backend: None,
        status: 503,
        answer: &["retry-after: 5"],
        body: Some(
            "{\"error\":\"TargetEndpointError\",\"error_description\":\"No usable response from \
             the UserInfo endpoint.\"}",
        ),
    },
    Scene {
        title: "A route with an error set",
        why: "/partners has its own configuration, with one reply for all such errors.",
        path: "/partners/orders",
        headers: &[],
        provider: Expected::Nothing,
        backend: None,
        status: 403,
        answer: &[
            "x-error-detail-header: Partner access denied",
            "x-mashery-error-code: ERR_403_NOT_AUTHORIZED",
        ],
        body: Some("{\"message\":\"Not a partner\"}"),
    },
];

impl Scene {
    /// Sends the request and tells what happened.
    pub(crate) async fn play(&self, gateway: &Gateway) -> Result<Story, String> {
        let (provider, backend) = (&gateway.provider, &gateway.upstream);
        let (calls, requests, bytes) = (provider.count(), backend.count(), backend.bytes());
        let down = matches!(self.provider, Expected::Down);
        if down {
            provider.down().await;
        }
        let answer = self.request(gateway).try_send().await;
        if down {
            provider.up().map_err(|e| format!("the provider cannot listen again: {e}"))?;
        }
        let received = backend.received().into_iter().nth(requests);
        let echo = received.as_ref().map(Received::echo);
        let mut story = Story {
            asked: provider.calls()[calls..].iter().map(tokens::told).collect(),
            backend: received
                .map(|r| self.forwarded(&format!("{} {}", r.method, r.target), &r.headers)),
            provider_down: down,
            ..Story::default()
        };
        if story.backend.is_none() && backend.bytes() != bytes {
            let request = format!("{} bytes of a request", backend.bytes() - bytes);
            story.backend = Some(Forwarded { request, ..Forwarded::default() });
        }
        match answer {
            Err(why) => story.status = format!("none: {why}"),
            Ok(answer) => {
                story.status = answer.status.to_string();
                story.headers = telling(&answer.headers);
                story.body = answer.text();
                if echo.as_ref() == Some(&story.body) {
                    FROM_BACKEND.clone_into(&mut story.body);
                }
            }
        }
        Ok(story)
    }

    /// The expected result.
    pub(crate) fn expected(&self) -> Story {
        let lines = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        Story {
            asked: match self.provider {
                Expected::Call(call) => vec![call.to_owned()],
                Expected::Nothing | Expected::Down => Vec::new(),
            },
            backend: self.backend.as_ref().map(|backend| Forwarded {
                request: format!("GET {}", self.path),
                added: lines(backend.added),
                removed: lines(backend.removed),
            }),
            status: self.status.to_string(),
            headers: lines(self.answer),
            body: self.body.unwrap_or(FROM_BACKEND).to_owned(),
            provider_down: matches!(self.provider, Expected::Down),
        }
    }

    /// The path and headers of the request, as they are typed.
    pub(crate) fn typed(&self) -> (&'static str, &'static [(&'static str, &'static str)]) {
        (self.path, self.headers)
    }

    fn request(&self, gateway: &Gateway) -> Request {
        gateway.get(self.path).headers(self.headers.iter().copied())
    }

    fn forwarded(&self, request: &str, received: &Headers) -> Forwarded {
        let sent = |name: &str, value: &str| {
            self.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && *v == value)
        };
        let arrived =
            |(name, value): &(&str, &str)| received.all(name).iter().any(|came| came == value);
        let mut added: Vec<String> = received
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value)))
            .filter(|(name, value)| !is_housekeeping(name) && !sent(name, value))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let mut removed: Vec<String> = self
            .headers
            .iter()
            .filter(|header| !arrived(header))
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        added.sort();
        removed.sort();
        Forwarded { request: request.to_owned(), added, removed }
    }
}

/// The headers that Envoy adds to any request.
pub(crate) fn is_housekeeping(name: &str) -> bool {
    ["host", "x-request-id", "x-forwarded-for", "x-forwarded-proto"].contains(&name)
        || name.starts_with("x-envoy-")
}

fn telling(headers: &Headers) -> Vec<String> {
    TELLING
        .iter()
        .flat_map(|name| headers.all(name).into_iter().map(move |value| format!("{name}: {value}")))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect()
}
