//! TLS on the provider's side, with certificates that are created at first use. Nothing is in
//! files: a certificate authority lives as long as the test process.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rcgen::CertificateParams;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector};
use tokio_util::either::Either;

use crate::authority::Authority;
use crate::identity::{Identity, server_config};

/// The certificate that a provider shows for a server name.
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
#[must_use]
pub fn trusted_ca() -> &'static str {
    &TRUSTED.pem
}

/// A certificate for `name` that the clusters trust, and its key, both as PEM: for a server that is
/// a process of its own.
pub(crate) fn trusted_certificate(name: &str) -> (String, String) {
    let params = CertificateParams::new([name.to_owned()]).expect("a name for a certificate");
    let (certificate, key) = TRUSTED.sign(&params).expect("a certificate");
    (certificate.pem(), key.serialize_pem())
}

static TRUSTED: LazyLock<Authority> = LazyLock::new(of_the_rig);
static OTHER: LazyLock<Authority> = LazyLock::new(of_the_rig);

fn of_the_rig() -> Authority {
    Authority::new("Certificates of the rig").expect("a certificate authority can be made")
}

impl Certificate {
    /// The server's side for a client that sends the server name `name`.
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
        let (certificate, key) = authority.sign(&params).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = server_config(certificate.der().clone(), key);
        config.expect("key and certificate belong together")
    }
}

/// What a server with this name answers to a GET over TLS, as its clients see it: the body of a 200.
pub(crate) async fn get(at: SocketAddr, name: &str, target: &str) -> String {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(trusted_ca().as_bytes()).expect("PEM");
    roots.add(authority).expect("an authority");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name_of_server = ServerName::try_from(name.to_owned()).expect("a host name");
    let stream = TcpStream::connect(at).await.expect("the server listens");
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name_of_server, stream).await.expect("its certificate");
    let request = format!("GET {target} HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut answer = Vec::new();
    // Some servers end without saying so in TLS.
    if let Err(error) = stream.read_to_end(&mut answer).await {
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
    }
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a response");
    let head = head.to_ascii_lowercase();
    assert!(head.split(' ').nth(1) == Some("200"), "{head}");
    assert!(!head.contains("chunked"), "{head}");
    body.to_owned()
}

/// A connection at the provider, encrypted if the client began so.
pub(crate) type Link = Either<TcpStream, Box<TlsStream<TcpStream>>>;

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
        return Ok(Either::Left(stream));
    }
    let start = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    // A client without a server name gets a certificate for another name.
    let name = start.client_hello().server_name().unwrap_or("nobody.example").to_owned();
    let config = identity.map_or_else(|| certificate.config(&name), |identity| identity.config);
    Ok(Either::Right(Box::new(start.into_stream(config).await?)))
}

/// The server name in the client's TLS greeting.
pub(crate) fn server_name(link: &Link) -> Option<String> {
    match link {
        Either::Left(_) => None,
        Either::Right(stream) => stream.get_ref().1.server_name().map(str::to_owned),
    }
}

/// Makes the next close a TCP reset.
pub(crate) fn reset(link: &Link) -> io::Result<()> {
    match link {
        Either::Left(stream) => stream.set_zero_linger(),
        Either::Right(stream) => stream.get_ref().0.set_zero_linger(),
    }
}
