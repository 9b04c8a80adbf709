//! From the command line to a serving daemon, and to its end.

use std::fs::{File, Permissions};
use std::io::{self, stdin, stdout};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use nix::fcntl::{Flock, FlockArg};
use postern_kernel::{HostSettings, Kernel, Linux};
use postern_model::refusal::Refusal;
use postern_plugin::{
    COMPILE_ARGUMENT, Compiler, DriverHost, HostOptions, Keys, Modules, compile_child_main,
};
use postern_resolver::Resolver;
use postern_store::Store;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::wrappers::UnixListenerStream;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cluster::{JoinError, Membership};
use crate::ledger::{Installed, LOG_TARGET, Ledger, LedgerOptions, chain};
use crate::names::Names;
use crate::notify::{Notice, notify};
use crate::predefined;
use crate::settings::{Arguments, ClusterSettings, LogFormat, Settings, SettingsError};

/// Who may talk to the daemon: root and the socket's group.
const SOCKET_MODE: u32 = 0o660;
const STATE_MODE: u32 = 0o700;
const RUN_MODE: u32 = 0o755;

/// The daemon cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
enum DaemonError {
    #[error("the configuration cannot be used")]
    Settings(#[source] SettingsError),
    #[error("log-level: not a filter")]
    LogLevel(#[source] tracing_subscriber::filter::ParseError),
    #[error("{what} {}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("another posternd uses {}", .0.display())]
    Locked(PathBuf),
    #[error("another posternd serves this network namespace")]
    Namespace(#[source] io::Error),
    #[error("the store cannot be used")]
    Store(#[source] postern_store::OpenError),
    #[error("drivers cannot be hosted")]
    Drivers(#[source] postern_plugin::OpenError),
    #[error("the modules of installed drivers cannot be kept")]
    Modules(#[source] postern_plugin::ModuleError),
    #[error("driver-keys: the keys cannot be used")]
    Keys(#[source] postern_plugin::KeyError),
    #[error("a built-in driver cannot be loaded")]
    BuiltIn(#[source] postern_plugin::LoadError),
    #[error("this host cannot be of its cluster")]
    Cluster(#[source] JoinError),
    #[error("the links of this host cannot be listed")]
    Underlay(#[source] postern_kernel::ObserveError),
    #[error("the kernel cannot be used")]
    Kernel(#[source] postern_kernel::OpenError),
    #[error("the predefined networks cannot be set up")]
    Predefined(#[source] Refusal),
    #[error("the API cannot be served")]
    Serve(#[source] postern_server::ServeError),
}

/// The whole program.
pub fn main() -> ExitCode {
    // First of all, while there is one thread: the compiling child limits itself.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == COMPILE_ARGUMENT) {
        return match compile_child_main(&mut stdin().lock(), &mut stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    }
    limit_arenas();
    postern_failpoint::set_up();
    match start(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Keeps the allocator to two arenas. By default glibc makes up to eight for each core,
/// and every visit of a namespace is a thread of its own: memory that is freed in one
/// arena is of no use to the others, and the daemon would seem to grow.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "there is no safe wrapper for mallopt(3)")]
fn limit_arenas() {
    // SAFETY: called before there are threads; the arguments are documented ones. That it
    // may be refused is of no consequence.
    let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

#[cfg(not(target_env = "gnu"))]
const fn limit_arenas() {}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("posternd: {}", chain(error));
    ExitCode::FAILURE
}

fn start(arguments: Arguments) -> Result<(), DaemonError> {
    let Arguments { config, check_config, compile_driver: _, settings } = arguments;
    let settings = Settings::load(config.as_deref(), settings).map_err(DaemonError::Settings)?;
    let filter =
        EnvFilter::try_new(directives(&settings.log_level)).map_err(DaemonError::LogLevel)?;
    if let Some(cluster) = &settings.cluster {
        Membership::check(cluster).map_err(DaemonError::Cluster)?;
    }
    if check_config {
        println!("The configuration is right.");
        return Ok(());
    }
    log_to_stderr(filter, settings.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| io_error("cannot start threads for", &settings.run_dir, source))?;
    runtime.block_on(run(settings))
}

/// A bare level is about the daemon; its libraries speak only of what goes wrong. Flows are
/// logged where a policy asks for it, whatever the level.
fn directives(level: &str) -> String {
    const OWN: [&str; 7] =
        ["cluster", "kernel", "plugin", "resolver", "runtime", "server", "store"];
    if level.parse::<LevelFilter>().is_err() {
        return level.to_owned();
    }
    let own = OWN.map(|name| format!("postern_{name}={level}"));
    format!("warn,{},{LOG_TARGET}=info", own.join(","))
}

fn log_to_stderr(filter: EnvFilter, format: LogFormat) {
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => logs.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => logs.json().init(),
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> DaemonError {
    DaemonError::Io { what, path: path.to_owned(), source }
}

async fn run(settings: Settings) -> Result<(), DaemonError> {
    // Signals from here on end the daemon cleanly, a start that is still under way too.
    let (mut terminate, mut interrupt) = signals(&settings)?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        notify(Notice::Stopping);
    };
    make_dir(&settings.state_dir, STATE_MODE)?;
    make_dir(&settings.run_dir, RUN_MODE)?;
    let _state_lock = lock(&settings.state_dir)?;
    let _run_lock = lock(&settings.run_dir)?;
    let _namespace_lock = lock_namespace()?;
    let ledger = open(&settings).await?;
    let watch = ledger.watch();
    ledger.adopt().await.map_err(DaemonError::Predefined)?;
    predefined::ensure(&ledger, &settings.bridge, settings.mtu)
        .await
        .map_err(DaemonError::Predefined)?;
    ledger.install_from(&settings.driver_dir).await;
    ledger.log_flows();
    let listener = listen(&settings.socket)?;
    let repair = tokio::spawn(ledger.clone().keep_repaired(watch));
    let expiry = tokio::spawn(ledger.clone().keep_expired());
    let following = tokio::spawn(ledger.clone().follow_cluster());
    tracing::info!(socket = %settings.socket.display(), "serving");
    notify(Notice::Ready);
    let connections = UnixListenerStream::new(listener);
    let served = postern_server::serve(ledger.clone(), connections, shutdown).await;
    repair.abort();
    expiry.abort();
    following.abort();
    let _ = std::fs::remove_file(&settings.socket);
    ledger.kernel().quiesce().await;
    ledger.close().await;
    tracing::info!("stopped");
    served.map_err(DaemonError::Serve)
}

fn signals(
    settings: &Settings,
) -> Result<(tokio::signal::unix::Signal, tokio::signal::unix::Signal), DaemonError> {
    let on = |kind| {
        signal(kind).map_err(|error| io_error("cannot watch signals for", &settings.run_dir, error))
    };
    Ok((on(SignalKind::terminate())?, on(SignalKind::interrupt())?))
}

fn make_dir(path: &Path, mode: u32) -> Result<(), DaemonError> {
    std::fs::create_dir_all(path)
        .and_then(|()| std::fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(|source| io_error("cannot make", path, source))
}

/// One instance a state folder. The lock falls with the process, however it ends.
fn lock(state_dir: &Path) -> Result<Flock<File>, DaemonError> {
    let path = state_dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| io_error("cannot open", &path, source))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|_| DaemonError::Locked(state_dir.to_owned()))
}

/// One instance a network namespace: a second one would take the links of the first for
/// leftovers. An abstract socket belongs to the namespace (unix(7)) and falls with the
/// process.
fn lock_namespace() -> Result<StdListener, DaemonError> {
    let address = SocketAddr::from_abstract_name(b"postern/instance");
    address.and_then(|address| StdListener::bind_addr(&address)).map_err(DaemonError::Namespace)
}

async fn open(settings: &Settings) -> Result<Ledger<Linux>, DaemonError> {
    let (_, identity) = uuid::Uuid::new_v4().as_u64_pair();
    let (store, loaded) =
        Store::open(&settings.state_dir.join("ledger"), identity).map_err(DaemonError::Store)?;
    let options = HostOptions {
        state: settings.state_dir.clone(),
        limits: settings.driver_limits.clone(),
        compiler: Compiler::default(),
    };
    let drivers = DriverHost::open(options).map_err(DaemonError::Drivers)?;
    drivers.load_built_in().map_err(DaemonError::BuiltIn)?;
    let modules = Modules::open(&settings.state_dir).map_err(DaemonError::Modules)?;
    let keys = settings.driver_keys.as_deref().map(Keys::read).transpose();
    let installed = Installed::new(modules, keys.map_err(DaemonError::Keys)?);
    let host = HostSettings {
        ip_forward: settings.ip_forward,
        own_tables: settings.own_tables,
        run_dir: settings.run_dir.clone(),
    };
    let resolver = Resolver::new(settings.resolver.clone());
    let names = Names::start(resolver.clone())
        .map_err(|source| io_error("cannot start a thread for", &settings.run_dir, source))?;
    let kernel = Linux::open(&host, Arc::new(names)).await.map_err(DaemonError::Kernel)?;
    let membership = match &settings.cluster {
        Some(cluster) => Some(join(cluster, loaded.identity, &kernel).await?),
        None => None,
    };
    let options = LedgerOptions {
        pools: predefined::pools(&settings.pools, loaded.identity),
        mtu: settings.mtu,
        watch_drift: settings.watch_drift,
        publish_address: settings.publish_address,
        address_rest: settings.address_rest,
        names: settings.names,
        namespace_dir: settings.run_dir.join("netns"),
        state_dir: settings.state_dir.clone(),
        run_dir: settings.run_dir.clone(),
    };
    let parts = (drivers, installed, resolver);
    let ledger = Ledger::new(loaded.topology, store, kernel, parts, membership, options);
    ledger.load_drivers();
    Ok(ledger)
}

/// Joins the cluster, by the host's address in the underlay.
async fn join(
    cluster: &ClusterSettings,
    identity: u64,
    kernel: &Linux,
) -> Result<Membership, DaemonError> {
    let underlay = Membership::underlay_of(cluster).map_err(DaemonError::Cluster)?;
    let mtu = kernel.mtu_at(underlay).await.map_err(DaemonError::Underlay)?;
    Membership::join(cluster, identity, (underlay, mtu)).map_err(DaemonError::Cluster)
}

/// Listens on the socket. One that is left over from a daemon that died is removed: the
/// lock on the state folder says that no other one uses it.
fn listen(path: &Path) -> Result<UnixListener, DaemonError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| io_error("cannot make", parent, error))?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("cannot replace", path, error));
        }
        _ => {}
    }
    // Bound under a name of its own and moved into place with its mode set, so that
    // nobody connects before the mode holds.
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let failed = |source| io_error("cannot listen on", path, source);
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, Permissions::from_mode(SOCKET_MODE)).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    Ok(listener)
}
