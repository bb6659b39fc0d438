//! Real OpenID Providers on loopback, two implementations that have nothing in common: npm's
//! certified `oidc-provider`, as `integration/provider/server.mjs` sets it up, and PyPI's
//! `django-oauth-toolkit`, as `integration/django/server.py` does. Node.js with npm, or Python, must
//! be there: without them there is no provider, and a test that wants one fails.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::available;
use crate::directory::Directory;
use crate::identity::Pems;
use crate::install::{npm, python};
use crate::process::{self, Place};
use crate::tls::{self, trusted_certificate};

/// `oidc-provider`, with a place of its own, running or not. Dropping it ends the process.
#[derive(Debug)]
pub struct OpenIdProvider {
    installed: npm::Installed,
    sockets: Sockets,
    /// For its clients.
    clients: Pems,
    store: PathBuf,
    settings: Vec<(&'static str, String)>,
    running: Option<process::Running>,
}

impl OpenIdProvider {
    /// The name that the provider bears: in its issuer, and in its certificate.
    pub const NAME: &str = "idp.example";
    /// The name that the client `gateway_tls` has to have in its certificate.
    pub const GATEWAY: &str = "gateway.example";

    /// Installs the provider where it is missing.
    ///
    /// # Errors
    ///
    /// A text for the user: what is missing and the remedy.
    pub fn install() -> Result<(), String> {
        npm::OPENID_PROVIDER.install().map(drop)
    }

    /// Installs the provider where it is missing, and starts one that knows no token yet: release
    /// 8.
    ///
    /// # Panics
    ///
    /// If it cannot be installed or does not start, with the remedy or what it said.
    pub async fn start() -> OpenIdProvider {
        OpenIdProvider::start_with(|_| Vec::new()).await
    }

    /// The same of release 9, which answers differently in places.
    ///
    /// # Panics
    ///
    /// As [`OpenIdProvider::start`].
    pub async fn start_release_9() -> OpenIdProvider {
        OpenIdProvider::start_with(|_| vec![("PACKAGE", "oidc-provider-9".to_owned())]).await
    }

    /// One whose issuer is where it listens for plain HTTP, for clients that discover it.
    ///
    /// # Panics
    ///
    /// As [`OpenIdProvider::start`].
    pub async fn start_discoverable() -> OpenIdProvider {
        OpenIdProvider::start_with(|plain| vec![("ISSUER", format!("http://{plain}"))]).await
    }

    /// One at `https://localhost:PORT`, its issuer, for programs that find it by its name.
    ///
    /// # Panics
    ///
    /// As [`OpenIdProvider::start`].
    pub async fn start_on_localhost() -> OpenIdProvider {
        let sockets = Sockets::new("localhost");
        let issuer = format!("https://localhost:{}", sockets.encrypted.address().port());
        OpenIdProvider::start_at(sockets, vec![("ISSUER", issuer)]).await
    }

    async fn start_with(
        settings: impl FnOnce(SocketAddr) -> Vec<(&'static str, String)>,
    ) -> OpenIdProvider {
        let sockets = Sockets::new(OpenIdProvider::NAME);
        let settings = settings(sockets.plain.address());
        OpenIdProvider::start_at(sockets, settings).await
    }

    async fn start_at(sockets: Sockets, settings: Vec<(&'static str, String)>) -> OpenIdProvider {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let installed = available(|| npm::OPENID_PROVIDER.install()).await;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let file = format!("tokens-{}-{number}.json", std::process::id());
        let mut provider = OpenIdProvider {
            store: installed.directory.join(file),
            installed,
            clients: Pems::make(&[OpenIdProvider::GATEWAY]).expect("a certificate"),
            settings,
            sockets,
            running: None,
        };
        // Of an earlier process with the same id.
        provider.forget();
        provider.up().await;
        provider
    }

    /// Its address for plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.sockets.plain.address()
    }

    /// Its address for TLS, with a certificate for [`OpenIdProvider::NAME`].
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        self.sockets.encrypted.address()
    }

    /// Its discovery document, by its name and over TLS: the URLs in it follow from how it is asked.
    pub async fn discovery(&self) -> String {
        let target = "/.well-known/openid-configuration";
        tls::get(self.tls_address(), OpenIdProvider::NAME, target).await
    }

    /// A certificate for [`OpenIdProvider::GATEWAY`] that it accepts from a client (RFC 8705).
    #[must_use]
    pub fn client_certificate(&self) -> &Pems {
        &self.clients
    }

    /// Starts it where it was before, with the tokens that it knew.
    ///
    /// # Panics
    ///
    /// If it runs, or does not start.
    pub async fn up(&mut self) {
        assert!(self.running.is_none(), "the provider runs already");
        let mut command = self.installed.command("server.mjs");
        self.sockets.tell(&mut command);
        command.env("CLIENT_CA", &self.clients.authority);
        command.env("STORE", &self.store).envs(self.settings.iter().map(|(n, v)| (n, v)));
        self.running = Some(process::listening(command).await);
    }

    /// Kills it.
    pub fn down(&mut self) {
        self.running = None;
    }

    /// Makes it forget every token; for one that is down.
    pub fn forget(&mut self) {
        let _ = fs::remove_file(&self.store);
    }
}

impl Drop for OpenIdProvider {
    fn drop(&mut self) {
        self.down();
        self.forget();
    }
}

/// `django-oauth-toolkit`, with a data base of its own. Dropping it ends the process.
#[derive(Debug)]
pub struct DjangoProvider {
    sockets: Sockets,
    _running: process::Running,
    _directory: Directory,
}

impl DjangoProvider {
    /// The name that the provider bears: in its issuer, and in its certificate.
    pub const NAME: &str = "dot.example";

    /// Installs the provider where it is missing.
    ///
    /// # Errors
    ///
    /// A text for the user: what is missing and the remedy.
    pub fn install() -> Result<(), String> {
        python::DJANGO.install().map(drop)
    }

    /// Installs the provider where it is missing, and starts one that knows no token yet.
    ///
    /// # Panics
    ///
    /// If it cannot be installed or does not start, with the remedy or what it said.
    pub async fn start() -> DjangoProvider {
        let installed = available(|| python::DJANGO.install()).await;
        let sockets = Sockets::new(DjangoProvider::NAME);
        let directory = Directory::new().expect("a directory under target/");
        let mut command = installed.command("server.py");
        sockets.tell(&mut command);
        command.env("DIRECTORY", directory.path());
        let running = process::listening(command).await;
        DjangoProvider { sockets, _running: running, _directory: directory }
    }

    /// Its address for plain HTTP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.sockets.plain.address()
    }

    /// Its address for TLS, with a certificate for [`DjangoProvider::NAME`].
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        self.sockets.encrypted.address()
    }

    /// Its discovery document, by its name and over TLS.
    pub async fn discovery(&self) -> String {
        let target = "/o/.well-known/openid-configuration";
        tls::get(self.tls_address(), DjangoProvider::NAME, target).await
    }
}

/// Where a provider listens.
#[derive(Debug)]
struct Sockets {
    plain: Place,
    encrypted: Place,
    /// With its key, as PEM.
    certificate: (String, String),
}

impl Sockets {
    fn new(name: &str) -> Sockets {
        Sockets {
            plain: Place::reserve(),
            encrypted: Place::reserve(),
            certificate: trusted_certificate(name),
        }
    }

    /// Tells the provider, which reads it in its environment.
    fn tell(&self, command: &mut Command) {
        let (certificate, key) = &self.certificate;
        command
            .env("PORT", self.plain.address().port().to_string())
            .env("TLS_PORT", self.encrypted.address().port().to_string())
            .envs([("TLS_CERT", certificate), ("TLS_KEY", key)]);
    }
}
