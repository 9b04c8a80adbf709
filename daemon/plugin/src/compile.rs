//! From WebAssembly to machine code, in a child process.
//!
//! Compiling takes time and memory as the module's author likes, and wasmtime does not call
//! that a bug of its own. So it happens in a process with limits of its own, whose memory
//! the daemon never sees.
//!
//! The child reads its [`Terms`] and the module, up to the end; it writes one byte that
//! tells what follows: machine code, or a text that says why there is none.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::resource::{Resource, setrlimit};
use wasmtime::Engine;
use wit_component::ComponentEncoder;

use crate::engine::engine;
use crate::inspect::is_core;
use crate::limits::{Limit, LimitHit, Limits};

/// The argument that makes the daemon a compiling child.
pub const COMPILE_ARGUMENT: &str = "--compile-driver";

/// The answer begins with this if machine code follows.
const CODE: u8 = 0;
/// The answer begins with this if the module is no component and cannot be made one.
const NOT_A_COMPONENT: u8 = 1;
/// The answer begins with this if the component cannot be compiled.
const NOT_COMPILED: u8 = 2;
/// Most bytes of an answer. Compiled code is three to four times the size of its module.
const ANSWER_MAX: u64 = 128 << 20;

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
    /// It takes too long.
    #[error("the component does not compile: {0}")]
    Limit(LimitHit),
    /// The child ended without an answer, as it does when its memory is used up.
    #[error("the compiler ended without an answer ({status})")]
    Died {
        /// How it ended.
        status: ExitStatus,
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
        Compiler::Child { program } => in_child(program, limits, module),
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

fn in_child(program: &Path, limits: &Limits, module: &[u8]) -> Result<Vec<u8>, CompileError> {
    let failed = |source| CompileError::Spawn { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .arg0("posternd")
        .arg(COMPILE_ARGUMENT)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let answer = converse(&mut child, limits, module);
    if answer.is_err() {
        // Only fails if the child has ended already.
        let _ = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    read_answer(limits, status, answer)
}

/// Why a child has not been heard to the end.
enum Silence {
    /// The time is up.
    Timeout,
    /// A pipe broke or its thread could not be started, mostly since the child ended.
    Broken,
}

fn converse(child: &mut Child, limits: &Limits, module: &[u8]) -> Result<Vec<u8>, Silence> {
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Silence::Broken);
    };
    let (send, receive) = mpsc::channel();
    let mut request = Terms::new(limits).bytes();
    request.extend(module);
    let heard = move || -> io::Result<Vec<u8>> {
        input.write_all(&request)?;
        drop(input);
        let mut answer = Vec::new();
        output.take(ANSWER_MAX).read_to_end(&mut answer)?;
        Ok(answer)
    };
    let speak = thread::Builder::new().name("driver-compile".to_owned());
    // The thread ends by itself: killing the child closes both of its pipes. When nobody
    // listens any more the answer is of no use.
    speak.spawn(move || drop(send.send(heard()))).map_err(|_| Silence::Broken)?;
    match receive.recv_timeout(limits.compile_wall) {
        Ok(Ok(answer)) => Ok(answer),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(Silence::Timeout),
        Ok(Err(_)) | Err(mpsc::RecvTimeoutError::Disconnected) => Err(Silence::Broken),
    }
}

fn read_answer(
    limits: &Limits,
    status: ExitStatus,
    answer: Result<Vec<u8>, Silence>,
) -> Result<Vec<u8>, CompileError> {
    let hit =
        |which, limit: Duration| Err(CompileError::Limit(LimitHit::of_time(which, limit, limit)));
    let mut answer = match answer {
        Err(Silence::Timeout) => return hit(Limit::CompileWall, limits.compile_wall),
        _ if status.signal() == Some(nix::libc::SIGXCPU) => {
            return hit(Limit::CompileCpu, limits.compile_cpu);
        }
        Ok(answer) if status.success() && !answer.is_empty() => answer,
        Ok(_) | Err(Silence::Broken) => return Err(CompileError::Died { status }),
    };
    let rest = answer.split_off(1);
    match answer.as_slice() {
        [CODE] => Ok(rest),
        [NOT_A_COMPONENT] => Err(CompileError::Componentize { reason: lossy(&rest) }),
        [NOT_COMPILED] => Err(CompileError::Compile { reason: lossy(&rest) }),
        _ => Err(CompileError::Died { status }),
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}
