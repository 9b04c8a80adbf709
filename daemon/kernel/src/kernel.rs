//! The kernel as the rest of the daemon sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use postern_model::id::SandboxId;
use postern_model::mac::MacAddr;
use postern_model::name::IfName;
use postern_model::plan::{NamespaceRef, Plan};
use postern_model::resource::{Element, NamedAddress, Owner, ResourceSet};
use postern_model::sandbox::NamespaceIdentity;

use crate::conntrack::Tracked;
use crate::error::{ApplyError, NamespaceError, ObserveError};
use crate::features::Features;
use crate::flow_log::FlowLog;
use crate::nft::Submitted;
use crate::ports::Ports;
use crate::watch::Watch;

/// What carrying out a plan came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many flows were ended.
    pub flows_ended: u64,
}

/// Flows, and what tells the host's own from others.
#[derive(Debug, Clone, Default)]
pub struct LiveFlows {
    /// The flows.
    pub flows: Vec<Tracked>,
    /// The host's addresses.
    pub host: BTreeSet<IpAddr>,
}

/// What is to be known of a link before it is adopted or made a parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    /// Whether it is a bridge.
    pub is_bridge: bool,
    /// Whose it is; none if it is not ours.
    pub ours: Option<Owner>,
    /// Whether it is Ethernet.
    pub is_ethernet: bool,
    /// Whether it is a port of another link.
    pub is_port: bool,
    /// Its MAC, if it has one that an interface can have.
    pub mac: Option<MacAddr>,
    /// Bytes.
    pub mtu: u32,
    /// Its addresses of every scope.
    pub addresses: Vec<IpNetwork>,
}

/// The kernel: carries out plans, and tells what it holds.
pub trait Kernel: Send + Sync + 'static {
    /// Carries out a plan: the rules, the elements in one transaction, the end of flows, then
    /// the steps. When it returns, everything is in force.
    ///
    /// # Errors
    /// The first failure ends it; what came before stands.
    fn apply(&self, plan: &Plan) -> impl Future<Output = Result<Applied, ApplyError>> + Send;

    /// Begins to change elements, all or none, and returns at once: whoever submits under a
    /// lock has his changes take effect in the lock's order.
    fn submit(&self, remove: &[Element], add: &[Element]) -> Submitted;

    /// Whether each element is there, with its value. The cost does not depend on how many
    /// there are.
    ///
    /// # Errors
    /// The kernel refused to answer.
    fn holds(
        &self,
        elements: Vec<Element>,
    ) -> impl Future<Output = Result<Vec<bool>, ObserveError>> + Send;

    /// How many packets came upon each element; none of one that is not there, or that
    /// counts none. The cost does not depend on how many there are.
    ///
    /// # Errors
    /// The kernel refused to answer.
    fn packets(
        &self,
        elements: Vec<Element>,
    ) -> impl Future<Output = Result<Vec<Option<u64>>, ObserveError>> + Send;

    /// The addresses that endpoints asked for by name, as far as they are not forgotten yet.
    /// [`Self::observe`] does not report them: they go by themselves. Linear in them.
    ///
    /// # Errors
    /// The kernel refused to answer.
    fn named(&self) -> impl Future<Output = Result<Vec<NamedAddress>, ObserveError>> + Send;

    /// The flows that are tracked of addresses, at whichever end. The cost is linear in all
    /// flows there are.
    ///
    /// # Errors
    /// The kernel refused the listing.
    fn flows(
        &self,
        of: BTreeSet<IpAddr>,
    ) -> impl Future<Output = Result<LiveFlows, ObserveError>> + Send;

    /// Ends flows; that one has ended already is no error.
    ///
    /// # Errors
    /// The kernel refused.
    fn end(&self, flows: Vec<Tracked>) -> impl Future<Output = Result<(), ApplyError>> + Send;

    /// Begins to listen to new flows: those whose packets the rules meet from now on. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    /// Somebody else listens, or the kernel refused.
    fn flow_log(&self) -> Result<FlowLog, ObserveError>;

    /// Begins to listen to what somebody else does to objects of ours. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// The kernel refused.
    fn watch(&self) -> Result<Watch, ObserveError>;

    /// Lists what is ours, in the host's namespace, in the given ones that exist, and in
    /// those of ours that no record speaks of. Kernel parameters and adopted bridges are
    /// not to be seen. The cost is linear in what there is.
    ///
    /// # Errors
    /// The kernel refused a listing, or a namespace that is there cannot be entered.
    fn observe(
        &self,
        namespaces: &BTreeMap<SandboxId, NamespaceRef>,
    ) -> impl Future<Output = Result<ResourceSet, ObserveError>> + Send;

    /// Whether the constant rules and their sets are as they were loaded.
    ///
    /// # Errors
    /// The kernel refused a listing.
    fn rules_are_intact(&self) -> impl Future<Output = Result<bool, ObserveError>> + Send;

    /// What tells the network namespace at a path from every other one.
    ///
    /// # Errors
    /// There is none, or it cannot be opened.
    fn identify(&self, path: &Path) -> Result<NamespaceIdentity, NamespaceError>;

    /// The names of the links in the network namespace at a path.
    ///
    /// # Errors
    /// There is none, or it cannot be looked into.
    fn interfaces(&self, path: &Path) -> Result<BTreeSet<IfName>, NamespaceError>;

    /// The prefixes of the host's addresses and routes that are not on links of ours, for
    /// new subnets to stay clear of. Default routes, loopback and link-local prefixes are
    /// left out. The cost is linear in them.
    ///
    /// # Errors
    /// The kernel refused a listing.
    fn host_prefixes(&self) -> impl Future<Output = Result<Vec<IpNetwork>, ObserveError>> + Send;

    /// The MTU of the host's link that has an address; none if none has it.
    ///
    /// # Errors
    /// The kernel refused a listing.
    fn mtu_at(
        &self,
        address: IpAddr,
    ) -> impl Future<Output = Result<Option<u32>, ObserveError>> + Send;

    /// The link of a name in the host's namespace; none if there is none.
    ///
    /// # Errors
    /// The kernel refused to answer.
    fn link(
        &self,
        name: &IfName,
    ) -> impl Future<Output = Result<Option<LinkFacts>, ObserveError>> + Send;

    /// The host's published ports.
    fn ports(&self) -> &Ports;

    /// What this kernel can do.
    fn features(&self) -> &Features;
}
