use proptest::prelude::*;

use super::*;
use crate::fixture::{
    endpoint, endpoint_id, link, network, network_id, put, sandbox, sandbox_id, topology,
};

fn directory(puts: &[Put]) -> Directory {
    let mut directory = Directory::default();
    puts.iter().for_each(|put| directory.put(put));
    directory
}

/// Records of a few ids, so that they meet often.
fn any_put() -> impl Strategy<Value = Put> {
    let ids = || 0..4_u128;
    let name = |kind: &'static str| (0..3_u8).prop_map(move |n| format!("{kind}{n}"));
    prop_oneof![
        (ids(), name("n"), any::<bool>()).prop_map(|(n, name, internal)| {
            let mut network = network(n, &name);
            network.spec.internal = internal;
            Put::Network(network)
        }),
        ids().prop_map(|n| Put::NetworkGone(network_id(n))),
        (ids(), name("s"), name("s"), any::<bool>()).prop_map(|(n, name, source, more)| {
            let mut sandbox = sandbox(n, &name);
            sandbox.spec.links = vec![link(&source, "alias")];
            if more {
                sandbox.spec.identity.hostname = Some("h".parse().unwrap());
                sandbox.spec.identity.domain_name = Some("d".parse().unwrap());
            }
            Put::Sandbox(sandbox)
        }),
        ids().prop_map(|n| Put::SandboxGone(sandbox_id(n))),
        (ids(), name("E"), ids(), ids(), 0..3_u8, any::<bool>()).prop_map(
            |(n, name, on, of, addresses, joined)| {
                let all = ["10.1.0.2/16", "fd00:1::2/64"];
                let some = all.get(..usize::from(addresses)).unwrap_or_default();
                let mut endpoint = endpoint(n, &name, on, of, some);
                endpoint.spec.aliases = vec!["e0".parse().unwrap(), "x".parse().unwrap()];
                if !joined {
                    endpoint.attachment = None;
                }
                put(endpoint)
            }
        ),
        ids().prop_map(|n| Put::EndpointGone(endpoint_id(n))),
    ]
}

/// The last record of each object, unless it is gone.
fn standing(puts: &[Put]) -> Vec<Put> {
    let mut last = std::collections::BTreeMap::new();
    for put in puts {
        let (key, gone) = match put {
            Put::Network(network) => (network.id.uuid(), false),
            Put::NetworkGone(id) => (id.uuid(), true),
            Put::Sandbox(sandbox) => (sandbox.id.uuid(), false),
            Put::SandboxGone(id) => (id.uuid(), true),
            Put::Endpoint(endpoint) => (endpoint.id.uuid(), false),
            Put::EndpointGone(id) => (id.uuid(), true),
            _ => continue,
        };
        last.remove(&key);
        if !gone {
            last.insert(key, put.clone());
        }
    }
    last.into_values().collect()
}

proptest! {
    #[test]
    fn what_was_does_not_matter(puts in proptest::collection::vec(any_put(), 0..40)) {
        let lived = directory(&puts);
        let standing = standing(&puts);
        prop_assert_eq!(&lived, &directory(&standing));
        let backwards: Vec<Put> = standing.iter().rev().cloned().collect();
        prop_assert_eq!(&lived, &directory(&backwards));
    }

    #[test]
    fn nothing_is_left_of_what_is_gone(puts in proptest::collection::vec(any_put(), 0..40)) {
        let mut directory = directory(&puts);
        for n in 0..4 {
            directory.put(&Put::NetworkGone(network_id(n)));
            directory.put(&Put::SandboxGone(sandbox_id(n)));
            directory.put(&Put::EndpointGone(endpoint_id(n)));
        }
        prop_assert_eq!(directory, Directory::default());
    }

    #[test]
    fn any_name_can_be_asked_for(name in "[a-z0-9._-]{0,60}", asker in 0..7_u128) {
        let directory = directory(&topology());
        directory.name(sandbox_id(asker), &name);
    }
}
