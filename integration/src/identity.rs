//! A certificate in files: for a provider that must show the same one after a restart, because
//! clients read the authority's certificate only once. Tests need none, see `tls.rs`, which uses
//! only the server's side of this module.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::CertificateParams;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{Error, ServerConfig};

use crate::authority::Authority;

/// A provider's identity: a certificate and its key.
#[derive(Clone)]
pub struct Identity {
    pub(crate) config: Arc<ServerConfig>,
}

/// A certificate that was just made, in the form of files.
pub struct Pems {
    /// The authority's certificate: what others trust.
    pub authority: String,
    /// The certificate for the names.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Pems {
    /// Makes an authority and lets it sign a certificate for these names. The authority's own key
    /// is forgotten: it can sign nothing else.
    ///
    /// # Errors
    ///
    /// If a name is not valid in a certificate.
    pub fn make(names: &[&str]) -> Result<Pems, String> {
        let made = || {
            let authority = Authority::new("Authority of the example")?;
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let (certificate, key) = authority.sign(&CertificateParams::new(names)?)?;
            let (certificate, key) = (certificate.pem(), key.serialize_pem());
            Ok(Pems { authority: authority.pem, certificate, key })
        };
        made().map_err(|e: rcgen::Error| format!("no certificate for {names:?}: {e}"))
    }
}

impl Identity {
    /// Reads a certificate and its key from PEM files.
    ///
    /// # Errors
    ///
    /// Which file is wrong, and why.
    pub fn read(certificate: &Path, key: &Path) -> Result<Identity, String> {
        let shown = CertificateDer::from_pem_file(certificate)
            .map_err(|e| format!("{}: {e}", certificate.display()))?;
        let secret =
            PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
        let config = server_config(shown, secret)
            .map_err(|e| format!("{} and its key: {e}", certificate.display()))?;
        Ok(Identity { config })
    }
}

/// A server that shows this certificate and speaks TLS 1.3.
pub(crate) fn server_config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Error> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map(Arc::new)
}

/// The key stays out of it.
impl fmt::Debug for Pems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pems")
    }
}

/// The key stays out of it.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target_dir;

    #[test]
    fn what_was_made_can_be_read_and_another_key_is_noticed() {
        let dir = target_dir().join(format!("identity-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let [certificate, key, other] = ["certificate", "key", "other"].map(|n| dir.join(n));
        let made = Pems::make(&["idp.example", "fr.idp.example"]).unwrap();
        std::fs::write(&certificate, &made.certificate).unwrap();
        std::fs::write(&key, &made.key).unwrap();
        std::fs::write(&other, Pems::make(&["idp.example"]).unwrap().key).unwrap();
        let read = Identity::read(&certificate, &key).map(|_| ());
        let mixed = Identity::read(&certificate, &other).unwrap_err();
        let missing = Identity::read(&dir.join("nothing"), &key).unwrap_err();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(read, Ok(()));
        assert!(mixed.contains("certificate and its key"), "{mixed}");
        assert!(missing.contains("nothing: "), "{missing}");
    }
}
