//! Views for a driver's tests, as the host would make them.
//!
//! [`network`] is an ordinary dual-stack network, [`endpoint`] an endpoint of it. Their
//! fields are public, and the `with_…` methods change what tests change most:
//!
//! ```
//! use postern_sdk::testing::{binding, endpoint, network};
//!
//! let closed = network().with_option("masquerade", "false");
//! let server = endpoint().with_binding(binding("0.0.0.0", "10.1.0.2"));
//! assert_eq!(closed.option("masquerade"), Some("false"));
//! assert_eq!(server.bindings.len(), 1);
//! ```

use crate::{
    Context, EndpointView, Entry, NetworkView, PeerView, PortBinding, Protocol, SubnetView,
    TunnelView,
};

/// What comes with a request.
pub fn context() -> Context {
    Context { request_id: "test".into(), now: 1_764_000_000_000, seed: 7 }
}

/// The network `blue`: `10.1.0.0/24` and `fd00:1::/64`, each with a gateway at its first
/// address, not internal, neighbours free to talk.
pub fn network() -> NetworkView {
    NetworkView {
        id: "01932c07-a9d0-7000-8abc-0123456789ab".into(),
        name: "blue".into(),
        subnets: vec![
            subnet("10.1.0.0/24", Some("10.1.0.1")),
            subnet("fd00:1::/64", Some("fd00:1::1")),
        ],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".into(),
        tunnel: None,
        labels: Vec::new(),
        options: Vec::new(),
        state: Vec::new(),
    }
}

/// The endpoint `web.blue` of [`network`]: `10.1.0.2` and `fd00:1::2`, `eth0` in its
/// sandbox, no published port.
pub fn endpoint() -> EndpointView {
    EndpointView {
        id: "01932c07-a9d0-7000-8abc-0123456789ac".into(),
        name: "web.blue".into(),
        addresses: vec!["10.1.0.2/24".into(), "fd00:1::2/64".into()],
        mac: "02:00:5e:00:53:02".into(),
        interface_name: "eth0".into(),
        bindings: Vec::new(),
        labels: Vec::new(),
        options: Vec::new(),
        state: Vec::new(),
    }
}

/// The endpoint `db.blue` of [`network`] on another host: `10.1.0.3` and `fd00:1::3` at
/// `192.0.2.2`.
pub fn peer() -> PeerView {
    PeerView {
        id: "01932c07-a9d0-7000-8abc-0123456789ad".into(),
        name: "db.blue".into(),
        addresses: vec!["10.1.0.3/24".into(), "fd00:1::3/64".into()],
        mac: "02:00:5e:00:53:03".into(),
        host: "192.0.2.2".into(),
    }
}

/// A subnet and its gateway.
pub fn subnet(subnet: &str, gateway: Option<&str>) -> SubnetView {
    SubnetView { subnet: subnet.to_owned(), gateway: gateway.map(str::to_owned) }
}

/// TCP port 8080 of an address of the host, which leads to port 80 of `target`.
pub fn binding(host_ip: &str, target: &str) -> PortBinding {
    PortBinding {
        protocol: Protocol::Tcp,
        host_ip: host_ip.to_owned(),
        host_first: 8080,
        host_last: 8080,
        target: target.to_owned(),
        target_first: 80,
    }
}

impl NetworkView {
    /// Shared with other hosts, of which this one is at `192.0.2.1`.
    #[must_use]
    pub fn with_tunnel(mut self) -> Self {
        self.tunnel = Some(TunnelView { vni: 4096, local: "192.0.2.1".into() });
        self
    }

    /// With these subnets in place of its own.
    #[must_use]
    pub fn with_subnets(mut self, subnets: impl IntoIterator<Item = SubnetView>) -> Self {
        self.subnets = subnets.into_iter().collect();
        self
    }

    /// Internal: no way out to the world and none in.
    #[must_use]
    pub fn with_internal(mut self, internal: bool) -> Self {
        self.internal = internal;
        self
    }

    /// With neighbours that may talk to each other, or not.
    #[must_use]
    pub fn with_icc(mut self, icc: bool) -> Self {
        self.icc = icc;
        self
    }

    /// With one more option.
    #[must_use]
    pub fn with_option(mut self, key: &str, value: &str) -> Self {
        put(&mut self.options, key, value);
        self
    }

    /// With one more label.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        put(&mut self.labels, key, value);
        self
    }

    /// With what the driver said last time.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Vec<u8>>) -> Self {
        self.state = state.into();
        self
    }
}

impl EndpointView {
    /// With these addresses, each with its prefix length, in place of its own.
    #[must_use]
    pub fn with_addresses<'a>(mut self, addresses: impl IntoIterator<Item = &'a str>) -> Self {
        self.addresses = addresses.into_iter().map(str::to_owned).collect();
        self
    }

    /// With one more port to publish.
    #[must_use]
    pub fn with_binding(mut self, binding: PortBinding) -> Self {
        self.bindings.push(binding);
        self
    }

    /// With one more option.
    #[must_use]
    pub fn with_option(mut self, key: &str, value: &str) -> Self {
        put(&mut self.options, key, value);
        self
    }

    /// With one more label.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        put(&mut self.labels, key, value);
        self
    }

    /// With what the driver said last time.
    #[must_use]
    pub fn with_state(mut self, state: impl Into<Vec<u8>>) -> Self {
        self.state = state.into();
        self
    }
}

/// Sets a key, and keeps the order of keys that the host promises.
fn put(entries: &mut Vec<Entry>, key: &str, value: &str) {
    entries.retain(|entry| entry.key != key);
    entries.push(Entry { key: key.to_owned(), value: value.to_owned() });
    entries.sort_by(|a, b| a.key.cmp(&b.key));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_by_key_and_once() {
        let network = network().with_option("b", "1").with_option("a", "2").with_option("b", "3");
        let pairs: Vec<_> =
            network.options.iter().map(|e| (e.key.as_str(), e.value.as_str())).collect();
        assert_eq!(pairs, [("a", "2"), ("b", "3")]);
    }
}
