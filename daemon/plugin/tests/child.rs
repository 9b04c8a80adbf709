//! Compiling in a child process. The program plays both parts: started with the compiling
//! argument it is the child, otherwise it runs the tests.

use postern_model::grant::Grants;
use std::env;
use std::io::{stdin, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use postern_plugin::{
    COMPILE_ARGUMENT, CompileError, Compiler, DriverHost, HostOptions, Limit, Limits, LoadError,
    compile_child_main,
};
use tempfile::TempDir;

fn main() -> ExitCode {
    if env::args().any(|argument| argument == COMPILE_ARGUMENT) {
        return match compile_child_main(&mut stdin().lock(), &mut stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    for (name, test) in [
        ("built_in_drivers_load", built_in_drivers_load as fn()),
        ("limits_of_the_engine_reach_the_child", limits_of_the_engine_reach_the_child),
        ("a_slow_child_is_killed", a_slow_child_is_killed),
        ("a_busy_child_is_stopped", a_busy_child_is_stopped),
        ("a_child_without_memory_ends_alone", a_child_without_memory_ends_alone),
        ("a_tower_of_components_ends_with_the_child", a_tower_of_components_ends_with_the_child),
        ("a_program_that_is_not_there_is_named", a_program_that_is_not_there_is_named),
        ("a_program_that_is_no_compiler_is_told", a_program_that_is_no_compiler_is_told),
    ] {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn load(limits: Limits, compiler: Compiler) -> Result<usize, LoadError> {
    let state = TempDir::new().unwrap();
    let options = HostOptions { state: state.path().to_owned(), limits, compiler };
    let host = DriverHost::open(options).unwrap();
    host.load_built_in().map(|drivers| drivers.len())
}

fn program(path: &str) -> Compiler {
    Compiler::Child { program: PathBuf::from(path) }
}

fn built_in_drivers_load() {
    assert_eq!(load(Limits::default(), Compiler::default()).unwrap(), 4);
}

fn limits_of_the_engine_reach_the_child() {
    let limits = Limits { memory_bytes: 8 << 20, stack_bytes: 128 << 10, ..Limits::default() };
    assert_eq!(load(limits, Compiler::default()).unwrap(), 4);
}

fn a_slow_child_is_killed() {
    let limits = Limits { compile_wall: Duration::from_millis(1), ..Limits::default() };
    let began = Instant::now();
    let error = load(limits, Compiler::default()).unwrap_err();
    assert!(
        matches!(&error, LoadError::Compile(CompileError::Limit(hit)) if hit.which == Limit::CompileWall),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// A component with no more of a driver than a first look sees, and functions enough to keep
/// the compiler busy for many seconds.
fn endless_to_compile() -> Vec<u8> {
    let work = "(local.set 0 (i32.mul (i32.rotl (local.get 0) (local.get 1)) (i32.const 3)))";
    let function = format!("(func (param i32 i32) {})", work.repeat(40));
    let text = format!(
        r#"(component
            (core module {})
            (instance $driver)
            (export "postern:driver/driver@0.1.0" (instance $driver)))"#,
        function.repeat(10_000)
    );
    wat::parse_str(text).unwrap()
}

/// Why a component does not load.
fn refusal(component: &[u8], limits: Limits) -> LoadError {
    let state = TempDir::new().unwrap();
    let compiler = Compiler::default();
    let options = HostOptions { state: state.path().to_owned(), limits, compiler };
    let host = DriverHost::open(options).unwrap();
    host.load(component, false, &Grants::default()).unwrap_err()
}

fn a_busy_child_is_stopped() {
    let error = refusal(
        &endless_to_compile(),
        Limits { compile_cpu: Duration::from_secs(1), ..Limits::default() },
    );
    assert_eq!(
        error.to_string(),
        "the component does not compile: limit of compile CPU time in ms: 1000 exceeds 1000"
    );
}

fn a_child_without_memory_ends_alone() {
    let error =
        refusal(&endless_to_compile(), Limits { compile_memory: 1 << 20, ..Limits::default() });
    assert_eq!(
        error.to_string(),
        "the component does not compile: limit of compile memory in bytes: exceeds 1048576"
    );
}

/// A driver at first sight, followed by so many components, one in the other.
fn tower(floors: usize) -> Vec<u8> {
    const HEADER: [u8; 8] = *b"\0asm\x0d\0\x01\0";
    // Four bytes whatever the size, so that the sizes of what is around it are known.
    let leb128 = |size: usize| {
        [0, 7, 14, 21].map(|shift| (size >> shift & 0x7f) as u8 | if shift < 21 { 0x80 } else { 0 })
    };
    let text = r#"(component (instance $driver)
        (export "postern:driver/driver@0.1.0" (instance $driver)))"#;
    let mut bytes = wat::parse_str(text).unwrap();
    for floor in (1..=floors).rev() {
        // A floor is a header, and all but the last have a section of 5 bytes and the rest.
        bytes.push(4);
        bytes.extend(leb128(floor * 13 - 5));
        bytes.extend(HEADER);
    }
    bytes
}

/// The compiler's memory grows with the square of the floors; the first look's does not.
fn a_tower_of_components_ends_with_the_child() {
    let limits = Limits { compile_memory: 512 << 20, ..Limits::default() };
    let error = refusal(&tower(200_000), limits);
    assert_eq!(
        error.to_string(),
        "the component does not compile: limit of compile memory in bytes: exceeds 536870912"
    );
}

fn a_program_that_is_not_there_is_named() {
    let error = load(Limits::default(), program("/nonexistent/posternd")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/posternd"), "{error}");
}

fn a_program_that_is_no_compiler_is_told() {
    for path in ["/bin/true", "/bin/cat"] {
        let error = load(Limits::default(), program(path)).unwrap_err();
        assert!(matches!(error, LoadError::Compile(CompileError::Died { .. })), "{path}: {error}");
    }
}
