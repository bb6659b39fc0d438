//! How a client of the OpenID Provider gets tokens: the authorization code flow as a browser and
//! the client do it, with forms. It calls the provider directly, never through Envoy. It must hold
//! no expectation about the filter.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::{OpenIdProvider, Request, Response};

/// Where the provider sends the browser back to.
const BACK: &str = "https://app.example/back";

/// A client and its scopes.
#[derive(Clone, Copy)]
pub struct Login {
    /// The client, as `server.mjs` names it.
    pub client: &'static str,
    /// Who logs in; any name is known, with any password.
    pub user: &'static str,
    /// The scopes, with blanks between.
    pub scope: &'static str,
    /// The API of the access token; without one the token is for the UserInfo endpoint.
    pub resource: Option<&'static str>,
}

/// The tokens of a client.
#[derive(Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// Only if `openid` was requested.
    pub id: Option<String>,
    /// Only if `offline_access` was requested.
    pub refresh: Option<String>,
}

impl Login {
    /// A user of the ordinary client.
    pub fn of(user: &'static str, scope: &'static str) -> Login {
        Login { client: "web", user, scope, resource: None }
    }

    /// Logs the user in, accepts every prompt, and returns the tokens.
    pub async fn tokens(self, provider: SocketAddr) -> Tokens {
        let code = self.code(provider).await;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", BACK),
            ("client_id", self.client),
        ];
        let secret = format!("secret-of-{}", self.client);
        form.push(("client_secret", &secret));
        form.extend(self.resource.map(|resource| ("resource", resource)));
        tokens(provider, &form).await
    }

    async fn code(self, provider: SocketAddr) -> String {
        let mut query = vec![
            ("client_id", self.client),
            ("response_type", "code"),
            ("redirect_uri", BACK),
            ("scope", self.scope),
        ];
        query.extend(self.resource.map(|resource| ("resource", resource)));
        if self.scope.contains("offline_access") {
            // This provider ignores the scope without it.
            query.push(("prompt", "consent"));
        }
        let mut browser = Browser { provider, cookies: BTreeMap::new() };
        let mut target = format!("/auth?{}", encoded(&query));
        // A login, a consent, and a redirect or two around each.
        for _ in 0..12 {
            let mut page = browser.open(&target).await;
            if page.status == 200 {
                page = browser.fill_in(&target, &page, self.user).await;
            }
            assert!([302, 303].contains(&page.status), "{target}: {page:?}");
            let location = page.header("location").expect("a redirect leads somewhere");
            if let Some(query) = location.strip_prefix(BACK) {
                let mut parts = query.trim_start_matches('?').split('&');
                let code = parts.find_map(|part| part.strip_prefix("code="));
                return code.unwrap_or_else(|| panic!("no code: {location}")).to_owned();
            }
            let host = format!("http://{}", OpenIdProvider::NAME);
            target = location.strip_prefix(&host).unwrap_or(&location).to_owned();
        }
        panic!("the login leads nowhere, at last to {target}");
    }
}

/// A token of a client that nobody logs in to (RFC 6749 §4.4).
pub async fn machine(provider: SocketAddr, resource: Option<&str>) -> String {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", "machine"),
        ("client_secret", "secret-of-machine"),
    ];
    if let Some(resource) = resource {
        form.extend([("resource", resource), ("scope", "orders")]);
    }
    tokens(provider, &form).await.access
}

/// A machine's token that is bound to this certificate (RFC 8705 §3).
pub async fn bound(provider: SocketAddr, certificate: &str) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "bound"),
        ("client_secret", "secret-of-bound"),
    ];
    let shown = escaped(certificate);
    let request = post(provider, "/token", &form).header("x-client-certificate", shown);
    let answer = request.send().await;
    assert_eq!(answer.status, 200, "no token: {answer:?}");
    answer.json()["access_token"].as_str().expect("an access token").to_owned()
}

async fn tokens(provider: SocketAddr, form: &[(&str, &str)]) -> Tokens {
    let answer = post(provider, "/token", form).send().await;
    assert_eq!(answer.status, 200, "no tokens: {answer:?}");
    let answer = answer.json();
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    Tokens {
        access: text("access_token").expect("an access token"),
        id: text("id_token"),
        refresh: text("refresh_token"),
    }
}

/// Asks the provider itself about a token (RFC 7662), as the gateway.
pub async fn introspect(provider: SocketAddr, token: &str) -> Response {
    let client = [("client_id", "gateway_post"), ("client_secret", "secret-of-gateway_post")];
    let form = [("token", token), ("token_type_hint", "access_token")];
    post(provider, "/token/introspection", &[form, client].concat()).send().await
}

/// Calls the provider itself to check whether a token is valid.
pub async fn userinfo(provider: SocketAddr, token: &str) -> Response {
    to(provider, "GET", "/me").bearer(token).send().await
}

/// Revokes an access token of the ordinary client (RFC 7009).
pub async fn revoke(provider: SocketAddr, token: &str) {
    let form = [("token", token), ("client_id", "web"), ("client_secret", "secret-of-web")];
    let answer = post(provider, "/token/revocation", &form).send().await;
    assert_eq!(answer.status, 200, "not revoked: {answer:?}");
}

struct Browser {
    provider: SocketAddr,
    /// By name alone: a linear flow does not need their paths.
    cookies: BTreeMap<String, String>,
}

impl Browser {
    async fn open(&mut self, target: &str) -> Response {
        self.send(to(self.provider, "GET", target)).await
    }

    /// Answers the form of this page: login or consent.
    async fn fill_in(&mut self, target: &str, page: &Response, user: &str) -> Response {
        let text = page.text();
        let prompt = ["login", "consent"]
            .into_iter()
            .find(|prompt| text.contains(&format!("name=\"prompt\" value=\"{prompt}\"")))
            .unwrap_or_else(|| panic!("{target} is no form that is known here: {page:?}"));
        let form = [("prompt", prompt), ("login", user), ("password", "any")];
        self.send(post(self.provider, target, &form)).await
    }

    async fn send(&mut self, request: Request) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let response = request.header("cookie", cookies.join("; ")).send().await;
        for cookie in response.headers.all("set-cookie") {
            let pair = cookie.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                // An empty value is how a cookie is taken away.
                self.cookies.remove(name);
                if !value.is_empty() {
                    self.cookies.insert(name.to_owned(), value.to_owned());
                }
            }
        }
        response
    }
}

fn to(provider: SocketAddr, method: &str, target: &str) -> Request {
    Request::new(provider, method, target).host(OpenIdProvider::NAME)
}

fn post(provider: SocketAddr, target: &str, form: &[(&str, &str)]) -> Request {
    to(provider, "POST", target)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(encoded(form))
}

/// Names and values as a query or a form has them.
pub fn encoded(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
