//! An https server with a certificate of the test's own. `openssl` makes the certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Bytes of a request that are read before the answer.
const REQUEST_BYTES: usize = 4096;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

pub struct TlsServer {
    address: SocketAddr,
    authority: CertificateDer<'static>,
}

/// Of whom the server's certificate is. Its name is `localhost`, and not the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    Itself,
    /// See [`TlsServer::trusting`].
    Authority,
    /// Of itself, until 2021.
    Expired,
}

impl TlsServer {
    /// Answers each request with 200.
    pub async fn start(issuer: Issuer) -> Self {
        let dir = std::env::temp_dir().join(format!("capi-tls-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&dir).expect("the folder is new");
        make_certificate(&dir, "authority", &["-subj", "/CN=authority"]);
        let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
        let signed =
            ["-CA", "authority.pem", "-CAkey", "authority.key", "-addext", "basicConstraints=CA:FALSE"];
        match issuer {
            Issuer::Itself => make_certificate(&dir, "server", &subject),
            Issuer::Authority => make_certificate(&dir, "server", &[&subject[..], &signed].concat()),
            Issuer::Expired => make_expired(&dir),
        }
        let certificate =
            |name: &str| CertificateDer::from_pem_file(dir.join(name)).expect("openssl made it");
        let key = PrivateKeyDer::from_pem_file(dir.join("server.key")).expect("openssl made it");
        let (server, authority) = (certificate("server.pem"), certificate("authority.pem"));
        let _ = std::fs::remove_dir_all(&dir);

        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![server], key)
            .expect("key and certificate belong together");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config))));
        Self { address, authority }
    }

    #[must_use]
    pub fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/", self.address.port())
    }

    /// A client's settings that trust the authority of this server, and no other.
    #[must_use]
    pub fn trusting(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).expect("openssl made it");
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; REQUEST_BYTES]).await;
                let _ = stream.write_all(ANSWER).await;
                let _ = stream.shutdown().await;
            }
        });
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn make_certificate(dir: &Path, name: &str, arguments: &[&str]) {
    let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
    let begin = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let names = ["-days", "3650", "-keyout", &key, "-out", &certificate];
    openssl(dir, &[&begin[..], &names, arguments].concat());
}

/// `openssl req` refuses days in the past. `openssl ca` takes dates, and needs a configuration for it.
fn make_expired(dir: &Path) {
    let settings = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\n\
                    default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\n\
                    basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost\n";
    std::fs::write(dir.join("settings"), settings).expect("the folder is new");
    std::fs::write(dir.join("index"), "").expect("the folder is new");
    let begin = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let names = ["-keyout", "server.key", "-out", "request", "-subj", "/CN=localhost"];
    openssl(dir, &[&begin[..], &names].concat());
    let begin = ["ca", "-batch", "-selfsign", "-notext", "-config", "settings", "-keyfile", "server.key"];
    let names = ["-in", "request", "-out", "server.pem"];
    let dates = ["-startdate", "20200101000000Z", "-enddate", "20210101000000Z"];
    openssl(dir, &[&begin[..], &names, &dates].concat());
}

fn openssl(dir: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(dir).output();
    let made = made.expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
