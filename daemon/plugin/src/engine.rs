//! The one engine of the process, and the clock that lets it stop a driver.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::{
    Config, Engine, EngineWeak, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails,
};

use crate::limits::Limits;

/// How often the engine's epoch moves while calls are under way.
const TICK: Duration = Duration::from_millis(10);
/// Bytes of a memory that stay mapped between two calls; what a call used beyond them goes
/// back to the kernel. A driver in Rust touches a few pages.
const WARM_MEMORY: usize = 512 << 10;
/// As [`WARM_MEMORY`], of a table.
const WARM_TABLE: usize = 64 << 10;

/// Makes an engine that compiles, and looks at what is compiled. It takes no address space:
/// the compiling child has little.
pub(crate) fn engine(limits: &Limits) -> Result<Engine, wasmtime::Error> {
    Engine::new(&config(limits))
}

/// Makes the engine for calls, which runs what [`engine`] compiled. Memories and tables for
/// all calls at a time are set aside at once: mapping them anew is half of a call.
pub(crate) fn pooled(limits: &Limits) -> Result<Engine, wasmtime::Error> {
    Engine::new(config(limits).allocation_strategy(pool(limits)))
}

/// What one component may have is looked at before it meets the pool, and again by the
/// store, whose errors name the limit; so the pool itself sets only how much there is in all.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    const ANY: usize = 1 << 40;
    let number = |number| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    let of_all = |each: usize| number(each.saturating_mul(limits.calls));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(number(limits.calls))
        .total_core_instances(of_all(limits.instances))
        .total_memories(of_all(limits.memories))
        .total_tables(of_all(limits.tables))
        .max_memories_per_module(number(limits.memories))
        .max_tables_per_module(number(limits.tables))
        .max_memory_size(limits.memory_bytes)
        .table_elements(limits.table_elements)
        .max_component_instance_size(ANY)
        .max_core_instance_size(ANY)
        .max_unused_warm_slots(number(limits.calls))
        .linear_memory_keep_resident(WARM_MEMORY)
        .table_keep_resident(WARM_TABLE);
    pool
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .epoch_interruption(true)
        .consume_fuel(true)
        .max_wasm_stack(limits.stack_bytes)
        .wasm_memory64(false)
        // What one component hands to another goes from memory to memory, and toolchains put
        // their stubs for WASI into a component of their own.
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(false)
        .cranelift_nan_canonicalization(true)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        // All of a memory at its limit, in place of the 4 GiB and more a memory reserves
        // to save bounds checks: mapping it is a good part of a call.
        .memory_reservation(reservation(limits.memory_bytes))
        .memory_guard_size(64 << 10)
        .memory_may_move(false)
        // Frames registered with the system's unwinder cost time for each one there is.
        .native_unwind_info(false)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

fn reservation(bytes: usize) -> u64 {
    u64::try_from(bytes.next_multiple_of(64 << 10)).unwrap_or(u64::MAX)
}

/// How many ticks to allow for a time: one more, for the one that has begun.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u64::MAX - 1) + 1
}

/// Moves the engine's epoch while calls are under way, and sleeps while none is.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    calls: usize,
    asleep: bool,
    stopped: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way; the epoch moves while there is one.
#[derive(Debug)]
pub(crate) struct Ticking<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread. It holds the engine weakly and ends with it or with the ticker.
    pub(crate) fn start(engine: EngineWeak) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("driver-epoch".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || run(&shared, &engine)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Keeps the epoch moving until the answer is dropped.
    pub(crate) fn tick(&self) -> Ticking<'_> {
        let mut state = self.shared.state();
        state.calls += 1;
        if state.asleep {
            state.asleep = false;
            self.shared.wake.notify_one();
        }
        Ticking(&self.shared)
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.state().calls -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread does nothing that could panic, and there is nobody to tell here.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, engine: &EngineWeak) {
    loop {
        let mut state = shared.state();
        while state.calls == 0 && !state.stopped {
            state.asleep = true;
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.asleep = false;
        let (state, _) = shared
            .wake
            .wait_timeout_while(state, TICK, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return;
        }
        drop(state);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_time_gets_the_tick_that_has_begun_too() {
        assert_eq!(ticks(Duration::from_millis(250)), 26);
        assert_eq!(ticks(Duration::from_millis(1)), 2);
        assert_eq!(ticks(Duration::ZERO), 1);
    }

    #[test]
    fn a_component_of_components_compiles() {
        let text = r#"(component
            (component $callee
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 8)
                    (func (export "take") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func (export "take") (param "text" string) (canon lift
                    (core func $i "take") (memory $i "memory") (realloc (func $i "realloc")))))
            (component $caller
                (import "take" (func $take (param "text" string)))
                (core module $own (memory (export "memory") 1))
                (core instance $o (instantiate $own))
                (core func $lowered (canon lower (func $take) (memory $o "memory")))
                (core module $m
                    (import "" "take" (func $take (param i32 i32)))
                    (func (export "go") (call $take (i32.const 0) (i32.const 5))))
                (core instance $i
                    (instantiate $m (with "" (instance (export "take" (func $lowered))))))
                (func (export "go") (canon lift (core func $i "go"))))
            (instance $callee (instantiate $callee))
            (instance $caller (instantiate $caller (with "take" (func $callee "take"))))
            (func (export "go") (alias export $caller "go")))"#;
        let engine = engine(&Limits::default()).unwrap();
        assert!(engine.precompile_component(&wat::parse_str(text).unwrap()).is_ok());
    }

    #[test]
    fn the_ticker_ends_when_it_is_dropped() {
        let engine = engine(&Limits::default()).unwrap();
        let ticker = Ticker::start(engine.weak()).unwrap();
        let ticking = ticker.tick();
        thread::sleep(TICK * 2);
        drop(ticking);
        let before = Instant::now();
        drop(ticker);
        assert!(before.elapsed() < Duration::from_secs(5));
    }
}
