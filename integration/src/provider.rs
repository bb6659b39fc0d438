//! A scripted UserInfo provider on loopback: gives the test's answers, misbehaves on request,
//! records every call. It implements HTTP/1.1 and HTTP/2 itself, whichever the caller uses, because
//! an HTTP library would not send invalid bytes; over TLS if the caller begins with TLS, else in
//! plain.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{fmt, io};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::identity::Identity;
use crate::reply::Reply;
use crate::tls::{self, Certificate};
use crate::{DEADLINE, runtime};

mod call;
mod http1;
mod http2;
mod script;

pub use call::Call;
use call::Line;
use script::{Answers, Script};

/// The provider. Clones are handles to the same one; it stops when the last is dropped.
///
/// Before anything is scripted it answers the token `good` with 200 and the claims of
/// [`Provider::good`], and every other with the 401 of an expired token.
#[derive(Clone)]
pub struct Provider {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Answers,
    /// Even: up. Odd: down. Connections end when it changes.
    phase: watch::Sender<u64>,
    listening: Mutex<Option<JoinHandle<()>>>,
    connections: AtomicUsize,
    /// Keeps the port ours while nothing listens on it.
    _reserved: TcpSocket,
}

impl Provider {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start() -> Provider {
        Provider::start_on(0).await.expect("a free port on loopback")
    }

    /// Starts one on a given port of 127.0.0.1, 0 for a free one.
    ///
    /// # Errors
    ///
    /// If the port is taken.
    pub async fn start_on(port: u16) -> io::Result<Provider> {
        Provider::start_at(SocketAddr::from(([127, 0, 0, 1], port))).await
    }

    /// Starts one on this IPv4 address: in a container loopback is not enough.
    ///
    /// # Errors
    ///
    /// If the address is in use.
    #[allow(clippy::unused_async, reason = "sockets must be made inside a runtime")]
    pub async fn start_at(address: SocketAddr) -> io::Result<Provider> {
        let _entered = runtime().enter();
        let reserved = socket(address)?;
        let address = reserved.local_addr()?;
        let shared = Arc::new(Shared {
            answers: Answers::default(),
            phase: watch::Sender::new(0),
            listening: Mutex::default(),
            connections: AtomicUsize::new(0),
            _reserved: reserved,
        });
        let provider = Provider { address, shared };
        provider.listen()?;
        Ok(provider)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The answer to the token `good` before anything is scripted.
    #[must_use]
    pub fn good() -> Reply {
        script::good()
    }

    /// The answer to any other token before anything is scripted.
    #[must_use]
    pub fn expired() -> Reply {
        script::expired()
    }

    /// Answers every call so, where nothing more particular is scripted.
    pub fn answer(&self, reply: Reply) -> &Provider {
        self.script().otherwise = Some(reply);
        self
    }

    /// Answers the next call so that has no such answer yet; before everything else.
    pub fn answer_next(&self, reply: Reply) -> &Provider {
        self.script().queue.push_back(reply);
        self
    }

    /// Calls `answer` for every call; `None` leaves it to the other rules.
    pub fn answer_with<F>(&self, answer: F) -> &Provider
    where
        F: Fn(&Call) -> Option<Reply> + Send + Sync + 'static,
    {
        self.script().by_closure = Some(Box::new(answer));
        self
    }

    /// Answers calls with this token so.
    pub fn answer_token(&self, token: &str, reply: Reply) -> &Provider {
        self.script().by_token.insert(token.to_owned(), reply);
        self
    }

    /// Answers calls to this path (with its query) so.
    pub fn answer_path(&self, target: &str, reply: Reply) -> &Provider {
        self.script().by_path.insert(target.to_owned(), reply);
        self
    }

    /// Shows this certificate on the TLS connections that come from now on.
    pub fn certificate(&self, certificate: Certificate) -> &Provider {
        self.script().certificate = certificate;
        self
    }

    /// Shows this certificate instead, whatever name a client sends.
    pub fn identity(&self, identity: Identity) -> &Provider {
        self.script().identity = Some(identity);
        self
    }

    /// Closes HTTP/1.1 connections on which no call has come for so long, as servers do.
    pub fn closes_idle(&self, after: Duration) -> &Provider {
        self.script().idle = Some(after);
        self
    }

    /// Refuses connections from now on (nothing listens; the port stays ours) and cuts those it
    /// has.
    pub async fn down(&self) {
        self.shared.phase.send_modify(|phase| *phase |= 1);
        let listening = self.listening().take();
        if let Some(listening) = listening {
            let _ = listening.await;
        }
    }

    /// Listens again after [`Provider::down`].
    ///
    /// # Errors
    ///
    /// If the socket cannot listen again.
    pub fn up(&self) -> io::Result<()> {
        if *self.shared.phase.borrow() % 2 == 1 {
            self.shared.phase.send_modify(|phase| *phase += 1);
            self.listen()?;
        }
        Ok(())
    }

    /// How many calls have come.
    #[must_use]
    pub fn count(&self) -> usize {
        *self.shared.answers.count.borrow()
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.script().calls.clone()
    }

    /// Every call since the last use of this method, in order; clears them.
    #[must_use]
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.script().calls)
    }

    /// Counts calls from now on, but does not keep them: for more than memory should hold.
    pub fn forget(&self) -> &Provider {
        let mut script = self.script();
        script.forgetful = true;
        script.calls = Vec::new();
        self
    }

    /// The calls with this token.
    #[must_use]
    pub fn calls_with(&self, token: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|c| c.token().as_deref() == Some(token)).collect()
    }

    /// The one call that came.
    ///
    /// # Panics
    ///
    /// If none or several came.
    #[must_use]
    pub fn only_call(&self) -> Call {
        let calls = self.calls();
        assert_eq!(calls.len(), 1, "calls at the provider: {calls:#?}");
        calls.into_iter().next().expect("counted")
    }

    /// Waits until `n` calls have come.
    ///
    /// # Panics
    ///
    /// After 20 seconds without.
    pub async fn wait_calls(&self, n: usize) {
        let mut count = self.shared.answers.count.subscribe();
        let enough = tokio::time::timeout(DEADLINE, count.wait_for(|seen| *seen >= n)).await;
        assert!(enough.is_ok(), "waited for {n} calls at the provider, {} came", self.count());
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.answers.script()
    }

    fn listening(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.shared.listening.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn listen(&self) -> io::Result<()> {
        let _entered = runtime().enter();
        let listener = socket(self.address)?.listen(1024)?;
        // The task holds no strong reference: the last handle's end must end it.
        let shared = Arc::downgrade(&self.shared);
        let mut phase = self.shared.phase.subscribe();
        let task = runtime().spawn(async move {
            while let Some(stream) = accept(&listener, &mut phase).await {
                let Some(shared) = shared.upgrade() else {
                    return;
                };
                let mut phase = shared.phase.subscribe();
                let started = *phase.borrow_and_update();
                runtime().spawn(async move {
                    // In this order: once down, it must not answer what still comes on a connection
                    // that it had.
                    tokio::select! {
                        biased;
                        _ = phase.wait_for(|now| *now != started) => {}
                        _ = shared.serve(stream) => {}
                    }
                });
            }
        });
        *self.listening() = Some(task);
        Ok(())
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({}, {} calls)", self.address, self.count())
    }
}

impl Shared {
    /// Serves one connection until either side ends it.
    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let (certificate, identity, idle) = {
            let script = self.answers.script();
            (script.certificate, script.identity.clone(), script.idle)
        };
        let mut link = tls::accept(stream, certificate, identity).await?;
        let line = Line {
            server_name: tls::server_name(&link),
            number: self.connections.fetch_add(1, Ordering::Relaxed),
            idle,
        };
        // "PRI" is no HTTP/1.1 method (RFC 9113 §3.4).
        let mut early = Vec::new();
        while early.len() < 3 {
            if link.read_buf(&mut early).await? == 0 {
                return Ok(());
            }
        }
        if early.starts_with(b"PRI") {
            http2::serve(&self.answers, link, early, &line).await
        } else {
            http1::serve(&self.answers, link, early, &line).await
        }
    }
}

/// The next connection, or none when listening ends: the provider was taken down, or its last
/// handle was dropped.
async fn accept(listener: &TcpListener, phase: &mut watch::Receiver<u64>) -> Option<TcpStream> {
    loop {
        tokio::select! {
            biased;
            _ = phase.changed() => return None,
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                return Some(stream);
            },
        }
    }
}

/// A socket of ours at this address, on which nothing listens yet.
pub(crate) fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Two sockets may have the port as long as one of them at most listens.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
