//! The daemon itself.

use postern_model::cluster::{Node, NodeId};
use postern_model::driver::DriverInfo;
use postern_proto::v1;

use super::shared::{plan_steps, timestamp};
use crate::backend::{ClusterFacts, DriftFacts, Repair, SystemFacts};

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(crate) fn info(facts: SystemFacts) -> v1::GetInfoResponse {
    v1::GetInfoResponse {
        version: facts.version,
        start_time: Some(timestamp(facts.started)),
        kernel: facts.kernel,
        state_dir: facts.state_dir.to_string_lossy().into_owned(),
        run_dir: facts.run_dir.to_string_lossy().into_owned(),
        generation: facts.generation,
        networks: count(facts.networks),
        sandboxes: count(facts.sandboxes),
        endpoints: count(facts.endpoints),
        drivers: facts.drivers.into_iter().map(driver).collect(),
        features: facts.features.into_iter().collect(),
        resolver: facts.resolver.into_iter().collect(),
        cluster: facts.cluster.map(cluster),
    }
}

fn cluster(facts: ClusterFacts) -> v1::ClusterInfo {
    let node = |(id, node): (NodeId, Node)| v1::ClusterNode {
        id: id.to_string(),
        name: node.name.to_string(),
        underlay_address: node.underlay.to_string(),
        version: node.version,
        mtu: node.mtu,
    };
    v1::ClusterInfo {
        name: facts.name.to_string(),
        node_id: facts.own.to_string(),
        connected: facts.connected,
        away_reason: facts.why,
        since: Some(timestamp(facts.since)),
        nodes: facts.nodes.into_iter().map(node).collect(),
        unreadable_keys: count(facts.unreadable),
        unfollowed: facts.unfollowed,
    }
}

pub(crate) fn drift(facts: DriftFacts) -> v1::GetDriftResponse {
    let DriftFacts { plan, last_repair } = facts;
    let last_repair = last_repair.map(|Repair { time, plan }| v1::Repair {
        time: Some(timestamp(time)),
        steps: plan_steps(&plan),
    });
    v1::GetDriftResponse { steps: plan_steps(&plan), last_repair }
}

fn driver(driver: DriverInfo) -> v1::DriverInfo {
    v1::DriverInfo {
        name: driver.manifest.name.to_string(),
        version: driver.manifest.version,
        digest: driver.digest,
        built_in: driver.built_in,
        summary: driver.manifest.summary,
        capabilities: driver.granted.into(),
    }
}
