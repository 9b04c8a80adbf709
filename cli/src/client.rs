//! Where the daemon is, and the channel to it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::str::FromStr;
use std::time::Duration;

use postern_proto::v1::PageRequest;
use postern_proto::v1::driver_service_client::DriverServiceClient;
use postern_proto::v1::endpoint_service_client::EndpointServiceClient;
use postern_proto::v1::event_service_client::EventServiceClient;
use postern_proto::v1::flow_service_client::FlowServiceClient;
use postern_proto::v1::network_service_client::NetworkServiceClient;
use postern_proto::v1::policy_service_client::PolicyServiceClient;
use postern_proto::v1::sandbox_service_client::SandboxServiceClient;
use postern_proto::v1::system_service_client::SystemServiceClient;
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::error::Error;

/// A full page of objects with the most labels is larger than tonic's 4 MiB.
const MAX_REPLY: usize = 64 << 20;
/// Only for the connection: a change may take as long as the kernel does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Items asked for at a time.
const PAGE: u32 = 500;

/// Where the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address(String);

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAddress {
    /// Neither of the two forms.
    #[error("expected unix:///PATH or http://HOST:PORT")]
    Form,
    /// The daemon does not speak TLS.
    #[error("https is not served; use http or a unix socket")]
    Https,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix://") {
            let absolute = path.len() > 1 && path.starts_with('/');
            return if absolute { Ok(Self(text.to_owned())) } else { Err(InvalidAddress::Form) };
        }
        let uri: Uri = text.parse().map_err(|_| InvalidAddress::Form)?;
        match uri.scheme_str() {
            Some("https") => Err(InvalidAddress::Https),
            Some("http") if uri.port().is_some() && uri.path() == "/" => Ok(Self(text.to_owned())),
            _ => Err(InvalidAddress::Form),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The daemon, connected to when the first service is asked for: a wrong command line
/// is told before an absent daemon is.
#[derive(Debug)]
pub(crate) struct Client {
    address: Address,
    channel: OnceCell<Channel>,
}

impl Client {
    /// A client of the daemon at `address`; does nothing yet.
    pub(crate) const fn new(address: Address) -> Self {
        Self { address, channel: OnceCell::const_new() }
    }

    /// Connects before any call is made, so that an absent daemon is told from a failing call.
    async fn channel(&self) -> Result<Channel, Error> {
        let channel = self.channel.get_or_try_init(|| connect(&self.address)).await?;
        Ok(channel.clone())
    }

    /// The networks' service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn networks(&self) -> Result<NetworkServiceClient<Channel>, Error> {
        let client = NetworkServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    /// The policies' service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn policies(&self) -> Result<PolicyServiceClient<Channel>, Error> {
        let client = PolicyServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    /// The drivers' service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn drivers(&self) -> Result<DriverServiceClient<Channel>, Error> {
        let client = DriverServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    /// The sandboxes' service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn sandboxes(&self) -> Result<SandboxServiceClient<Channel>, Error> {
        let client = SandboxServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    /// The endpoints' service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn endpoints(&self) -> Result<EndpointServiceClient<Channel>, Error> {
        let client = EndpointServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    /// The events' service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn events(&self) -> Result<EventServiceClient<Channel>, Error> {
        let client = EventServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    /// The flows' service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn flows(&self) -> Result<FlowServiceClient<Channel>, Error> {
        let client = FlowServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }

    /// The daemon's own service.
    ///
    /// # Errors
    /// No daemon answers.
    pub(crate) async fn system(&self) -> Result<SystemServiceClient<Channel>, Error> {
        let client = SystemServiceClient::new(self.channel().await?);
        Ok(client.max_decoding_message_size(MAX_REPLY))
    }
}

async fn connect(address: &Address) -> Result<Channel, Error> {
    let unreachable = |error| unreachable(address, &error);
    let endpoint = Endpoint::from_shared(address.0.clone()).map_err(unreachable)?;
    endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await.map_err(unreachable)
}

/// Reads a list to its end; `fetch` returns one page and the token of the next.
///
/// # Errors
/// A page cannot be read, or the daemon answers with the page before.
pub(crate) async fn pages<T>(
    mut fetch: impl AsyncFnMut(PageRequest) -> Result<(Vec<T>, String), Error>,
) -> Result<Vec<T>, Error> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let (page, next) = fetch(PageRequest { size: PAGE, token: token.clone() }).await?;
        items.extend(page);
        if next.is_empty() {
            return Ok(items);
        }
        if next == token {
            return Err(Error::Reply("a list that does not move on"));
        }
        token = next;
    }
}

fn unreachable(address: &Address, error: &tonic::transport::Error) -> Error {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    let mut hint = "is posternd running, and is this where it listens (--address)?";
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if let Some(io) = cause.downcast_ref::<io::Error>()
        && io.kind() == ErrorKind::PermissionDenied
    {
        hint = "the socket is for root and the daemon's group";
    }
    Error::Unreachable { address: address.clone(), cause: cause.to_string(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["unix:///run/postern.sock", "http://localhost:50051", "http://[::1]:80/"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "unix://",
            "unix:///",
            "unix://run/x",
            "/run/x",
            "localhost:1",
            "http://a",
            "http://a:1/x",
            "ftp://a:1",
            "http://",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(InvalidAddress::Form), "{bad}");
        }
        assert_eq!("https://a:1".parse::<Address>(), Err(InvalidAddress::Https));
    }
}
