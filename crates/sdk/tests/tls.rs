//! TLS: the SDK talks to a server whose certificate it can check, and to no other.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backing::Certificates;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sdk::{ChatClient, ClientError, Config, ConnectionState, Delivery, Platform, Proxy, WaitReason};
use testkit::{TestApp, TestServer, eventually, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
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
        Self::with(Certificates::make(names).expect("certificates")).await
    }

    async fn with(certificates: Certificates) -> Self {
        let server = TestServer::start().await;
        let app = server.app().await;
        let port = proxy(&certificates, app.address).await;
        let folder = tempfile::tempdir().expect("a folder");
        Self { app, certificates, port, folder, platform: Arc::default(), _server: server }
    }

    async fn open(&self, authority: Option<String>) -> Result<ChatClient, ClientError> {
        self.open_with(|config| config.extra_root_certificates_pem = authority).await
    }

    async fn open_with(&self, set: impl FnOnce(&mut Config)) -> Result<ChatClient, ClientError> {
        let url = format!("https://localhost:{}", self.port);
        let mut config = Config::new(url, &self.app.app_id, &self.app.api_key, self.folder.path());
        set(&mut config);
        ChatClient::open(config, Arc::clone(&self.platform) as Arc<dyn Platform>).await
    }

    /// The authority's certificate as systems keep it.
    fn authority_der(&self) -> Vec<u8> {
        CertificateDer::from_pem_file(self.certificates.authority()).expect("a certificate").to_vec()
    }

    fn authority(&self) -> String {
        std::fs::read_to_string(self.certificates.authority()).expect("a file")
    }
}

/// A message reaches the server.
async fn is_talked_to(client: &ChatClient) {
    client.send(None, "one").await.expect("room");
    let mut timelines = client.subscribe_timeline(None);
    patiently("the message to be sent", async {
        while let Some(timeline) = timelines.next().await.expect("a conversation") {
            if timeline.items.iter().any(|item| item.delivery == Delivery::Sent) {
                return;
            }
        }
    })
    .await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_certificate_of_an_added_authority_is_talked_to() {
    let scene = Scene::new(&["localhost"]).await;
    is_talked_to(&scene.open(Some(scene.authority())).await.expect("a client")).await;
    // Or of the system's, some of which nobody can read.
    let system = vec![b"no certificate".to_vec(), scene.authority_der()];
    let client = scene.open_with(|config| config.system_root_certificates = system).await;
    is_talked_to(&client.expect("a client")).await;
}

/// The pin as a developer makes it, with the commands that OkHttp's and curl's documents give.
fn pin_of(certificate: &std::path::Path) -> String {
    let command = format!(
        "openssl x509 -in {} -pubkey -noout | openssl pkey -pubin -outform der \
         | openssl dgst -sha256 -binary | openssl enc -base64",
        certificate.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &command]).output().expect("openssl");
    let hash = String::from_utf8(output.stdout).expect("text");
    assert!(!hash.trim().is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    format!("sha256/{}", hash.trim())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_pinned_key_is_talked_to_and_no_other() {
    let scene = Scene::new(&["localhost"]).await;
    let pinned = async |pins: Vec<String>| {
        let set = |config: &mut Config| {
            config.extra_root_certificates_pem = Some(scene.authority());
            config.pinned_public_keys = pins;
        };
        scene.open_with(set).await
    };
    let strangers = Certificates::make(&["localhost"]).expect("certificates");
    let (right, wrong) = (pin_of(&scene.certificates.certificate()), pin_of(&strangers.certificate()));
    is_talked_to(&pinned(vec![wrong.clone(), right.clone()]).await.expect("a client")).await;
    for odd in ["", "sha256/", "sha256/AAAA", &right.replace("sha256", "sha1"), "-----BEGIN"] {
        let refused = pinned(vec![odd.to_owned()]).await.err();
        assert!(matches!(refused, Some(ClientError::InvalidConfig(_))), "{odd}");
    }
    let client = pinned(vec![wrong]).await.expect("a client");
    is_refused(&client, WaitReason::Certificate).await;
    client.close().await;
    // A pin is no trust: a certificate that nobody vouches for is none.
    let client = scene.open_with(|config| config.pinned_public_keys = vec![right]).await.expect("a client");
    is_refused(&client, WaitReason::Certificate).await;
}

async fn is_refused(client: &ChatClient, wanted: WaitReason) {
    let mut states = client.subscribe_state();
    patiently("the reason", async {
        while let Some(state) = states.next().await {
            if let ConnectionState::Waiting { reason, .. } = state.connection {
                assert_eq!(reason, wanted);
                return;
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_valid_now_is_said_to_be_so() {
    for (from, to) in [(1990, 2000), (2090, 2100)] {
        let certificates = Certificates::valid(&["localhost"], from, to).expect("certificates");
        let scene = Scene::with(certificates).await;
        let client = scene.open(Some(scene.authority())).await.expect("a client");
        is_refused(&client, WaitReason::CertificateDates).await;
    }
}

/// An HTTP proxy that lets through, and notes what it was asked for.
async fn http_proxy(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.expect("a request"));
                }
                let head = String::from_utf8(head).expect("text");
                let target = head.split(' ').nth(1).expect("a target").to_owned();
                noted.lock().expect("no test panics with the lock").push(head);
                stream.write_all(answer.as_bytes()).await.expect("a stream");
                if answer.contains(" 200 ") {
                    let mut outside = TcpStream::connect(target).await.expect("a server");
                    // Either end may go whenever it likes.
                    let _ = copy_bidirectional(&mut stream, &mut outside).await;
                }
            });
        }
    });
    (address, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_may_lead_through_a_proxy() {
    let scene = Scene::new(&["localhost"]).await;
    let (address, asked) = http_proxy("HTTP/1.1 200 Connection established\r\nVia: 1.1 proxy\r\n\r\n").await;
    let through = |url: String| {
        let authority = scene.authority();
        move |config: &mut Config| {
            config.extra_root_certificates_pem = Some(authority);
            config.proxy = Proxy::Url(url);
        }
    };
    let client = scene.open_with(through(format!("http://ann:secret@{address}"))).await.expect("a client");
    is_talked_to(&client).await;
    let asked = asked.lock().expect("no test panics with the lock").clone();
    assert!(asked.len() >= 2, "sockets and REST alike: {asked:?}");
    for head in asked {
        assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", scene.port)), "{head}");
        assert!(head.contains("Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n"), "{head}");
    }
    let (address, _) = http_proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let client = scene.open_with(through(format!("http://{address}"))).await.expect("a client");
    is_refused(&client, WaitReason::Proxy).await;
    client.close().await;
    let client = scene.open_with(through("http://127.0.0.1:9".into())).await.expect("a client");
    is_refused(&client, WaitReason::Proxy).await;
    assert!(!scene.platform.text().contains("secret"), "{}", scene.platform.text());
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

/// The address and the app that a process of its own is to talk to, which trusts what the system does.
const CHILD: &str = "REPLYHQ_TEST_TLS_CHILD";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(scene) = std::env::var(CHILD) else { return };
    let [url, app_id, api_key, folder] = scene.split(' ').collect::<Vec<_>>()[..] else { panic!("{scene}") };
    let config = Config::new(url, app_id, api_key, folder);
    let client = ChatClient::open(config, Arc::new(Logged::default())).await.expect("a client");
    is_talked_to(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_the_system_trusts_is_trusted() {
    let scene = Scene::new(&["localhost"]).await;
    let (url, folder) = (format!("https://localhost:{}", scene.port), scene.folder.path().display());
    let output = tokio::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "tls::child", "--nocapture"])
        .env(CHILD, format!("{url} {} {} {folder}", scene.app.app_id, scene.app.api_key))
        // Where OpenSSL and others look, too.
        .env("SSL_CERT_FILE", scene.certificates.authority())
        .output()
        .await
        .expect("a process");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let conversations = scene.app.as_agent().get("/v1/admin/conversations").await.ok();
    assert_eq!(conversations["conversations"].as_array().map(Vec::len), Some(1));
}
