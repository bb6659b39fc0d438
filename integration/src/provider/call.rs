//! One call as the provider has seen it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::wire::{Headers, MessageHead};

/// One call that reached the provider, as on the wire.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method, to the letter.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header lines in their order.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// The server name in the connection's TLS greeting; none on a plain one.
    pub server_name: Option<String>,
    /// The number of its connection.
    pub connection: usize,
    /// How many calls came before it on its connection.
    pub nth: usize,
    arrived: Instant,
    pub(super) gone: Arc<OnceLock<Instant>>,
}

impl Call {
    /// How long the caller of [`Reply::silence`] waited before it gave up or was cut off; none as
    /// long as it waits. By the provider's clock, and of no meaning for other replies.
    #[must_use]
    pub fn waited(&self) -> Option<Duration> {
        self.gone.get().map(|gone| *gone - self.arrived)
    }

    /// The token that the call is about: of `Authorization: Bearer <token>`, else that of the form.
    #[must_use]
    pub fn token(&self) -> Option<String> {
        let authorization = self.headers.get("authorization").unwrap_or_default();
        let bearer = authorization.strip_prefix("Bearer ").map(str::to_owned);
        bearer.or_else(|| self.field("token"))
    }

    /// The value of a field of the form that is the call's body.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let form = self
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "application/x-www-form-urlencoded");
        let body = form.then(|| std::str::from_utf8(&self.body).ok()).flatten()?;
        let fields = body.split('&').filter_map(|field| field.split_once('='));
        let (_, value) = fields.into_iter().find(|(known, _)| *known == name)?;
        Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
    }
}

/// The data about a connection.
pub(super) struct Line {
    pub(super) server_name: Option<String>,
    pub(super) number: usize,
    /// How long it is kept when nothing comes.
    pub(super) idle: Option<Duration>,
}

impl Line {
    /// The call with this head and body that came as the `nth`.
    pub(super) fn call(&self, nth: usize, head: MessageHead, body: Vec<u8>) -> Call {
        let mut start = head.start.splitn(3, ' ').map(str::to_owned);
        Call {
            method: start.next().unwrap_or_default(),
            target: start.next().unwrap_or_default(),
            headers: head.headers,
            body,
            server_name: self.server_name.clone(),
            connection: self.number,
            nth,
            arrived: Instant::now(),
            gone: Arc::default(),
        }
    }
}
