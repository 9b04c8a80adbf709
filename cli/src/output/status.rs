//! What the daemon says of itself.

use postern_proto::v1::{ClusterInfo, ClusterNode, GetInfoResponse};

use super::table;

/// The daemon, its drivers and what the kernel can do.
pub(crate) fn text(reply: &GetInfoResponse) -> String {
    let cluster = reply.cluster.as_ref().map(|info| format!("\n\n{}", cluster(info)));
    format!("{}\n\n{}{}", daemon(reply), drivers(reply), cluster.unwrap_or_default())
}

/// The hosts of a cluster, and whether they are heard of.
fn cluster(info: &ClusterInfo) -> String {
    let since = info.since.map_or_else(String::new, |time| time.to_string());
    let etcd = match info.connected {
        true => format!("reached since {since}"),
        false => format!("not reached since {since}: {}", info.away_reason),
    };
    let mut rows =
        vec![["Cluster:", &info.name].map(str::to_owned), ["etcd:", &etcd].map(str::to_owned)];
    if info.unreadable_keys > 0 {
        let keys = format!("{} that this version cannot read", info.unreadable_keys);
        rows.push(["Keys:", &keys].map(str::to_owned));
    }
    rows.extend(info.unfollowed.iter().map(|why| ["Not followed:", why].map(str::to_owned)));
    let node = |node: &ClusterNode| {
        let own = if node.id == info.node_id { "this host" } else { "" };
        let (name, underlay) = (node.name.clone(), node.underlay_address.clone());
        [name, node.id.clone(), underlay, node.version.clone(), own.to_owned()]
    };
    let nodes = table::table(
        ["NODE", "ID", "UNDERLAY", "VERSION", ""],
        info.nodes.iter().map(node).collect(),
    );
    format!("{}\n\n{nodes}", table::rows(rows))
}

fn daemon(reply: &GetInfoResponse) -> String {
    let started = reply.start_time.map_or_else(String::new, |time| time.to_string());
    let rows = vec![
        ["Version:", &reply.version].map(str::to_owned),
        ["Started:", &started].map(str::to_owned),
        ["Kernel:", &reply.kernel].map(str::to_owned),
        ["Features:", &features(reply)].map(str::to_owned),
        ["State directory:", &reply.state_dir].map(str::to_owned),
        ["Run directory:", &reply.run_dir].map(str::to_owned),
        ["Generation:", &reply.generation.to_string()].map(str::to_owned),
        ["Networks:", &reply.networks.to_string()].map(str::to_owned),
        ["Sandboxes:", &reply.sandboxes.to_string()].map(str::to_owned),
        ["Endpoints:", &reply.endpoints.to_string()].map(str::to_owned),
    ];
    table::rows(rows)
}

/// What there is, and with `no ` before it what there is not.
fn features(reply: &GetInfoResponse) -> String {
    let mut features: Vec<_> = reply.features.iter().collect();
    features.sort();
    let named = features
        .into_iter()
        .map(|(name, there)| if *there { name.clone() } else { format!("no {name}") });
    named.collect::<Vec<_>>().join(", ")
}

fn drivers(reply: &GetInfoResponse) -> String {
    let rows = reply.drivers.iter().map(|driver| {
        [
            driver.name.clone(),
            driver.version.clone(),
            if driver.built_in { "built in" } else { "installed" }.to_owned(),
            driver.capabilities.join(","),
            driver.summary.clone(),
        ]
    });
    table::table(["DRIVER", "VERSION", "ORIGIN", "CAPABILITIES", "SUMMARY"], rows.collect())
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::DriverInfo;

    use super::*;

    #[test]
    fn the_whole_page() {
        let reply = GetInfoResponse {
            version: "0.1.0".into(),
            start_time: Some(prost_types::Timestamp::default()),
            kernel: "6.18.0".into(),
            state_dir: "/var/lib/postern".into(),
            run_dir: "/run/postern".into(),
            generation: 7,
            networks: 3,
            drivers: vec![DriverInfo {
                name: "bridge".into(),
                version: "0.1.0".into(),
                built_in: true,
                summary: "A Linux bridge".into(),
                capabilities: vec!["links".into(), "nat".into()],
                ..DriverInfo::default()
            }],
            features: [("sctp".into(), false), ("ipv6".into(), true)].into(),
            ..GetInfoResponse::default()
        };
        assert_eq!(
            text(&reply),
            "\
Version:           0.1.0
Started:           1970-01-01T00:00:00Z
Kernel:            6.18.0
Features:          ipv6, no sctp
State directory:   /var/lib/postern
Run directory:     /run/postern
Generation:        7
Networks:          3
Sandboxes:         0
Endpoints:         0

DRIVER   VERSION   ORIGIN     CAPABILITIES   SUMMARY
bridge   0.1.0     built in   links,nat      A Linux bridge"
        );
    }
    #[test]
    fn a_cluster_and_its_hosts() {
        let node = |id: &str, name: &str| ClusterNode {
            id: id.into(),
            name: name.into(),
            underlay_address: "192.0.2.1".into(),
            version: "0.1.0".into(),
            mtu: 1500,
        };
        let info = ClusterInfo {
            name: "blue".into(),
            node_id: "0000000000000002".into(),
            away_reason: "no answer in time".into(),
            since: Some(prost_types::Timestamp::default()),
            nodes: vec![node("0000000000000001", "a"), node("0000000000000002", "b")],
            unreadable_keys: 3,
            ..ClusterInfo::default()
        };
        assert_eq!(
            cluster(&info),
            "\
Cluster:   blue
etcd:      not reached since 1970-01-01T00:00:00Z: no answer in time
Keys:      3 that this version cannot read

NODE   ID                 UNDERLAY    VERSION
a      0000000000000001   192.0.2.1   0.1.0
b      0000000000000002   192.0.2.1   0.1.0     this host"
        );
    }
}
