//! TLS: the SDK talks to a server whose certificate it can check, and to no other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use backing::Certificates;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sdk::{ChatClient, ClientError, Config, ConnectionState, Delivery, Platform};
use testkit::{TestApp, TestServer, eventually, patiently};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::phone::Logged;

/// A proxy as stands before a server in production: it ends the TLS. Returns its port.
async fn proxy(certificates: &Certificates, server: SocketAddr) -> u16 {
    let chain = CertificateDer::pem_file_iter(certificates.certificate()).expect("a file");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(certificates.key()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // Who does not trust the certificate hangs up.
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let mut outside = TcpStream::connect(server).await.expect("a server");
                // Either end may go whenever it likes.
                let _ = copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    port
}

struct Scene {
    app: TestApp,
    certificates: Certificates,
    port: u16,
    folder: tempfile::TempDir,
    platform: Arc<Logged>,
    _server: TestServer,
}

impl Scene {
    async fn new(names: &[&str]) -> Self {
        let server = TestServer::start().await;
        let app = server.app().await;
        let certificates = Certificates::make(names).expect("certificates");
        let port = proxy(&certificates, app.address).await;
        let folder = tempfile::tempdir().expect("a folder");
        Self { app, certificates, port, folder, platform: Arc::default(), _server: server }
    }

    async fn open(&self, authority: Option<String>) -> Result<ChatClient, ClientError> {
        let url = format!("https://localhost:{}", self.port);
        let mut config = Config::new(url, &self.app.app_id, &self.app.api_key, self.folder.path());
        config.extra_root_certificates_pem = authority;
        ChatClient::open(config, Arc::clone(&self.platform) as Arc<dyn Platform>).await
    }

    fn authority(&self) -> String {
        std::fs::read_to_string(self.certificates.authority()).expect("a file")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_certificate_of_an_added_authority_is_talked_to() {
    let scene = Scene::new(&["localhost"]).await;
    let client = scene.open(Some(scene.authority())).await.expect("a client");
    client.send(None, "one").await.expect("room");
    let mut timelines = client.subscribe_timeline(None);
    patiently("the message to be sent", async {
        while let Some(timeline) = timelines.next().await {
            if timeline.items.iter().any(|item| item.delivery == Delivery::Sent) {
                return;
            }
        }
    })
    .await;
    client.close().await;
}

/// Nothing goes to a server that the client can't be sure of, and the log says why.
async fn is_not_talked_to(scene: &Scene, client: &ChatClient, why: &str) {
    client.send(None, "one").await.expect("room");
    eventually("two tries", || async { (scene.platform.text().matches(why).count() >= 2).then_some(()) })
        .await;
    assert_ne!(client.subscribe_state().current().connection, ConnectionState::Online);
    assert_eq!(client.drain(Duration::ZERO).await, Ok(1), "it waits");
    let conversations = scene.app.as_agent().get("/v1/admin/conversations").await.ok();
    assert_eq!(conversations["conversations"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_authority_is_not_known_gets_nothing() {
    let scene = Scene::new(&["localhost"]).await;
    let client = scene.open(None).await.expect("a client");
    is_not_talked_to(&scene, &client, "UnknownIssuer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_certificate_for_another_name_gets_nothing() {
    let scene = Scene::new(&["chat.example.com"]).await;
    let client = scene.open(Some(scene.authority())).await.expect("a client");
    is_not_talked_to(&scene, &client, "not valid for").await;
}

#[tokio::test]
async fn what_is_no_certificate_is_a_clear_error() {
    let scene = Scene::new(&["localhost"]).await;
    for wrong in ["", "not PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let outcome = scene.open(Some(wrong.into())).await;
        assert!(matches!(outcome.err(), Some(ClientError::InvalidConfig(_))), "{wrong}");
    }
}
