//! From WebAssembly to machine code, in a child process.
//!
//! Compiling takes time and memory as the module's author likes, and wasmtime does not call
//! that a bug of its own. So it happens in a process with limits of its own, whose memory
//! the daemon never sees.
//!
//! The child reads its [`Terms`] and the module, up to the end; it writes one byte that
//! tells what follows: machine code, or a text that says why there is none.

mod parent;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitStatus;

use nix::sys::resource::{Resource, setrlimit};
use wasmtime::Engine;
use wit_component::ComponentEncoder;

use crate::engine::engine;
use crate::inspect::is_core;
use crate::limits::{LimitHit, Limits};

/// The argument that makes the daemon a compiling child.
pub const COMPILE_ARGUMENT: &str = "--compile-driver";

/// The answer begins with this if machine code follows.
const CODE: u8 = 0;
/// The answer begins with this if the module is no component and cannot be made one.
const NOT_A_COMPONENT: u8 = 1;
/// The answer begins with this if the component cannot be compiled.
const NOT_COMPILED: u8 = 2;

/// Where drivers are compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// In a child of this program, started with [`COMPILE_ARGUMENT`].
    Child {
        /// The program; it calls [`compile_child_main`] and must be of the same build.
        program: PathBuf,
    },
    /// In this process, without limits: for tests, and programs that are not the daemon.
    InProcess,
}

impl Default for Compiler {
    /// A child of the running program: the very file that runs, even if another one has
    /// taken its path since.
    fn default() -> Self {
        Self::Child { program: PathBuf::from("/proc/self/exe") }
    }
}

/// Why there is no machine code.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The core module does not fit the component type it carries.
    #[error("the module is not what its component type says: {reason}")]
    Componentize {
        /// What does not fit.
        reason: String,
    },
    /// The compiler refuses it.
    #[error("the component does not compile: {reason}")]
    Compile {
        /// Why.
        reason: String,
    },
    /// It takes too long or too much memory.
    #[error("the component does not compile: {0}")]
    Limit(LimitHit),
    /// The child ended without an answer.
    #[error("the compiler ended without an answer ({status}): {last_words}")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error, cut.
        last_words: String,
    },
    /// The child could not be started or spoken to.
    #[error("cannot run the compiler {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Why a compiling child cannot do its work; an answer that says so is not an error.
#[derive(Debug, thiserror::Error)]
pub enum CompileChildError {
    /// The request cannot be read or the answer cannot be written.
    #[error("cannot speak with the daemon: {0}")]
    Io(io::Error),
    /// A limit cannot be set.
    #[error("cannot limit {what}: {source}")]
    Limit {
        /// Which one.
        what: &'static str,
        /// Why.
        source: nix::Error,
    },
}

/// What the daemon does when it is started with [`COMPILE_ARGUMENT`]: limits itself, reads a
/// module from `input`, and writes machine code, or why there is none, to `output`.
///
/// To be called first of all, before there are threads.
///
/// # Errors
/// Input, output or a limit fails; the caller ends with a status that is not zero.
pub fn compile_child_main(
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> Result<(), CompileChildError> {
    let terms = Terms::read(input).map_err(CompileChildError::Io)?;
    terms.limit_process()?;
    let mut module = Vec::new();
    input.read_to_end(&mut module).map_err(CompileChildError::Io)?;
    let (kind, answer) = match compile(&terms, &module) {
        Ok(code) => (CODE, code),
        Err(Refusal::Componentize(reason)) => (NOT_A_COMPONENT, reason.into_bytes()),
        Err(Refusal::Compile(reason)) => (NOT_COMPILED, reason.into_bytes()),
    };
    output.write_all(&[kind]).map_err(CompileChildError::Io)?;
    output.write_all(&answer).map_err(CompileChildError::Io)?;
    output.flush().map_err(CompileChildError::Io)
}

/// The limits that concern the child, on the wire little-endian `u64`s in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms {
    /// Bytes of address space.
    memory: u64,
    /// Seconds of processor time.
    seconds: u64,
    /// [`Limits::memory_bytes`] and [`Limits::stack_bytes`]: the child's engine must be the
    /// parent's, or the parent does not load the code.
    engine: [u64; 2],
}

impl Terms {
    fn new(limits: &Limits) -> Self {
        let wide = |number| u64::try_from(number).unwrap_or(u64::MAX);
        Self {
            memory: limits.compile_memory,
            seconds: limits.compile_cpu.as_secs().max(1),
            engine: [wide(limits.memory_bytes), wide(limits.stack_bytes)],
        }
    }

    fn bytes(self) -> Vec<u8> {
        let [memory, stack] = self.engine;
        [self.memory, self.seconds, memory, stack].into_iter().flat_map(u64::to_le_bytes).collect()
    }

    fn read(input: &mut dyn Read) -> io::Result<Self> {
        let mut next = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            input.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        Ok(Self { memory: next()?, seconds: next()?, engine: [next()?, next()?] })
    }

    fn engine(self) -> Result<Engine, wasmtime::Error> {
        let [memory_bytes, stack_bytes] =
            self.engine.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        engine(&Limits { memory_bytes, stack_bytes, ..Limits::default() })
    }

    fn limit_process(self) -> Result<(), CompileChildError> {
        limit(Resource::RLIMIT_AS, "memory", self.memory, self.memory)?;
        // One second between the signal that tells why and the one that cannot be escaped.
        limit(Resource::RLIMIT_CPU, "CPU time", self.seconds, self.seconds.saturating_add(1))?;
        limit(Resource::RLIMIT_CORE, "core dumps", 0, 0)
    }
}

fn limit(
    resource: Resource,
    what: &'static str,
    soft: u64,
    hard: u64,
) -> Result<(), CompileChildError> {
    setrlimit(resource, soft, hard).map_err(|source| CompileChildError::Limit { what, source })
}

enum Refusal {
    Componentize(String),
    Compile(String),
}

fn compile(terms: &Terms, module: &[u8]) -> Result<Vec<u8>, Refusal> {
    let engine = terms.engine().map_err(|error| Refusal::Compile(format!("{error:#}")))?;
    compile_with(&engine, module)
}

fn compile_with(engine: &Engine, module: &[u8]) -> Result<Vec<u8>, Refusal> {
    let compile = |component: &[u8]| {
        engine
            .precompile_component(component)
            .map_err(|error| Refusal::Compile(format!("{error:#}")))
    };
    if !is_core(module) {
        return compile(module);
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode());
    compile(&encoded.map_err(|error| Refusal::Componentize(format!("{error:#}")))?)
}

/// Compiles an inspected module.
pub(crate) fn run(
    compiler: &Compiler,
    engine: &Engine,
    limits: &Limits,
    module: &[u8],
) -> Result<Vec<u8>, CompileError> {
    match compiler {
        Compiler::InProcess => compile_with(engine, module).map_err(CompileError::from),
        Compiler::Child { program } => parent::in_child(program, limits, module),
    }
}

impl From<Refusal> for CompileError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Componentize(reason) => Self::Componentize { reason },
            Refusal::Compile(reason) => Self::Compile { reason },
        }
    }
}
