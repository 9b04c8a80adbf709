//! The registry of drivers.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use postern_model::driver::{Capability, DriverInfo, Manifest};
use postern_model::grant::Grants;
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::answer;
use crate::built_in;
use crate::cache::{Cache, CacheError, Code};
use crate::call::{CallError, CallState};
use crate::compile::{self, CompileError, Compiler};
use crate::contract::v0_1::multi_host::MultiHostDriverPre;
use crate::contract::v0_1::{NetworkDriver, NetworkDriverPre};
use crate::contract::{Interface, PEERS};
use crate::digest::{digest, stem};
use crate::driver::{Callee, LoadedDriver, Shared};
use crate::engine::{Ticker, engine, pooled};
use crate::gate::Gate;
use crate::inspect::{InspectError, inspect};
use crate::limits::{Limit, LimitHit, Limits};

/// How a [`DriverHost`] is set up.
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// The daemon's state folder; compiled drivers go to `drivers` in it.
    pub state: PathBuf,
    /// What drivers may use.
    pub limits: Limits,
    /// Where drivers are compiled.
    pub compiler: Compiler,
}

/// Why there is no host for drivers.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// This machine or the limits do not suit the engine.
    #[error("cannot set up the WebAssembly engine: {reason}")]
    Engine {
        /// Why.
        reason: String,
    },
    /// No thread can be started for the engine's clock.
    #[error("cannot start the thread of the engine's clock: {0}")]
    Thread(io::Error),
    /// The folder of compiled drivers cannot be used.
    #[error(transparent)]
    Cache(CacheError),
}

/// Why a driver is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes are not a driver that the daemon can take.
    #[error(transparent)]
    Inspect(InspectError),
    /// It does not compile.
    #[error(transparent)]
    Compile(CompileError),
    /// The compiled code cannot be kept.
    #[error(transparent)]
    Cache(CacheError),
    /// It needs more than a driver may use.
    #[error("the driver needs too much: {0}")]
    Needs(LimitHit),
    /// It imports modules or components, so what it needs cannot be told.
    #[error("the driver imports modules or components")]
    Unbounded,
    /// Its imports or exports do not have the types of the contract.
    #[error("the driver does not fit the contract: {reason}")]
    Link {
        /// What does not fit.
        reason: String,
    },
    /// It does not say what it is.
    #[error("the driver does not describe itself: {0}")]
    Describe(CallError),
    /// What it says of itself is not a manifest.
    #[error("the driver's manifest is not valid: {path}: {reason}")]
    BadManifest {
        /// Where in the manifest.
        path: String,
        /// What is wrong there.
        reason: String,
    },
    /// Another driver has its name.
    #[error("driver `{name}` is loaded already, from {digest}")]
    NameTaken {
        /// The name.
        name: String,
        /// The other's digest.
        digest: String,
    },
}

/// Loads drivers and keeps them by name.
pub struct DriverHost {
    shared: Arc<Shared>,
    /// Takes components of every size, to see whether they suit the engine for calls.
    plain: Engine,
    linker: Linker<CallState>,
    cache: Cache,
    compiler: Compiler,
    drivers: RwLock<BTreeMap<String, Arc<LoadedDriver>>>,
}

/// A driver that is ready to be called, and is not yet under any name.
pub struct Prepared {
    /// What it says of itself.
    pub manifest: Manifest,
    /// `sha256:…` of its bytes.
    pub digest: String,
    callee: Arc<Callee>,
}

impl Prepared {
    /// The driver, with what it asks for and is granted.
    pub fn under(&self, built_in: bool, grants: &Grants) -> LoadedDriver {
        let granted = grants.within(&self.manifest.capabilities);
        let (manifest, digest) = (self.manifest.clone(), self.digest.clone());
        let multi_host = self.callee.is_multi_host();
        let info = DriverInfo { manifest, digest, built_in, multi_host, granted };
        LoadedDriver::new(info, Arc::clone(&self.callee))
    }
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl DriverHost {
    /// Sets up the engine, its clock and the folder of compiled drivers. No driver is
    /// loaded yet.
    ///
    /// # Errors
    /// The engine cannot be set up, or the folder cannot be used.
    pub fn open(options: HostOptions) -> Result<Self, OpenError> {
        let HostOptions { state, limits, compiler } = options;
        let failed = |error: wasmtime::Error| OpenError::Engine { reason: format!("{error:#}") };
        let plain = engine(&limits).map_err(failed)?;
        let engine = pooled(&limits).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        NetworkDriver::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)
            .map_err(failed)?;
        let ticker = Ticker::start(engine.weak()).map_err(OpenError::Thread)?;
        let cache = Cache::open(&state.join("drivers"), &plain).map_err(OpenError::Cache)?;
        let gate = Gate::new(limits.calls, limits.queued);
        Ok(Self {
            shared: Arc::new(Shared { engine, limits, ticker, gate }),
            plain,
            linker,
            cache,
            compiler,
            drivers: RwLock::default(),
        })
    }

    /// Loads what is built in, with everything it asks for granted.
    ///
    /// # Errors
    /// One of them does not load; those before it stay.
    pub fn load_built_in(&self) -> Result<Vec<DriverInfo>, LoadError> {
        let grants = Grants::all_of(Capability::ALL);
        built_in::MODULES.into_iter().map(|module| self.load(module, true, &grants)).collect()
    }

    /// Loads a driver: a component, or a core module with the component type. It may do
    /// what it asks for and `grants` has. A driver of the same bytes is replaced, so that
    /// grants can change; calls under way end as they began.
    ///
    /// Blocks: for a driver not seen before, as long as compiling takes.
    ///
    /// # Errors
    /// The bytes are not a driver, do not compile, need too much, or their name is taken.
    pub fn load(
        &self,
        bytes: &[u8],
        built_in: bool,
        grants: &Grants,
    ) -> Result<DriverInfo, LoadError> {
        let prepared = self.prepare(bytes)?;
        let mut drivers = self.drivers.write().unwrap_or_else(PoisonError::into_inner);
        let name = prepared.manifest.name.as_str();
        if let Some(other) =
            drivers.get(name).filter(|other| other.info().digest != prepared.digest)
        {
            return Err(LoadError::NameTaken {
                name: name.to_owned(),
                digest: other.info().digest.clone(),
            });
        }
        let driver = prepared.under(built_in, grants);
        let info = driver.info().clone();
        drivers.insert(info.manifest.name.to_string(), Arc::new(driver));
        Ok(info)
    }

    /// Puts a driver to work, in the place of the one of its name if there is one; calls
    /// under way end as they began.
    pub fn put(&self, driver: LoadedDriver) {
        let mut drivers = self.drivers.write().unwrap_or_else(PoisonError::into_inner);
        drivers.insert(driver.info().manifest.name.to_string(), Arc::new(driver));
    }

    /// Lets go of a driver; calls under way end as they began.
    pub fn remove(&self, name: &str) {
        self.drivers.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// Gives a driver other grants, from the next call on.
    pub fn regrant(&self, name: &str, grants: &Grants) {
        let mut drivers = self.drivers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = drivers.get_mut(name) {
            *driver = Arc::new(driver.under(grants));
        }
    }

    /// Makes a driver ready to be called, and registers nothing.
    ///
    /// Blocks: for a driver not seen before, as long as compiling takes.
    ///
    /// # Errors
    /// The bytes are not a driver, do not compile, or need too much.
    pub fn prepare(&self, bytes: &[u8]) -> Result<Prepared, LoadError> {
        inspect(bytes, self.shared.limits.module_bytes).map_err(LoadError::Inspect)?;
        let digest = digest(bytes);
        let code = self.code(bytes, stem(&digest))?;
        self.admit(&code.component)?;
        let component = code.on(&self.shared.engine).map_err(LoadError::Cache)?;
        let callee = self.link(&component)?;
        let raw = callee.describe().map_err(of_describe)?;
        let manifest = answer::manifest(&raw, &self.shared.limits).map_err(|invalid| {
            LoadError::BadManifest { path: invalid.path, reason: invalid.reason }
        })?;
        Ok(Prepared { manifest, digest, callee: Arc::new(callee) })
    }

    fn code(&self, bytes: &[u8], digest: &str) -> Result<Code, LoadError> {
        if let Some(code) = self.cache.load(&self.plain, digest) {
            return Ok(code);
        }
        let code = compile::run(&self.compiler, &self.plain, &self.shared.limits, bytes)
            .map_err(LoadError::Compile)?;
        self.cache.store(&self.plain, digest, &code).map_err(LoadError::Cache)
    }

    /// Whether what the component needs at the least is within the limits.
    fn admit(&self, component: &Component) -> Result<(), LoadError> {
        const PAGE: u64 = 64 << 10;
        let limits = &self.shared.limits;
        let needs = component.resources_required().ok_or(LoadError::Unbounded)?;
        let memory = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
        for (which, limit, measured) in [
            (Limit::Memories, limits.memories, needs.num_memories.into()),
            (Limit::MemoryBytes, limits.memory_bytes, memory),
            (Limit::Tables, limits.tables, needs.num_tables.into()),
            (
                Limit::TableElements,
                limits.table_elements,
                needs.max_initial_table_size.unwrap_or(0),
            ),
        ] {
            let measured = usize::try_from(measured).unwrap_or(usize::MAX);
            if measured > limit {
                return Err(LoadError::Needs(LimitHit::new(which, limit, Some(measured))));
            }
        }
        Ok(())
    }

    fn link(&self, component: &Component) -> Result<Callee, LoadError> {
        let failed = |error| LoadError::Link { reason: format!("{error:#}") };
        let linked = self.linker.instantiate_pre(component).map_err(failed)?;
        let pre = NetworkDriverPre::new(linked.clone()).map_err(failed)?;
        // A driver that says nothing of other hosts is not of the second world, and no worse.
        let peers = match has_peers(component) {
            true => Some(MultiHostDriverPre::new(linked).map_err(failed)?),
            false => None,
        };
        Ok(Callee::new(Arc::clone(&self.shared), pre, peers))
    }

    /// The driver of this name.
    pub fn driver(&self, name: &str) -> Option<Arc<LoadedDriver>> {
        self.drivers.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Every driver, by name.
    pub fn list(&self) -> Vec<DriverInfo> {
        let drivers = self.drivers.read().unwrap_or_else(PoisonError::into_inner);
        drivers.values().map(|driver| driver.info().clone()).collect()
    }
}

impl std::fmt::Debug for DriverHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DriverHost").field("drivers", &self.list()).finish_non_exhaustive()
    }
}

fn has_peers(component: &Component) -> bool {
    let component_type = component.component_type();
    let mut exports = component_type.exports(component.engine());
    exports.any(|(name, _)| {
        Interface::parse(name).is_some_and(|of| of.name == PEERS && of.is_supported())
    })
}

/// The types of functions are compared only when there is an instance, and that they differ
/// has no type of its own in wasmtime's interface.
fn of_describe(error: CallError) -> LoadError {
    match error {
        CallError::Host { reason }
            if reason.contains("failed to convert function to given type") =>
        {
            LoadError::Link { reason }
        }
        other => LoadError::Describe(other),
    }
}
