//! A fixed number of requests, for what is counted instead of timed: `wrk` sends for a time, and
//! `h2load` cannot send a different token with each request. It blocks, a thread a connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::{Load, Order, Tokens};
use crate::{input, tokens};

/// How long one answer may take: a measured Envoy under valgrind is fifty times slower.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends this many requests on the connections of the order, and nothing more. Its time is how long
/// that took; the order's own is not heeded.
pub(crate) fn run(order: &Order, requests: u64) -> Result<(Load, Duration)> {
    let connections = u64::from(order.connections);
    let started = Instant::now();
    let ended: Vec<Result<u64>> = thread::scope(|scope| {
        let connection = |n: u64| {
            let share = requests / connections + u64::from(n < requests % connections);
            scope.spawn(move || connection(order, n, share))
        };
        let threads: Vec<_> = (0..connections).map(connection).collect();
        let end = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a connection panicked")))
        };
        threads.into_iter().map(end).collect()
    });
    let time = started.elapsed();
    let mut refused = 0;
    for connection in ended {
        refused += connection?;
    }
    let per_second = requests as f64 / time.as_secs_f64();
    let (p50, p99) = (f64::NAN, f64::NAN);
    Ok((Load { requests, refused, per_second, p50, p99, errors: None }, time))
}

/// One connection's share. Gives how many were refused.
fn connection(order: &Order, number: u64, share: u64) -> Result<u64> {
    let mut stream = TcpStream::connect(order.at).context("connecting")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut refused = 0;
    for request in 0..share {
        stream.write_all(text(order, number, request)?.as_bytes())?;
        refused += u64::from(!answer(&mut reader)?);
    }
    Ok(refused)
}

/// The request as `wrk` writes it.
fn text(order: &Order, connection: u64, request: u64) -> Result<String> {
    let mut text = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", order.path, order.at);
    for (name, value) in input::fields(order.fields.saturating_sub(2)) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    match &order.tokens {
        Tokens::None => {}
        Tokens::One(token) => text.push_str(&format!("Authorization: Bearer {token}\r\n")),
        Tokens::Fresh(like) => {
            let token = tokens::fresh(like, &format!("{}{connection:02}{request:07}", tag()));
            text.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        other => bail!("a fixed number of requests cannot send {other:?}"),
    }
    text.push_str("\r\n");
    Ok(text)
}

/// Eight digits that differ from run to run of this process, so that no token is sent twice.
fn tag() -> String {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    format!("{:08}", since.as_secs() % 100_000_000)
}

/// Reads one answer. Whether its status is 2xx or 3xx.
fn answer(reader: &mut BufReader<TcpStream>) -> Result<bool> {
    let (mut line, mut length, mut passed) = (String::new(), 0, None);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            bail!("the connection ended before an answer");
        }
        let field = line.trim_end();
        match passed {
            None => passed = Some(matches!(field.as_bytes().get(9), Some(b'2' | b'3'))),
            Some(passed) if field.is_empty() => {
                reader.read_exact(&mut vec![0; length])?;
                return Ok(passed);
            }
            Some(_) => {
                if let Some((name, value)) = field.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().context("content-length")?;
                }
            }
        }
    }
}
