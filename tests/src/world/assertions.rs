//! What must hold in a world, whatever the test did.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use postern_proto::v1::Endpoint;

use super::World;
use crate::command::sh;
use crate::kernel::{self, Snapshot};

const REAP_LIMIT: Duration = Duration::from_secs(5);

impl World {
    /// Everything that a refused call must leave as it was.
    ///
    /// # Panics
    /// The daemon does not answer.
    pub async fn snapshot(&self) -> Snapshot {
        let all = async || -> Result<_, tonic::Status> {
            let networks = self.api.list_networks("").await?;
            Ok((networks, self.api.list_sandboxes().await?, self.api.list_endpoints().await?))
        };
        let (networks, sandboxes, endpoints) =
            all().await.unwrap_or_else(|status| panic!("list: {status}"));
        Snapshot {
            networks,
            sandboxes,
            endpoints,
            links: kernel::own_links(),
            tables: Snapshot::words(&kernel::own_tables()),
            addresses: Snapshot::read_addresses(),
            pinned: kernel::pinned(&self.run_dir()),
        }
    }

    /// Asserts that the daemon finds no drift, and that the links, the namespaces and
    /// the endpoints' addresses in the kernel are those of the API's lists.
    ///
    /// # Panics
    /// They are not.
    pub async fn assert_agrees(&self) {
        let drift = self.api.drift().await.unwrap_or_else(|status| panic!("drift: {status}"));
        assert!(drift.is_empty(), "drift: {drift:#?}");
        let now = self.snapshot().await;
        let links: BTreeSet<String> = now.links.iter().map(|link| link.owner.clone()).collect();
        let networks = now.networks.iter().filter(|n| !n.bridge.is_empty() && !is_adopted(n));
        let endpoints = bridged(&now).filter(|endpoint| has_link(endpoint));
        let mut expected: BTreeSet<String> =
            networks.map(|network| format!("network/{}", network.uid)).collect();
        expected.extend(endpoints.map(|endpoint| format!("endpoint/{}", endpoint.uid)));
        assert_eq!(links, expected, "links on the host");
        let made = now.sandboxes.iter().filter(|s| Path::new(&s.netns_path).starts_with(&self.dir));
        let made: BTreeSet<String> = made.filter_map(|s| last(&s.netns_path)).collect();
        let ours: BTreeSet<String> =
            now.pinned.iter().filter(|name| made.contains(*name)).cloned().collect();
        assert_eq!(now.pinned, ours, "namespaces in the run directory");
        self.assert_guarded(&now);
    }

    fn assert_guarded(&self, now: &Snapshot) {
        let joined = bridged(now);
        let bare = |text: &str| text.split('/').next().unwrap_or_default().to_owned();
        let expected: BTreeSet<String> = joined
            .filter(|endpoint| !endpoint.ipv4_address.is_empty())
            .map(|endpoint| bare(&endpoint.ipv4_address))
            .collect();
        let found = kernel::own_elements("inet", "set", "endpoint4");
        let found: BTreeSet<String> =
            found.iter().filter_map(|e| e.split_whitespace().next()).map(str::to_owned).collect();
        assert_eq!(found, expected, "addresses in set endpoint4");
    }

    /// Asserts that nothing of the daemon's is left but what the predefined networks
    /// have: no endpoint, no sandbox, no link of either, no published port.
    ///
    /// # Panics
    /// Something is left.
    pub async fn assert_only_predefined(&self) {
        self.assert_agrees().await;
        let now = self.snapshot().await;
        assert!(now.networks.iter().all(|network| network.predefined), "{:?}", now.networks);
        assert!(now.sandboxes.is_empty() && now.endpoints.is_empty(), "{now:?}");
        assert!(now.pinned.is_empty(), "{:?}", now.pinned);
        for map in ["publish4", "publish4-any", "publish6", "publish6-any"] {
            assert_eq!(kernel::own_elements("inet", "map", map), BTreeSet::new(), "{map}");
        }
        self.assert_reaped().await;
    }

    /// Asserts that what the API's lists do not show is no more than they account for:
    /// files, published ports, and links that are out of service.
    ///
    /// # Panics
    /// Something is left, though the daemon had time to put it away.
    pub async fn assert_no_strays(&self) {
        let now = self.snapshot().await;
        let sandboxes: BTreeSet<String> = now
            .sandboxes
            .iter()
            .filter(|s| !s.files_path.is_empty())
            .map(|s| s.uid.clone())
            .collect();
        let mut found = BTreeSet::new();
        for folder in ["files", "files-written"] {
            let entries = std::fs::read_dir(self.run_dir().join(folder));
            let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
            found.extend(names.map(|name| name.to_string_lossy().into_owned()));
        }
        assert_eq!(found, sandboxes, "files of sandboxes");
        let published: BTreeSet<String> = now
            .endpoints
            .iter()
            .flat_map(|endpoint| &endpoint.bindings)
            .map(|binding| binding.host_port.to_string())
            .collect();
        let mut open = BTreeSet::new();
        for map in ["publish4", "publish4-any", "publish6", "publish6-any"] {
            for element in kernel::own_elements("inet", "map", map) {
                let key = element.split(" : ").next().unwrap_or_default();
                open.extend(key.split('.').next_back().map(|port| port.trim().to_owned()));
            }
        }
        assert_eq!(open, published, "published ports");
        self.assert_reaped().await;
    }

    async fn assert_reaped(&self) {
        let begun = Instant::now();
        while sh("ip -o link show group 20561").lines().count() > 0 {
            assert!(begun.elapsed() < REAP_LIMIT, "links out of service are not deleted");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asserts that the host tracks no flow that still lives from or to an address which
    /// begins like this. What has ended may be remembered for a while (`TIME_WAIT`, `CLOSE`).
    ///
    /// # Panics
    /// It does.
    pub fn assert_no_flow_of(&self, prefix: &str) {
        let text =
            self.host.enter(|| std::fs::read_to_string("/proc/thread-self/net/nf_conntrack"));
        let text = text.unwrap_or_else(|error| panic!("nf_conntrack: {error}"));
        let ours = |line: &&str| {
            let mut words = line.split_whitespace();
            let mut of = |key: &str| words.any(|word| word.starts_with(&format!("{key}={prefix}")));
            of("src") || of("dst")
        };
        // Bridges tell which groups they hear (IGMP), and nobody's flow is that.
        let no_flow = ["TIME_WAIT", "CLOSE", "dst=224."];
        let over = |line: &&str| no_flow.iter().any(|word| line.contains(word));
        let left: Vec<&str> = text.lines().filter(ours).filter(|line| !over(line)).collect();
        assert!(left.is_empty(), "flows are left: {left:#?}");
    }

    /// Asserts that somebody else's bridge, route and table are as they were.
    ///
    /// # Panics
    /// They are not.
    pub fn assert_foreign_untouched(&self) {
        self.foreign.assert_untouched();
    }
}

/// The joined endpoints that have an end on the host: those of networks with a bridge.
fn bridged(now: &Snapshot) -> impl Iterator<Item = &Endpoint> {
    let is_bridge = |endpoint: &&Endpoint| {
        let network = now.networks.iter().find(|network| network.name == endpoint.network);
        network.is_some_and(|network| !network.bridge.is_empty())
    };
    now.endpoints.iter().filter(|endpoint| !endpoint.sandbox.is_empty()).filter(is_bridge)
}

fn last(path: &str) -> Option<String> {
    Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned())
}

/// Whether the network's bridge was there before it: the tests name such bridges `adopted…`.
fn is_adopted(network: &postern_proto::v1::Network) -> bool {
    network.bridge.starts_with("adopted")
}

fn has_link(endpoint: &Endpoint) -> bool {
    !endpoint.interface_name.is_empty() && !endpoint.mac_address.is_empty()
}
