//! Networks: create, update, delete, prune.

use ipnetwork::IpNetwork;
use postern_failpoint::passage;
use postern_kernel::Kernel;
use postern_model::decision::{Desired, NetworkDecision};
use postern_model::driver::OptionScope;
use postern_model::event::ObjectKind;
use postern_model::id::NetworkId;
use postern_model::intent::{CreateNetwork, DeleteNetwork, Outcome, PruneNetworks, UpdateNetwork};
use postern_model::network::{Network, NetworkSpec, Subnet};
use postern_model::refusal::{Class, FieldViolation, Refusal};
use postern_planner::subnets::{Occupied, check_host, resolve};
use postern_plugin::LoadedDriver;

use super::ask::NetworkDraft;
use super::drafts::Drafted;
use super::locks::LockKey;
use super::{Core, Ledger, Retry, check, new_id, now, outcome, shared};

impl<K: Kernel> Ledger<K> {
    /// Makes a network that a client asks for.
    pub(crate) async fn make_network(
        &self,
        intent: CreateNetwork,
        run: (Option<&Retry>, bool),
    ) -> Result<Outcome<Network>, Refusal> {
        self.create_network_now(intent, false, run).await
    }

    /// Makes a network; a predefined one only the daemon itself makes.
    pub(crate) async fn create_network_now(
        &self,
        intent: CreateNetwork,
        predefined: bool,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Network>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let name = LockKey::NetworkName(intent.name.to_string());
        let _name = core.locks.write(name).await;
        let (mut network, _drafted) = core.draft_network(intent, predefined, retry).await?;
        // Nobody joins it before it is there.
        let _network = core.locks.write(LockKey::Network(network.id)).await;
        if validate_only {
            let plan = core.network_plan((None, Some(&network)));
            return Ok(Outcome { object: network, plan: Some(plan) });
        }
        let driver = core.driver(network.spec.driver.as_str())?;
        core.claim(&driver, &mut network, retry).await?;
        match core.make(&mut network, retry).await {
            Ok(()) => Ok(Outcome { object: network, plan: None }),
            Err(refusal) => {
                core.disclaim(&network).await;
                Err(refusal)
            }
        }
    }

    /// Changes what can change on a living network.
    pub(crate) async fn update_network_now(
        &self,
        intent: UpdateNetwork,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Network>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let UpdateNetwork { network, spec, revision } = intent;
        let id = check::network(core.state().topology(), &network)?.id;
        let _network = core.locks.write(LockKey::Network(id)).await;
        let old = check::network(core.state().topology(), &id.to_string())?.clone();
        check::revision(ObjectKind::Network, &old.name, revision, old.revision)?;
        let mut new = core.redraft_network(&old, spec, retry).await?;
        if validate_only {
            let plan = core.network_plan((Some(&old), Some(&new)));
            return Ok(Outcome { object: new, plan: Some(plan) });
        }
        core.agree_on(&new).await?;
        passage("network.planned");
        match core.alter(&old, &mut new, retry).await {
            Ok(()) => Ok(Outcome { object: new, plan: None }),
            Err(refusal) => {
                if let Err(refusal) = core.agree_on(&old).await {
                    tracing::error!(%refusal, "other hosts have a change that came to nothing here");
                }
                Err(refusal)
            }
        }
    }

    /// Deletes a network that nothing uses.
    pub(crate) async fn delete_network_now(
        &self,
        intent: &DeleteNetwork,
        run: (Option<&Retry>, bool),
    ) -> Result<Outcome<Network>, Refusal> {
        self.delete(intent, false, run).await
    }

    async fn delete(
        &self,
        intent: &DeleteNetwork,
        predefined: bool,
        (retry, validate_only): (Option<&Retry>, bool),
    ) -> Result<Outcome<Network>, Refusal> {
        let core = &*self.0;
        let _moving = core.standstill.read().await;
        let id = check::network(core.state().topology(), &intent.network)?.id;
        let _network = core.locks.write(LockKey::Network(id)).await;
        let network = core.deletable(&id.to_string(), predefined)?;
        if validate_only {
            let (plan, _) = core.removal(&network);
            return Ok(Outcome { object: network, plan: Some(plan) });
        }
        core.release(&network).await?;
        core.remove(&network, retry).await?;
        Ok(Outcome { object: network, plan: None })
    }

    /// Deletes the unused default bridge, to be made anew as the configuration has it now.
    pub(crate) async fn replace_predefined(&self, intent: &DeleteNetwork) -> Result<(), Refusal> {
        self.delete(intent, true, (None, false)).await.map(drop)
    }

    /// Deletes every network that nothing uses, and names them.
    pub(crate) async fn prune_networks_now(
        &self,
        intent: PruneNetworks,
    ) -> Result<Vec<String>, Refusal> {
        let PruneNetworks { filter, created_before, validate_only } = intent;
        let unused: Vec<String> = {
            let state = self.0.state();
            let topology = state.topology();
            let unused = topology.networks().filter(|network| {
                !network.predefined
                    && topology.endpoint_count(network.id) == 0
                    && created_before.is_none_or(|before| network.created < before)
                    && filter.matches(
                        network.name.as_str(),
                        &network.id.to_string(),
                        &network.spec.labels,
                    )
            });
            unused.map(|network| network.name.to_string()).collect()
        };
        let mut pruned = Vec::new();
        for name in unused {
            let intent = DeleteNetwork { network: name.clone() };
            match self.delete_network_now(&intent, (None, validate_only)).await {
                Ok(_) => pruned.push(name),
                // Somebody deleted it, or began to use it, in between.
                Err(refusal) if matches!(refusal.class, Class::NotFound | Class::Precondition) => {}
                // Others may use it: nobody can say while etcd is away.
                Err(refusal) if refusal.class == Class::Unavailable => {}
                Err(refusal) => return Err(refusal),
            }
        }
        pruned.sort();
        Ok(pruned)
    }
}

/// Options of which endpoints have got the effect.
const ENDPOINTS_LIVE_BY: [&str; 3] =
    ["inhibit-gateway", "default-gateway-ipv4", "default-gateway-ipv6"];

impl<K: Kernel> Core<K> {
    async fn draft_network(
        &self,
        intent: CreateNetwork,
        predefined: bool,
        retry: Option<&Retry>,
    ) -> Result<(Network, Drafted<'_>), Refusal> {
        let CreateNetwork { name, mut spec } = intent;
        if self.state().topology().find_network(name.as_str()).is_some() {
            return Err(Refusal::name_taken(ObjectKind::Network, name.to_string()).at("name"));
        }
        let driver = self.driver(spec.driver.as_str())?;
        let cluster = self.cluster_for(&driver)?;
        if let Some(membership) = cluster {
            self.fit_to_underlay(membership, &mut spec)?;
        }
        let one_at_a_time = self.choosing_subnets.lock().await;
        self.check_driver(&driver, &spec, predefined)?;
        let id = NetworkId::new(new_id());
        let host = self.kernel.host_prefixes().await.map_err(|e| outcome::of_observe(&e))?;
        let mut occupied = self.occupied_here(&host);
        occupied.extend(cluster.into_iter().flat_map(|of| self.occupied_elsewhere(of)));
        let subnets = self.choose_subnets(&driver, &mut spec, &occupied)?;
        // Which one it gets is known when it is claimed.
        let vni = cluster.map(|_| shared::NO_VNI_YET);
        let names = (name.clone(), spec.driver.clone());
        let drafted = self.drafts.begin(id, names, subnets.clone());
        drop(one_at_a_time);
        let draft = NetworkDraft {
            id,
            name: name.as_str(),
            spec: &spec,
            subnets: &subnets,
            state: &[],
            vni,
        };
        let request_id = retry.map(|r| r.id.as_str());
        let (decision, adopted) = self.ask_network(&driver, &draft, request_id).await?;
        if has_link(&decision) {
            check_host(&spec, &host, &adopted.prefixes).map_err(|e| outcome::of_subnet(&e))?;
        }
        if !spec.icc && !self.kernel.features().bridge_netfilter {
            let text = "icc off needs br_netfilter, which this kernel does not have";
            return Err(outcome::precondition("KERNEL_UNSUPPORTED", text).at("spec.icc"));
        }
        let network = Network {
            id,
            name,
            revision: 0,
            created: now(),
            predefined,
            spec,
            subnets,
            decision,
            driver_digest: driver.info().digest.clone(),
            vni,
            blocks: Vec::new(),
        };
        Ok((network, drafted))
    }

    /// What no new subnet may overlap on this host.
    pub(super) fn occupied_here(&self, host: &[IpNetwork]) -> Vec<Occupied> {
        let mut occupied: Vec<Occupied> =
            host.iter().map(|prefix| Occupied { prefix: *prefix, network: None }).collect();
        for draft in self.drafts.chosen() {
            occupied.extend(draft.subnets.iter().map(|subnet| Occupied {
                prefix: subnet.subnet,
                network: Some(draft.name.clone()),
            }));
        }
        let state = self.state();
        for network in state.topology().networks() {
            occupied.extend(network.subnets.iter().map(|subnet| Occupied {
                prefix: subnet.subnet,
                network: Some(network.name.clone()),
            }));
        }
        occupied
    }

    fn check_driver(
        &self,
        driver: &LoadedDriver,
        spec: &NetworkSpec,
        predefined: bool,
    ) -> Result<(), Refusal> {
        let info = driver.info();
        check::options(info, OptionScope::Network, &spec.options)?;
        let name = &info.manifest.name;
        if !info.manifest.addressing && !spec.subnets.is_empty() {
            let text = format!("networks of driver `{name}` have no subnets");
            return Err(Refusal::field("spec.subnets", text));
        }
        if let Some(most) = info.manifest.max_networks {
            let state = self.state();
            let made = state.topology().networks().filter(|n| n.spec.driver == *name).count();
            let drafts = self.drafts.chosen();
            let have = made + drafts.iter().filter(|draft| draft.driver == *name).count();
            if !predefined && have >= most as usize {
                let text = format!("there can be only {most} network of driver `{name}`");
                return Err(outcome::precondition("TOO_MANY_NETWORKS", text).at("spec.driver"));
            }
        }
        Ok(())
    }

    fn choose_subnets(
        &self,
        driver: &LoadedDriver,
        spec: &mut NetworkSpec,
        occupied: &[Occupied],
    ) -> Result<Vec<Subnet>, Refusal> {
        spec.mtu = Some(spec.mtu.unwrap_or(self.options.mtu));
        if !driver.info().manifest.addressing {
            (spec.ipv4, spec.ipv6) = (false, false);
            return Ok(Vec::new());
        }
        resolve(spec, &self.options.pools, occupied).map_err(|e| outcome::of_subnet(&e))
    }

    async fn redraft_network(
        &self,
        old: &Network,
        spec: NetworkSpec,
        retry: Option<&Retry>,
    ) -> Result<Network, Refusal> {
        let spec = unchangeable(old, spec)?;
        self.check_in_use(old, &spec)?;
        let driver = self.driver(spec.driver.as_str())?;
        check::options(driver.info(), OptionScope::Network, &spec.options)?;
        let draft = NetworkDraft { spec: &spec, ..NetworkDraft::of(old) };
        let request_id = retry.map(|r| r.id.as_str());
        let (decision, _) = self.ask_network(&driver, &draft, request_id).await?;
        let driver_digest = driver.info().digest.clone();
        Ok(Network { spec, decision, driver_digest, ..old.clone() })
    }

    /// Endpoints keep what they got when they joined; what they got their default route by
    /// can change only while there are none.
    fn check_in_use(&self, old: &Network, spec: &NetworkSpec) -> Result<(), Refusal> {
        if self.state().topology().endpoint_count(old.id) == 0 {
            return Ok(());
        }
        let differs = |key: &&&str| spec.options.get(**key) != old.spec.options.get(**key);
        let changed = ENDPOINTS_LIVE_BY.iter().filter(differs).map(|key| FieldViolation {
            field: format!("spec.options[\"{key}\"]"),
            description: "cannot change while the network has endpoints".to_owned(),
        });
        let changed: Vec<_> = changed.collect();
        if changed.is_empty() { Ok(()) } else { Err(Refusal::fields(changed)) }
    }

    fn deletable(&self, reference: &str, predefined: bool) -> Result<Network, Refusal> {
        let state = self.state();
        let network = check::network(state.topology(), reference)?;
        let about = |refusal: Refusal| refusal.about(ObjectKind::Network, network.name.to_string());
        if network.predefined && !predefined {
            let text = format!("network `{}` is predefined and cannot be deleted", network.name);
            return Err(about(outcome::precondition("NETWORK_PREDEFINED", text)));
        }
        match state.topology().endpoint_count(network.id) {
            0 => Ok(network.clone()),
            count => {
                let text = format!(
                    "network `{}` is in use by {}",
                    network.name,
                    outcome::endpoints(count)
                );
                Err(about(outcome::precondition("NETWORK_IN_USE", text)))
            }
        }
    }
}

/// Without a link on the host a network gives the host no route, and its subnet may be one
/// that the host is on by another link.
fn has_link(decision: &NetworkDecision) -> bool {
    decision.resources.iter().any(|resource| matches!(resource, Desired::Link(_)))
}

/// Refuses a spec that differs where a living network cannot. Subnets may be left out:
/// they are what they are.
fn unchangeable(old: &Network, mut spec: NetworkSpec) -> Result<NetworkSpec, Refusal> {
    let same_subnets = spec.subnets.is_empty()
        || spec.subnets.iter().all(|asked| {
            old.subnets.iter().any(|subnet| {
                subnet.subnet == asked.subnet
                    && asked.range.is_none_or(|range| range == subnet.range)
                    && asked.gateway.is_none_or(|gateway| subnet.gateway == Some(gateway))
                    && asked.auxiliary == subnet.auxiliary
            })
        });
    let same_mtu = spec.mtu.is_none() || spec.mtu == old.spec.mtu;
    let bridge = |spec: &NetworkSpec| spec.options.get("bridge-name").cloned();
    let violations: Vec<FieldViolation> = [
        (spec.driver == old.spec.driver, "spec.driver"),
        (same_subnets, "spec.subnets"),
        (spec.ipv4 == old.spec.ipv4 || old.subnets.is_empty(), "spec.ipv4"),
        (spec.ipv6 == old.spec.ipv6 || !spec.ipv6 && spec.subnets.is_empty(), "spec.ipv6"),
        (spec.internal == old.spec.internal, "spec.internal"),
        (same_mtu, "spec.mtu"),
        (bridge(&spec) == bridge(&old.spec), "spec.options[\"bridge-name\"]"),
    ]
    .into_iter()
    .filter(|(same, _)| !same)
    .map(|(_, field)| FieldViolation {
        field: field.to_owned(),
        description: "cannot change on a living network".to_owned(),
    })
    .collect();
    if !violations.is_empty() {
        return Err(Refusal::fields(violations));
    }
    spec.subnets.clone_from(&old.spec.subnets);
    (spec.ipv4, spec.ipv6, spec.mtu) = (old.spec.ipv4, old.spec.ipv6, old.spec.mtu);
    Ok(spec)
}
