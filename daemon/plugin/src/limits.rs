//! What a driver may use.

use std::fmt;
use std::time::Duration;

/// What a driver may use, at load and in a call. Every limit is enforced, and names itself
/// with what was measured when it is hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a module or component.
    pub module_bytes: usize,
    /// Processor time of a compilation, in whole seconds.
    pub compile_cpu: Duration,
    /// Time a compilation may take by the clock.
    pub compile_wall: Duration,
    /// Bytes of address space of a compilation.
    pub compile_memory: u64,
    /// Bytes of the linear memories together.
    pub memory_bytes: usize,
    /// Linear memories of a driver. JavaScript with its stubs for WASI comes with three.
    pub memories: usize,
    /// Tables of a driver.
    pub tables: usize,
    /// Elements of a table.
    pub table_elements: usize,
    /// Core instances of a driver.
    pub instances: usize,
    /// Bytes of the WebAssembly stack; of the engine, so the same for every driver.
    pub stack_bytes: usize,
    /// Units of fuel of a call, about one an instruction. The limit that is the same on
    /// every machine.
    pub fuel: u64,
    /// Time a call may take by the clock, as a backstop.
    pub call_wall: Duration,
    /// Time an instantiation may take by the clock.
    pub instantiate_wall: Duration,
    /// Bytes the host copies out of an answer. Without it a few bytes of a driver, named
    /// many times over, become gigabytes of the host.
    pub result_bytes: usize,
    /// Handles of component resources.
    pub handles: usize,
    /// Resources in a decision.
    pub resources: usize,
    /// Bytes of a string in an answer.
    pub string_bytes: usize,
    /// Options in a manifest.
    pub options: usize,
    /// Bytes of state.
    pub state_bytes: usize,
    /// Log lines of a call; further ones are dropped and counted.
    pub log_lines: usize,
    /// Bytes of a log line; longer ones are cut.
    pub log_bytes: usize,
    /// Calls of one driver at a time.
    pub calls_per_driver: usize,
    /// Calls of all drivers at a time.
    pub calls: usize,
    /// Calls that wait for another to end; further ones are refused.
    pub queued: usize,
    /// When a driver that fails is not asked any more.
    pub quarantine: Quarantine,
}

/// When a driver that fails is not asked any more, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantine {
    /// So many faults in a row.
    pub faults: usize,
    /// Within this time.
    pub window: Duration,
    /// How long at first; each further fault doubles it.
    pub first: Duration,
    /// How long at the most.
    pub longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            module_bytes: 8 << 20,
            compile_cpu: Duration::from_secs(20),
            compile_wall: Duration::from_secs(60),
            compile_memory: 2 << 30,
            memory_bytes: 32 << 20,
            memories: 4,
            tables: 8,
            table_elements: 20_000,
            instances: 32,
            stack_bytes: 256 << 10,
            fuel: 200_000_000,
            // Fuel is the limit; these must not be hit by a machine that is busy.
            call_wall: Duration::from_secs(1),
            instantiate_wall: Duration::from_millis(500),
            result_bytes: 2 << 20,
            handles: 16,
            resources: 512,
            string_bytes: 1 << 10,
            options: 32,
            state_bytes: 64 << 10,
            log_lines: 64,
            log_bytes: 1 << 10,
            calls_per_driver: 4,
            calls: 16,
            queued: 64,
            quarantine: Quarantine {
                faults: 3,
                window: Duration::from_secs(60),
                first: Duration::from_secs(30),
                longest: Duration::from_secs(600),
            },
        }
    }
}

/// Which limit was hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`Limits::module_bytes`].
    ModuleBytes,
    /// [`Limits::compile_cpu`].
    CompileCpu,
    /// [`Limits::compile_wall`].
    CompileWall,
    /// [`Limits::compile_memory`].
    CompileMemory,
    /// [`Limits::memory_bytes`].
    MemoryBytes,
    /// [`Limits::memories`].
    Memories,
    /// [`Limits::tables`].
    Tables,
    /// [`Limits::table_elements`].
    TableElements,
    /// [`Limits::instances`].
    Instances,
    /// [`Limits::stack_bytes`].
    StackBytes,
    /// [`Limits::fuel`].
    Fuel,
    /// [`Limits::call_wall`].
    CallWall,
    /// [`Limits::instantiate_wall`].
    InstantiateWall,
    /// [`Limits::result_bytes`].
    ResultBytes,
    /// [`Limits::handles`].
    Handles,
    /// [`Limits::resources`].
    Resources,
    /// [`Limits::string_bytes`].
    StringBytes,
    /// [`Limits::options`].
    Options,
    /// [`Limits::state_bytes`].
    StateBytes,
    /// [`Limits::queued`], behind the [`Limits::calls_per_driver`].
    QueuedPerDriver,
    /// [`Limits::queued`], behind the [`Limits::calls`].
    Queued,
}

impl Limit {
    /// Whether it is hit by how much is asked, and not by what the driver does.
    pub const fn is_load(self) -> bool {
        matches!(self, Self::QueuedPerDriver | Self::Queued)
    }

    /// The name, with the unit where there is one.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ModuleBytes => "module in bytes",
            Self::CompileCpu => "compile CPU time in ms",
            Self::CompileWall => "compile time in ms",
            Self::CompileMemory => "compile memory in bytes",
            Self::MemoryBytes => "memory in bytes",
            Self::Memories => "memories",
            Self::Tables => "tables",
            Self::TableElements => "table elements",
            Self::Instances => "instances",
            Self::StackBytes => "stack in bytes",
            Self::Fuel => "fuel",
            Self::CallWall => "call time in ms",
            Self::InstantiateWall => "instantiation time in ms",
            Self::ResultBytes => "result in bytes",
            Self::Handles => "handles",
            Self::Resources => "resources",
            Self::StringBytes => "text in bytes",
            Self::Options => "options",
            Self::StateBytes => "state in bytes",
            Self::QueuedPerDriver => "queued calls of the driver",
            Self::Queued => "queued calls of all drivers",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A limit that was hit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LimitHit {
    /// Which one.
    pub which: Limit,
    /// What it allows.
    pub limit: u64,
    /// What was asked for or used; none where the engine does not tell.
    pub measured: Option<u64>,
}

impl LimitHit {
    pub(crate) fn new(which: Limit, limit: usize, measured: Option<usize>) -> Self {
        let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
        Self { which, limit: wide(limit), measured: measured.map(wide) }
    }

    pub(crate) fn of_time(which: Limit, limit: Duration, measured: Duration) -> Self {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self { which, limit: ms(limit), measured: Some(ms(measured)) }
    }
}

impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.measured {
            Some(measured) => {
                write!(f, "limit of {}: {measured} exceeds {}", self.which, self.limit)
            }
            None => write!(f, "limit of {}: exceeds {}", self.which, self.limit),
        }
    }
}
