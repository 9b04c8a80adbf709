//! What the daemon says of itself.

use postern_proto::v1::GetInfoResponse;

use super::table;

/// The daemon, its drivers and what the kernel can do.
pub(crate) fn text(reply: &GetInfoResponse) -> String {
    format!("{}\n\n{}", daemon(reply), drivers(reply))
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
}
