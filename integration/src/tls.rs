//! TLS on the provider's side, with certificates that are made when they are first asked for.
//! Nothing is kept in files: a certificate authority lives as long as the test process.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::{fmt, io};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use crate::identity::{Identity, server_config};

/// What a provider shows to a client that asks for a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Certificate {
    /// For that name, signed by the authority that the clusters trust, valid now.
    #[default]
    Good,
    /// The same, signed by another authority that bears the same name.
    OtherAuthority,
    /// For another name.
    OtherName,
    /// For that name, but no longer valid.
    Expired,
}

/// First byte of a TLS connection; no HTTP request begins with it.
const HANDSHAKE: u8 = 0x16;

/// The authority that the clusters trust, as PEM.
pub(crate) fn trusted_ca() -> &'static str {
    &TRUSTED.pem
}

/// A certificate for `name` that the clusters trust, and its key, both as PEM: for a server that is
/// a process of its own.
pub(crate) fn trusted_certificate(name: &str) -> (String, String) {
    let params = CertificateParams::new([name.to_owned()]).expect("a name for a certificate");
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &TRUSTED.issuer).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

static TRUSTED: LazyLock<Authority> = LazyLock::new(Authority::new);
static OTHER: LazyLock<Authority> = LazyLock::new(Authority::new);

impl Authority {
    fn new() -> Authority {
        let made = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, "Certificates of the rig");
            let key = KeyPair::generate()?;
            let pem = params.self_signed(&key)?.pem();
            Ok::<_, rcgen::Error>(Authority { pem, issuer: Issuer::new(params, key) })
        };
        made().expect("a certificate authority can be made")
    }
}

impl Certificate {
    /// The server's side for a client that asks for `name`.
    fn config(self, name: &str) -> Arc<ServerConfig> {
        type Made = Mutex<HashMap<(Certificate, String), Arc<ServerConfig>>>;
        static MADE: LazyLock<Made> = LazyLock::new(Made::default);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry((self, name.to_owned())).or_insert_with(|| self.make(name)).clone()
    }

    fn make(self, name: &str) -> Arc<ServerConfig> {
        let name = if self == Certificate::OtherName { "other.example" } else { name };
        let authority = if self == Certificate::OtherAuthority { &*OTHER } else { &*TRUSTED };
        let mut params =
            CertificateParams::new([name.to_owned()]).expect("a name for a certificate");
        if self == Certificate::Expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &authority.issuer).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = server_config(certificate.der().clone(), key);
        config.expect("key and certificate belong together")
    }
}

/// A connection at the provider, encrypted if the client began so.
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Link {
    /// Takes what the client's first byte says that it is.
    pub(crate) async fn accept(
        stream: TcpStream,
        certificate: Certificate,
        identity: Option<Identity>,
    ) -> io::Result<Link> {
        stream.set_nodelay(true)?;
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first != [HANDSHAKE] {
            return Ok(Link::Plain(stream));
        }
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        // A client that names nobody gets a certificate that nobody asked for.
        let name = start.client_hello().server_name().unwrap_or("nobody.example").to_owned();
        let config = identity.map_or_else(|| certificate.config(&name), |identity| identity.config);
        Ok(Link::Tls(Box::new(start.into_stream(config).await?)))
    }

    /// The name that the client asked for in its TLS greeting.
    pub(crate) fn server_name(&self) -> Option<String> {
        match self {
            Link::Plain(_) => None,
            Link::Tls(stream) => stream.get_ref().1.server_name().map(str::to_owned),
        }
    }

    /// Makes the next close a TCP reset.
    pub(crate) fn set_zero_linger(&self) -> io::Result<()> {
        match self {
            Link::Plain(stream) => stream.set_zero_linger(),
            Link::Tls(stream) => stream.get_ref().0.set_zero_linger(),
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Link::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Link::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Link::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Link::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Link::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link(server name {:?})", self.server_name())
    }
}
