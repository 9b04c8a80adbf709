//! From proto to intent, from record to proto.
//!
//! Each request is destructured with every field named, so that a field added to the
//! proto and forgotten here does not compile.

mod dns;
mod driver;
mod endpoint;
mod event;
mod explain;
mod fields;
mod flow;
mod network;
mod policy;
mod policy_out;
mod sandbox;
mod shared;
mod system;

pub(crate) use driver::{
    disable_driver, driver, enable_driver, grant_driver, install_driver, installed, remove_driver,
};
pub(crate) use endpoint::{
    connect, create_endpoint, delete_endpoint, disconnect, endpoint, join_endpoint, leave_endpoint,
    list_endpoints, update_endpoint,
};
pub(crate) use event::{event_item, watch_events};
pub(crate) use explain::{explain_flow, explanation};
pub(crate) use flow::{flow_item, watch_flows};
pub(crate) use network::{
    create_network, delete_network, list_networks, list_peers, network, peer, prune_networks,
    update_network,
};
pub(crate) use policy::{apply_policy, delete_policy, list_policies};
pub(crate) use policy_out::{applied, policy, rule_counter};
pub(crate) use sandbox::{
    add_link, create_sandbox, delete_sandbox, list_sandboxes, quarantine, release, remove_link,
    sandbox, update_sandbox,
};
pub(crate) use shared::{next_token, outcome, plan_steps, reference};
pub(crate) use system::{drift, info};

#[cfg(test)]
mod tests;
