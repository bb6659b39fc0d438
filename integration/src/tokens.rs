//! The tokens that the provider of the demo and of the compose file knows, and its description of a
//! call.

use serde_json::json;

use crate::{Call, Provider, Reply};

/// A token and what the provider says of it.
pub struct Token {
    /// The token itself.
    pub text: &'static str,
    /// The provider's answer, as text.
    pub answer: &'static str,
    reply: fn() -> Reply,
}

/// Every token with an answer of its own.
pub const TOKENS: [Token; 8] = [
    Token { text: "good", answer: "200, the claims of Claes Rosenlöf", reply: Provider::good },
    Token { text: "expired", answer: "401, expired", reply: Provider::expired },
    Token { text: "forbidden", answer: "403, insufficient scope", reply: forbidden },
    Token { text: "busy", answer: "429, Retry-After: 7", reply: busy },
    Token { text: "nobody", answer: "200, but without `sub`", reply: nobody },
    Token { text: "webpage", answer: "200, but a web page", reply: web_page },
    Token { text: "crash", answer: "cuts the connection", reply: Reply::reset },
    Token { text: "slow", answer: "never answers (2 s time-out)", reply: Reply::silence },
];

/// The answer to any other token, as text.
pub const ANY_OTHER: &str = "401, unknown";

/// Makes the provider answer so.
pub fn teach(provider: &Provider) {
    for token in &TOKENS {
        provider.answer_token(token.text, (token.reply)());
    }
    provider.answer(refusal(401, "invalid_token", "The access token is unknown"));
}

/// A call as the demo prints it.
#[must_use]
pub fn told(call: &Call) -> String {
    let host = call.headers.all("host").join(", ");
    match call.token() {
        Some(token) => format!("{} {host}{}, token `{token}`", call.method, call.target),
        None => format!("{} {host}{}, no token", call.method, call.target),
    }
}

/// The answer to a call that [`told`] describes, as text.
#[must_use]
pub fn answer_to(told: &str) -> &'static str {
    let token = TOKENS.iter().find(|token| told.ends_with(&format!("`{}`", token.text)));
    token.map_or(ANY_OTHER, |token| token.answer)
}

fn forbidden() -> Reply {
    refusal(403, "insufficient_scope", "The token does not allow this")
}

fn busy() -> Reply {
    Reply::json(429, &json!({"error": "slow_down"})).header("Retry-After", "7")
}

fn nobody() -> Reply {
    Reply::json(200, &json!({"email": "claes@example.com"}))
}

fn web_page() -> Reply {
    Reply::text(200, "<html>Welcome</html>").header("content-type", "text/html")
}

fn refusal(status: u16, error: &str, description: &str) -> Reply {
    let challenge = format!("Bearer error=\"{error}\", error_description=\"{description}\"");
    Reply::json(status, &json!({"error": error, "errorMessage": description}))
        .header("WWW-Authenticate", challenge)
}
