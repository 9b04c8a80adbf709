//! Networks.

use postern_proto::v1::Network;

use super::{id, table};

/// Docker's columns.
pub(crate) fn table(networks: &[Network], whole: bool) -> String {
    let rows = networks.iter().map(|network| {
        let driver = network.spec.as_ref().map_or("", |spec| &spec.driver);
        [id(&network.uid, whole), network.name.clone(), driver.to_owned(), network.scope.clone()]
    });
    table::table(["NETWORK ID", "NAME", "DRIVER", "SCOPE"], rows.collect())
}

#[cfg(test)]
mod tests {
    use postern_proto::v1::NetworkSpec;

    use super::*;

    #[test]
    fn dockers_columns() {
        let network = |uid: &str, name: &str, driver: &str| Network {
            uid: uid.into(),
            name: name.into(),
            scope: "local".into(),
            spec: Some(NetworkSpec { driver: driver.into(), ..NetworkSpec::default() }),
            ..Network::default()
        };
        let networks = [
            network("0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b", "bridge", "bridge"),
            network("0190a1b2-c3d4-7e5f-8a6b-000000000001", "a-longer-name", "null"),
        ];
        assert_eq!(
            table(&networks, false),
            "NETWORK ID     NAME            DRIVER   SCOPE\n\
             7c8d9e0f1a2b   bridge          bridge   local\n\
             000000000001   a-longer-name   null     local"
        );
        assert!(table(&networks, true).contains("0190a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b   bridge"));
    }
}
