//! An HTTP/2 client by prior knowledge: several streams on one connection, trailers, resets.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::TcpStream;

use crate::client::Request;
use crate::response::Response;
use crate::upstream::from_map;
use crate::wire::Headers;
use crate::{DEADLINE, runtime};

/// One HTTP/2 connection. It ends when it and all its streams are dropped.
#[derive(Clone)]
pub struct H2 {
    sender: h2::client::SendRequest<Bytes>,
    abort: tokio::task::AbortHandle,
}

impl H2 {
    /// Connects and shakes hands.
    ///
    /// # Errors
    ///
    /// If no server listens there, or it does not speak HTTP/2.
    pub async fn open(to: SocketAddr) -> io::Result<H2> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(io::Error::other)?;
        let driver = runtime().spawn(async move {
            let _ = connection.await;
        });
        Ok(H2 { sender, abort: driver.abort_handle() })
    }

    /// Opens a stream with the header of `request`. Its body and trailers follow through
    /// [`Stream::send`] and [`Stream::finish`]; `end` says that nothing follows.
    ///
    /// # Errors
    ///
    /// The error of the HTTP/2 layer.
    pub async fn stream(&self, request: &Request, end: bool) -> io::Result<Stream> {
        let mut sender = self.sender.clone().ready().await.map_err(io::Error::other)?;
        let mut head = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("http://{}{}", request.host, request.target));
        for (name, value) in &request.headers.0 {
            head = head.header(name.as_str(), value.as_slice());
        }
        let head = head.body(()).map_err(io::Error::other)?;
        let started = Instant::now();
        let (response, body) = sender.send_request(head, end).map_err(io::Error::other)?;
        Ok(Stream { response, body, started })
    }

    /// Sends a whole request on a stream of its own and returns the response.
    ///
    /// # Panics
    ///
    /// If no complete response comes before the request's deadline.
    pub async fn send(&self, request: Request) -> Response {
        let sent = tokio::time::timeout(request.time_allowed(), async {
            let end = request.body.is_empty() && request.trailers.0.is_empty();
            let Stream { response, mut body, started } = self.stream(&request, end).await?;
            let writing = async {
                // A server may answer and reset before it has read everything: the answer counts.
                if !end && send_on(&mut body, request.body.clone().into()).await.is_ok() {
                    let _ = finish_on(&mut body, &request.trailers);
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                response = read(response, started) => response.map_err(io::Error::other),
                () = writing => unreachable!("it waits for ever"),
            }
        });
        match sent.await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => panic!("{} {}: no response: {e}", request.method, request.target),
            Err(_) => panic!("{} {}: no response in time", request.method, request.target),
        }
    }

    /// Drops the connection with all its streams, like a client that vanishes.
    pub fn vanish(self) {
        self.abort.abort();
    }
}

/// One stream.
pub struct Stream {
    response: h2::client::ResponseFuture,
    body: h2::SendStream<Bytes>,
    started: Instant,
}

impl Stream {
    /// Sends a part of the body, as fast as the peer takes it.
    ///
    /// # Errors
    ///
    /// If the peer resets the stream, or does not take it within 20 seconds.
    pub async fn send(&mut self, data: impl Into<Bytes>) -> io::Result<()> {
        let sending = send_on(&mut self.body, data.into());
        tokio::time::timeout(DEADLINE, sending).await.map_err(|_| timed_out("sending"))?
    }

    /// Ends the request, with these trailers if there are any.
    ///
    /// # Errors
    ///
    /// If the peer has reset the stream.
    pub fn finish(&mut self, trailers: &Headers) -> io::Result<()> {
        finish_on(&mut self.body, trailers)
    }

    /// Resets the stream (`CANCEL`).
    pub fn reset(mut self) {
        self.body.send_reset(h2::Reason::CANCEL);
    }

    /// Waits for the whole response.
    ///
    /// # Errors
    ///
    /// If the stream or the connection breaks, or nothing comes within 20 seconds.
    pub async fn response(self) -> io::Result<Response> {
        self.response_within(DEADLINE).await
    }

    /// Waits for the whole response this long.
    ///
    /// # Errors
    ///
    /// As [`Stream::response`].
    pub async fn response_within(self, deadline: Duration) -> io::Result<Response> {
        // Its end would reset the stream.
        let _body = self.body;
        let read = tokio::time::timeout(deadline, read(self.response, self.started)).await;
        read.map_err(|_| timed_out("a response"))?.map_err(io::Error::other)
    }
}

impl Request {
    /// Sends it over HTTP/2 on a connection of its own and returns the response.
    ///
    /// # Panics
    ///
    /// If no complete response comes before the deadline.
    pub async fn send_h2(self) -> Response {
        match H2::open(self.to).await {
            Ok(connection) => connection.send(self).await,
            Err(e) => panic!("{} {}: no connection: {e}", self.method, self.target),
        }
    }
}

/// Sends data as fast as the peer's windows let it.
async fn send_on(stream: &mut h2::SendStream<Bytes>, mut data: Bytes) -> io::Result<()> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let n = capacity.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
        let part = data.split_to(n.min(data.len()));
        stream.send_data(part, false).map_err(io::Error::other)?;
    }
    Ok(())
}

fn finish_on(stream: &mut h2::SendStream<Bytes>, trailers: &Headers) -> io::Result<()> {
    if trailers.0.is_empty() {
        return stream.send_data(Bytes::new(), true).map_err(io::Error::other);
    }
    let mut map = http::HeaderMap::new();
    for (name, value) in &trailers.0 {
        let name = http::HeaderName::try_from(name.as_str()).map_err(io::Error::other)?;
        map.append(name, http::HeaderValue::from_bytes(value).map_err(io::Error::other)?);
    }
    stream.send_trailers(map).map_err(io::Error::other)
}

async fn read(
    response: h2::client::ResponseFuture,
    started: Instant,
) -> Result<Response, h2::Error> {
    let (parts, mut stream) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: from_map(&parts.headers),
        body,
        trailers: from_map(&trailers),
        interim: Vec::new(),
        elapsed: started.elapsed(),
    })
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what}: deadline passed"))
}
