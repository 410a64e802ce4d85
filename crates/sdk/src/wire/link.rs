//! The live connection: a task that dials, upgrades, logs in, and reports what the server says. One connection each; it
//! never tries twice.

use std::sync::Arc;

use bytes::Bytes;
use http::header::USER_AGENT;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use protocol::event::CLIENT_NAMESPACE;
use protocol::request::DeviceAuth;
use serde_json::value::to_raw_value;
use socketio::{ClientConnection, ClientIncoming, CloseReason, Config, Event, Outgoing, upgrade};
use tokio::task::JoinSet;

use super::http::{AGENT, Credentials};
use super::tls::Dialer;
use super::trouble::Trouble;
use crate::engine::Task;
use crate::{Platform, Stream, WaitReason, limits};

/// Where the server takes live connections.
const PATH: &str = "/v1/socket.io/";

/// What the connection has to tell, in order. After `Ended` and `Refused` nothing follows.
#[derive(Debug)]
pub(crate) enum Told {
    /// The server has accepted the device.
    Connected(Outgoing),
    /// The server has refused the device, with this code.
    Refused { code: String, message: String },
    /// Something happened.
    Event(Event),
    /// It is over, or could not be made.
    Ended(Trouble),
}

/// One connection, from dialling to its end.
pub(crate) struct Link {
    pub(crate) dialer: Dialer,
    pub(crate) credentials: Credentials,
    pub(crate) config: Arc<Config>,
    pub(crate) platform: Arc<dyn Platform>,
}

impl Link {
    /// Connects and reports until the end. `tell` waits while what was told before is not dealt with.
    pub(crate) async fn run<F: Future<Output = ()>>(self, mut tell: impl FnMut(Told) -> F) {
        let upgraded = tokio::time::timeout(limits::CONNECT_TIMEOUT, self.upgrade()).await;
        let mut connection = match upgraded {
            Ok(Ok(connection)) => connection,
            Ok(Err(trouble)) => return tell(Told::Ended(trouble)).await,
            Err(_) => {
                let trouble = Trouble::new(WaitReason::TimedOut, "connect timeout");
                return tell(Told::Ended(trouble)).await;
            }
        };
        loop {
            match connection.next().await {
                ClientIncoming::Connected { .. } => tell(Told::Connected(connection.outgoing())).await,
                ClientIncoming::Event(event) => tell(Told::Event(event)).await,
                ClientIncoming::Refused { message, data } => {
                    connection.close(CloseReason::ClientClosed).await;
                    let text = data.map_or(String::new(), |data| data.get().to_owned());
                    return tell(Told::Refused { code: message, message: text }).await;
                }
                ClientIncoming::Disconnected => {
                    connection.close(CloseReason::ClientClosed).await;
                    return tell(Told::Ended(lost("io server disconnect"))).await;
                }
                ClientIncoming::Closed(reason) => return tell(Told::Ended(lost(&reason.to_string()))).await,
            }
        }
    }

    async fn upgrade(&self) -> Result<ClientConnection<Box<dyn Stream>>, Trouble> {
        let stream = self.dialer.dial().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let endpoint = self.dialer.endpoint();
        let mut key = [0; 16];
        self.platform.fill_random(&mut key)?;
        let path = format!("{}{PATH}", endpoint.base_path);
        let mut request =
            upgrade::request(&endpoint.authority, &path, key).map_err(|error| lost(&error.to_string()))?;
        request.headers_mut().insert(USER_AGENT, AGENT);
        let sent = request.clone().map(|()| Empty::<Bytes>::new());
        let answer = async {
            let response = sender.send_request(sent).await?;
            let (head, body) = response.into_parts();
            upgrade::accepted(&request, &head)
                .map_err(|error| Trouble::new(WaitReason::NotTheServer, error.to_string()))?;
            Ok::<_, Trouble>(hyper::upgrade::on(http::Response::from_parts(head, body)))
        };
        // The connection moves only while it is polled, here beside the request; it ends with this function at the latest.
        let mut driver = JoinSet::new();
        let driving: Task = Box::pin(async move {
            // What it says of its end, the request below says as well.
            let _ = connection.with_upgrades().await;
        });
        driver.spawn(driving);
        let upgraded = answer.await?;
        let upgraded = upgraded.await?;
        let parts: Parts<TokioIo<Box<dyn Stream>>> =
            upgraded.downcast().map_err(|_| lost("the upgraded stream is not the one that was dialled"))?;
        let Credentials { app_id, device_id, api_key, device_secret } = self.credentials.clone();
        let auth = DeviceAuth { app_id, device_id, api_key, device_secret, user_token: None };
        let auth = to_raw_value(&auth).map_err(|error| lost(&error.to_string()))?;
        let platform = Arc::clone(&self.platform);
        let keys = move || {
            let mut key = [0; 4];
            // Without chance the frames are still masked, as the protocol wants it.
            let _ = platform.fill_random(&mut key);
            key
        };
        Ok(ClientConnection::new(
            parts.io.into_inner(),
            parts.read_buf,
            Arc::clone(&self.config),
            CLIENT_NAMESPACE,
            Some(&auth),
            keys,
        ))
    }
}

fn lost(detail: &str) -> Trouble {
    Trouble::new(WaitReason::Lost, detail)
}
