//! A kernel in memory, for tests of what is built on [`Kernel`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnetwork::IpNetwork;
use postern_model::id::SandboxId;
use postern_model::name::IfName;
use postern_model::plan::{NamespaceRef, Plan, Step};
use postern_model::resource::{Element, NamedAddress, Place, Resource, ResourceSet};
use postern_model::sandbox::NamespaceIdentity;

use crate::conntrack::Tracked;
use crate::error::{ApplyError, NamespaceError, ObserveError};
use crate::features::Features;
use crate::flow_log::{Batch, FlowLog, Teller};
use crate::kernel::{Applied, Kernel, LinkFacts, LiveFlows};
use crate::nft::Submitted;
use crate::ports::Ports;
use crate::watch::Watch;

/// Carries out plans on a set of resources, records them, and fails when it is told to.
///
/// Every kernel feature is there. Ports are booked and bound by no socket. What the real
/// kernel cannot observe is not observed here either.
#[derive(Debug)]
pub struct Fake {
    state: Mutex<State>,
    ports: Ports,
    features: Features,
}

#[derive(Debug, Default)]
struct State {
    resources: Vec<Resource>,
    plans: Vec<Plan>,
    failures: VecDeque<Failure>,
    namespaces: BTreeMap<PathBuf, NamespaceIdentity>,
    links: BTreeMap<IfName, LinkFacts>,
    prefixes: Vec<IpNetwork>,
    listener: Option<Teller>,
}

#[derive(Debug)]
struct Failure {
    after: usize,
    error: ApplyError,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            ports: Ports::booked(),
            features: Features {
                owned_tables: true,
                bridge_netfilter: true,
                ipv6: true,
                sctp: true,
                address_protocol: true,
                release: "fake".into(),
            },
        }
    }
}

impl Fake {
    /// An empty kernel that has every feature.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty kernel that has these features.
    pub fn with_features(features: Features) -> Self {
        Self { features, ..Self::default() }
    }

    /// Every plan that was to be carried out so far, failed ones too.
    pub fn plans(&self) -> Vec<Plan> {
        self.lock().plans.clone()
    }

    /// What there is, parameters and adopted bridges as well.
    pub fn resources(&self) -> ResourceSet {
        self.lock().resources.iter().cloned().collect()
    }

    /// Lets the next plan fail once its elements are in force and `after` of its steps
    /// are taken. Calls queue: each is for one plan.
    pub fn fail(&self, after: usize, error: ApplyError) {
        self.lock().failures.push_back(Failure { after, error });
    }

    /// Puts something there behind the daemon's back.
    pub fn put(&self, resource: &Resource) {
        self.lock().put(resource);
    }

    /// Takes something away behind the daemon's back.
    pub fn remove(&self, resource: &Resource) {
        self.lock().remove(resource);
    }

    /// Lets a namespace of somebody else's stand at a path.
    pub fn set_namespace(&self, path: PathBuf, identity: NamespaceIdentity) {
        self.lock().namespaces.insert(path, identity);
    }

    /// Lets a link of somebody else's exist on the host.
    pub fn set_link(&self, name: IfName, facts: LinkFacts) {
        self.lock().links.insert(name, facts);
    }

    /// Sets the prefixes the host uses for itself.
    pub fn set_host_prefixes(&self, prefixes: Vec<IpNetwork>) {
        self.lock().prefixes = prefixes;
    }

    /// Tells whoever listens of new flows; false if nobody does.
    pub fn tell(&self, batch: Batch) -> bool {
        self.lock().listener.as_ref().is_some_and(|listener| listener.send(batch).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        self.plans.push(plan.clone());
        for element in &plan.remove {
            self.remove(&Resource::Element(element.clone()));
        }
        for element in &plan.add {
            self.put(&Resource::Element(element.clone()));
        }
        let failure = self.failures.pop_front();
        let steps = failure.as_ref().map_or(plan.steps.len(), |failure| failure.after);
        for step in plan.steps.iter().take(steps) {
            self.take(step)?;
        }
        failure.map_or(Ok(()), |failure| Err(failure.error))
    }

    fn take(&mut self, step: &Step) -> Result<(), ApplyError> {
        match step {
            Step::Create(resource) => {
                let new = matches!(
                    resource,
                    Resource::Namespace { .. }
                        | Resource::Bridge(_)
                        | Resource::Veth(_)
                        | Resource::Macvlan(_)
                        | Resource::Vxlan(_)
                );
                if new && self.resources.iter().any(|there| there.key() == resource.key()) {
                    return Err(ApplyError::Exists { object: resource.to_string() });
                }
                self.put(resource);
            }
            Step::Update { to, .. } => self.put(to),
            Step::Delete(resource) => self.delete(resource),
        }
        Ok(())
    }

    fn put(&mut self, resource: &Resource) {
        self.remove(resource);
        self.resources.push(resource.clone());
    }

    fn remove(&mut self, resource: &Resource) {
        let key = resource.key();
        self.resources.retain(|there| there.key() != key);
    }

    /// With a link or a namespace goes what is on it or in it.
    fn delete(&mut self, resource: &Resource) {
        self.remove(resource);
        match resource {
            Resource::Bridge(bridge) if !bridge.adopted => {
                self.resources.retain(|there| !is_on(there, Place::Host, &bridge.name));
            }
            Resource::Vxlan(vxlan) => {
                self.resources.retain(|there| !is_on(there, Place::Host, &vxlan.name));
            }
            Resource::Veth(veth) => {
                let place = Place::Sandbox(veth.sandbox);
                self.resources.retain(|there| !is_on(there, place, &veth.interface));
            }
            Resource::Macvlan(macvlan) => {
                let place = Place::Sandbox(macvlan.sandbox);
                self.resources.retain(|there| !is_on(there, place, &macvlan.interface));
            }
            Resource::Namespace { sandbox, .. } => {
                self.resources.retain(|there| !is_in(there, *sandbox));
            }
            _ => {}
        }
    }
}

fn is_on(resource: &Resource, at: Place, name: &IfName) -> bool {
    match resource {
        Resource::Sysctl { place, link, .. }
        | Resource::Address { place, link, .. }
        | Resource::Route { place, link, .. } => (*place, link) == (at, name),
        Resource::Forwarding { link, .. } | Resource::Neighbour { link, .. } => {
            (Place::Host, link) == (at, name)
        }
        _ => false,
    }
}

fn is_in(resource: &Resource, sandbox: SandboxId) -> bool {
    match resource {
        Resource::Sysctl { place, .. }
        | Resource::Address { place, .. }
        | Resource::Route { place, .. } => *place == Place::Sandbox(sandbox),
        Resource::Veth(veth) => veth.sandbox == sandbox,
        Resource::Macvlan(macvlan) => macvlan.sandbox == sandbox,
        _ => false,
    }
}

impl Kernel for Fake {
    async fn apply(&self, plan: &Plan) -> Result<Applied, ApplyError> {
        self.lock().apply(plan)?;
        Ok(Applied::default())
    }

    fn submit(&self, remove: &[Element], add: &[Element]) -> Submitted {
        let mut state = self.lock();
        for element in remove {
            state.remove(&Resource::Element(element.clone()));
        }
        for element in add {
            state.put(&Resource::Element(element.clone()));
        }
        Submitted::nothing()
    }

    async fn holds(&self, elements: Vec<Element>) -> Result<Vec<bool>, ObserveError> {
        let state = self.lock();
        let there = |element| state.resources.contains(&Resource::Element(element));
        Ok(elements.into_iter().map(there).collect())
    }

    async fn packets(&self, elements: Vec<Element>) -> Result<Vec<Option<u64>>, ObserveError> {
        let held = self.holds(elements).await?;
        // No packet passes here.
        Ok(held.into_iter().map(|there| there.then_some(0)).collect())
    }

    async fn named(&self) -> Result<Vec<NamedAddress>, ObserveError> {
        let named = |resource: &Resource| match resource {
            Resource::Element(Element::Named(named)) => Some(named.clone()),
            _ => None,
        };
        Ok(self.lock().resources.iter().filter_map(named).collect())
    }

    async fn flows(&self, _of: BTreeSet<IpAddr>) -> Result<LiveFlows, ObserveError> {
        Ok(LiveFlows::default())
    }

    async fn end(&self, _flows: Vec<Tracked>) -> Result<(), ApplyError> {
        Ok(())
    }

    fn flow_log(&self) -> Result<FlowLog, ObserveError> {
        let mut state = self.lock();
        if state.listener.as_ref().is_some_and(|listener| !listener.is_closed()) {
            let source = std::io::ErrorKind::PermissionDenied.into();
            return Err(ObserveError::FlowLog { source });
        }
        let (listener, log) = FlowLog::told();
        state.listener = Some(listener);
        Ok(log)
    }

    async fn rules_are_intact(&self) -> Result<bool, ObserveError> {
        Ok(true)
    }

    fn watch(&self) -> Result<Watch, ObserveError> {
        Ok(Watch::silent())
    }

    async fn observe(
        &self,
        _namespaces: &BTreeMap<SandboxId, NamespaceRef>,
    ) -> Result<ResourceSet, ObserveError> {
        let state = self.lock();
        let seen = state.resources.iter().filter(|resource| match resource {
            Resource::Sysctl { .. } | Resource::Element(Element::Named(_)) => false,
            Resource::Bridge(bridge) => !bridge.adopted,
            _ => true,
        });
        Ok(seen.cloned().collect())
    }

    fn identify(&self, path: &Path) -> Result<NamespaceIdentity, NamespaceError> {
        let found = self.lock().namespaces.get(path).copied();
        found.ok_or_else(|| NamespaceError::NotFound { path: path.to_owned() })
    }

    fn interfaces(&self, path: &Path) -> Result<BTreeSet<IfName>, NamespaceError> {
        self.identify(path).map(|_| BTreeSet::new())
    }

    async fn host_prefixes(&self) -> Result<Vec<IpNetwork>, ObserveError> {
        Ok(self.lock().prefixes.clone())
    }

    async fn mtu_at(&self, _: IpAddr) -> Result<Option<u32>, ObserveError> {
        Ok(Some(1500))
    }

    async fn link(&self, name: &IfName) -> Result<Option<LinkFacts>, ObserveError> {
        Ok(self.lock().links.get(name).cloned())
    }

    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn features(&self) -> &Features {
        &self.features
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Nothing in a fake ever waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("a fake waits"),
        }
    }

    fn sandbox() -> SandboxId {
        "01932c07-a9d0-7000-8abc-0123456789ab".parse().unwrap()
    }

    fn namespace() -> Resource {
        Resource::Namespace { sandbox: sandbox(), path: "/run/postern/netns/a".into() }
    }

    fn address() -> Resource {
        Resource::Address {
            place: Place::Sandbox(sandbox()),
            link: "eth0".parse().unwrap(),
            address: "10.0.0.2/24".parse().unwrap(),
        }
    }

    fn creates() -> Plan {
        let steps = vec![Step::Create(namespace()), Step::Create(address())];
        Plan { steps, ..Plan::default() }
    }

    #[test]
    fn it_holds_what_plans_make_and_takes_what_they_take() {
        let fake = Fake::new();
        now(fake.apply(&creates())).unwrap();
        let expected: ResourceSet = [namespace(), address()].into_iter().collect();
        assert_eq!(now(fake.observe(&BTreeMap::new())).unwrap(), expected);
        assert!(matches!(now(fake.apply(&creates())), Err(ApplyError::Exists { .. })));
        let delete = Plan { steps: vec![Step::Delete(namespace())], ..Plan::default() };
        now(fake.apply(&delete)).unwrap();
        assert!(fake.resources().is_empty());
        assert_eq!(fake.plans(), [creates(), creates(), delete]);
    }

    #[test]
    fn it_tells_one_listener_at_a_time() {
        let fake = Fake::new();
        let lost = |lost| Batch { lost, ..Batch::default() };
        assert!(!fake.tell(lost(1)), "nobody listens");
        let mut log = fake.flow_log().unwrap();
        assert!(fake.flow_log().is_err() && fake.tell(lost(2)));
        assert_eq!(now(log.next()).unwrap(), lost(2));
        drop(log);
        assert!(!fake.tell(lost(3)) && fake.flow_log().is_ok());
    }

    #[test]
    fn it_fails_half_way_when_it_is_told_to() {
        let fake = Fake::new();
        fake.fail(1, ApplyError::Missing { object: "eth0".into() });
        assert!(matches!(now(fake.apply(&creates())), Err(ApplyError::Missing { .. })));
        assert_eq!(fake.resources(), [namespace()].into_iter().collect());
        now(fake.apply(&Plan::default())).unwrap();
    }
}
