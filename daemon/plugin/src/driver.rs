//! A driver that is loaded, and calls of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use postern_model::decision::{EndpointDecision, NetworkDecision, PeerDecision};
use postern_model::driver::{Context, DriverInfo, EndpointView, NetworkView, PeerView};
use postern_model::grant::Grants;
use wasmtime::{Engine, Error, Store};

use crate::answer::{self, Invalid};
use crate::call::{CallError, CallState, Fault, Phase, Usage, classify, panic_text};
use crate::contract::v0_1::multi_host::{self, MultiHostDriver, MultiHostDriverPre};
use crate::contract::v0_1::{self as wit, NetworkDriver, NetworkDriverPre};
use crate::engine::{Ticker, ticks};
use crate::gate::Gate;
use crate::health::{Counters, Health, Rest};
use crate::limits::{Limit, LimitHit, Limits};
use crate::view;

/// What all drivers of a host share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    pub(crate) ticker: Ticker,
    pub(crate) gate: Gate,
}

/// What is called: a component that is checked and linked once, and made anew for each call.
pub(crate) struct Callee {
    shared: Arc<Shared>,
    gate: Gate,
    pre: NetworkDriverPre<CallState>,
    /// Of a driver that is of the second world too.
    peers: Option<MultiHostDriverPre<CallState>>,
    health: Health,
}

impl Callee {
    pub(crate) fn new(
        shared: Arc<Shared>,
        pre: NetworkDriverPre<CallState>,
        peers: Option<MultiHostDriverPre<CallState>>,
    ) -> Self {
        let gate = Gate::new(shared.limits.calls_per_driver, shared.limits.queued);
        let health = Health::new(shared.limits.quarantine);
        Self { shared, gate, pre, peers, health }
    }

    /// Whether it says what reaches endpoints on other hosts.
    pub(crate) const fn is_multi_host(&self) -> bool {
        self.peers.is_some()
    }

    /// Calls one function of a fresh instance, under every limit.
    fn call<T>(
        &self,
        driver: &str,
        request: &str,
        function: impl FnOnce(&NetworkDriver, &mut Store<CallState>) -> Result<T, Error>,
    ) -> Observed<T> {
        self.call_of((driver, request), |store| self.pre.instantiate(store), function)
    }

    /// As [`Callee::call`], of an instance of either world.
    fn call_of<I, T>(
        &self,
        (driver, request): (&str, &str),
        instantiate: impl FnOnce(&mut Store<CallState>) -> Result<I, Error>,
        function: impl FnOnce(&I, &mut Store<CallState>) -> Result<T, Error>,
    ) -> Observed<T> {
        let shared = &*self.shared;
        let full = |which, queued| {
            let hit = LimitHit::new(which, shared.limits.queued, Some(queued));
            Observed::failed(CallError::Limit(hit))
        };
        let _own = match self.gate.enter() {
            Ok(pass) => pass,
            Err(queued) => return full(Limit::QueuedPerDriver, queued),
        };
        let _all = match shared.gate.enter() {
            Ok(pass) => pass,
            Err(queued) => return full(Limit::Queued, queued),
        };
        let _ticking = shared.ticker.tick();
        let state = CallState::new(driver, request, &shared.limits);
        let observed = catch_unwind(AssertUnwindSafe(|| {
            let mut store = Store::new(&shared.engine, state);
            let answer = self.run(&mut store, instantiate, function);
            // Fuel is always counted; a store that cannot tell has used none.
            let left = store.get_fuel().unwrap_or(shared.limits.fuel);
            let fuel = shared.limits.fuel.saturating_sub(left);
            Observed { answer, usage: store.into_data().into_usage(fuel) }
        }));
        observed.unwrap_or_else(|panic| {
            Observed::failed(CallError::Host { reason: panic_text(&*panic) })
        })
    }

    fn run<I, T>(
        &self,
        store: &mut Store<CallState>,
        instantiate: impl FnOnce(&mut Store<CallState>) -> Result<I, Error>,
        function: impl FnOnce(&I, &mut Store<CallState>) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        let limits = &self.shared.limits;
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.result_bytes);
        store.set_max_component_handles(limits.handles);
        store
            .set_fuel(limits.fuel)
            .map_err(|error| CallError::Host { reason: format!("{error:#}") })?;
        let sort = |error: &Error, phase, began, store: &Store<CallState>| {
            let error = classify(error, phase, began, store.data(), limits);
            report(&error, store.data());
            error
        };
        let began = begin(store, Phase::Instantiate, limits);
        let driver = instantiate(&mut *store)
            .map_err(|error| sort(&error, Phase::Instantiate, began, store))?;
        let began = begin(store, Phase::Call, limits);
        let answer =
            function(&driver, store).map_err(|error| sort(&error, Phase::Call, began, store))?;
        report_dropped(store.data());
        Ok(answer)
    }

    pub(crate) fn describe(&self) -> Result<wit::Manifest, CallError> {
        let described =
            self.call("", "", |driver, store| driver.postern_driver_driver().call_describe(store));
        described.answer
    }

    pub(crate) fn network(
        &self,
        driver: &str,
        context: &Context,
        view: &NetworkView,
    ) -> Observed<wit::NetworkDecision> {
        let (request, view) = (view::context(context), view::network(view));
        let answer = self.call(driver, &context.request_id, |driver, store| {
            driver.postern_driver_driver().call_network(store, &request, &view)
        });
        answer.and_then(|answer| answer.map_err(|fault| self.fault(&fault)))
    }

    pub(crate) fn endpoint(
        &self,
        driver: &str,
        context: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Observed<wit::EndpointDecision> {
        let request = view::context(context);
        let (network, endpoint) = (view::network(network), view::endpoint(endpoint));
        let answer = self.call(driver, &context.request_id, |driver, store| {
            driver.postern_driver_driver().call_endpoint(store, &request, &network, &endpoint)
        });
        answer.and_then(|answer| answer.map_err(|fault| self.fault(&fault)))
    }

    pub(crate) fn peer(
        &self,
        driver: &str,
        context: &Context,
        (network, peer): (&NetworkView, &PeerView),
    ) -> Observed<multi_host::PeerDecision> {
        let Some(pre) = &self.peers else {
            let reason = "it has no answer for endpoints on other hosts".to_owned();
            return Observed::failed(CallError::Host { reason });
        };
        let request = view::context(context);
        let (network, peer) = (view::network(network), view::peer(peer));
        let answer = self.call_of(
            (driver, &context.request_id),
            |store| pre.instantiate(store),
            |driver: &MultiHostDriver, store| {
                driver.postern_driver_peers().call_peer(store, &request, &network, &peer)
            },
        );
        answer.and_then(|answer| answer.map_err(|fault| self.fault(&fault)))
    }

    fn fault(&self, fault: &wit::Fault) -> CallError {
        CallError::Fault(Fault::of(fault, &self.shared.limits))
    }
}

/// Starts the clock of a phase.
fn begin(store: &mut Store<CallState>, phase: Phase, limits: &Limits) -> Instant {
    store.set_epoch_deadline(ticks(phase.wall(limits)));
    Instant::now()
}

fn report(error: &CallError, state: &CallState) {
    tracing::warn!(driver = state.driver(), request = state.request(), %error, "driver failed");
    report_dropped(state);
}

fn report_dropped(state: &CallState) {
    let lines = state.lines_dropped();
    if lines > 0 {
        let (driver, request) = (state.driver(), state.request());
        tracing::warn!(driver, request, lines, "log lines of the driver dropped");
    }
}

fn bad(invalid: Invalid) -> CallError {
    CallError::BadDecision { path: invalid.path, reason: invalid.reason }
}

/// An answer, and what the call took besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed<T> {
    /// The answer.
    pub answer: Result<T, CallError>,
    /// What it took.
    pub usage: Usage,
}

impl<T> Observed<T> {
    /// Of a call that never began.
    fn failed(error: CallError) -> Self {
        Self { answer: Err(error), usage: Usage::default() }
    }

    fn and_then<U>(self, next: impl FnOnce(T) -> Result<U, CallError>) -> Observed<U> {
        Observed { answer: self.answer.and_then(next), usage: self.usage }
    }
}

/// A driver that is loaded. Calls are independent of each other and may come from any
/// thread; they take some 50 µs of it, and at most the limits' time.
pub struct LoadedDriver {
    info: DriverInfo,
    callee: Arc<Callee>,
}

impl LoadedDriver {
    pub(crate) const fn new(info: DriverInfo, callee: Arc<Callee>) -> Self {
        Self { info, callee }
    }

    /// The same driver under other grants; what its calls came to stays known.
    pub(crate) fn under(&self, grants: &Grants) -> Self {
        let granted = grants.within(&self.info.manifest.capabilities);
        let info = DriverInfo { granted, ..self.info.clone() };
        Self { info, callee: Arc::clone(&self.callee) }
    }

    /// What its calls came to.
    pub fn counters(&self) -> Counters {
        self.callee.health.counters()
    }

    /// Notes that a decision of it was not admitted. That is no fault in a row: what a user
    /// chose may be the cause.
    pub fn reject(&self) {
        self.callee.health.reject();
    }

    /// Its quarantine, if it is in one.
    pub fn rest(&self) -> Option<Rest> {
        self.callee.health.rest(Instant::now())
    }

    /// Asks it, unless it is in quarantine.
    fn ask<T>(&self, call: impl FnOnce() -> Result<T, CallError>) -> Result<T, CallError> {
        let health = &self.callee.health;
        health.admit(Instant::now()).map_err(CallError::Quarantined)?;
        let answer = call();
        health.note(&answer, Instant::now());
        answer
    }

    /// What the driver is, and what it may.
    pub const fn info(&self) -> &DriverInfo {
        &self.info
    }

    /// What should exist for a network. The answer is well-formed, and no more than that:
    /// whether it is admissible is for the caller to see.
    ///
    /// # Errors
    /// The driver refuses, fails, or answers with something that is no decision.
    pub fn network(
        &self,
        context: &Context,
        view: &NetworkView,
    ) -> Result<NetworkDecision, CallError> {
        self.ask(|| self.observe_network(context, view).answer)
    }

    /// As [`LoadedDriver::network`], with what the call took, and though it is in quarantine.
    pub fn observe_network(
        &self,
        context: &Context,
        view: &NetworkView,
    ) -> Observed<NetworkDecision> {
        let name = self.info.manifest.name.as_str();
        let limits = &self.callee.shared.limits;
        self.callee
            .network(name, context, view)
            .and_then(|decision| answer::network(decision, limits).map_err(bad))
    }

    /// What should exist for an endpoint; otherwise as [`LoadedDriver::network`].
    ///
    /// # Errors
    /// The driver refuses, fails, or answers with something that is no decision.
    pub fn endpoint(
        &self,
        context: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, CallError> {
        self.ask(|| self.observe_endpoint(context, network, endpoint).answer)
    }

    /// As [`LoadedDriver::endpoint`], with what the call took, and though it is in quarantine.
    pub fn observe_endpoint(
        &self,
        context: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Observed<EndpointDecision> {
        let name = self.info.manifest.name.as_str();
        let limits = &self.callee.shared.limits;
        self.callee
            .endpoint(name, context, network, endpoint)
            .and_then(|decision| answer::endpoint(decision, limits).map_err(bad))
    }

    /// What should exist on this host for an endpoint on another one; otherwise as
    /// [`LoadedDriver::network`].
    ///
    /// # Errors
    /// The driver refuses, fails, has no answer for such, or answers with something that is
    /// no decision.
    pub fn peer(
        &self,
        context: &Context,
        network: &NetworkView,
        peer: &PeerView,
    ) -> Result<PeerDecision, CallError> {
        let name = self.info.manifest.name.as_str();
        let limits = &self.callee.shared.limits;
        self.ask(|| {
            let observed = self.callee.peer(name, context, (network, peer));
            observed.and_then(|decision| answer::peer(&decision, limits).map_err(bad)).answer
        })
    }

    #[cfg(test)]
    pub(crate) fn callee(&self) -> &Callee {
        &self.callee
    }
}

impl std::fmt::Debug for LoadedDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedDriver").field("info", &self.info).finish_non_exhaustive()
    }
}
