//! A host of its own for a test: a thread in new network and mount namespaces, with
//! further namespaces as sandboxes and as the world. Nothing of it is seen outside.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, thread};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{Shutdown, shutdown};
use postern_kernel::nft::Nft;
use postern_model::mac::MacAddr;
use postern_model::name::IfName;
use postern_model::network::Family;
use postern_model::port::Protocol;
use postern_model::resource::Element;

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing must come through.
const SILENCE: Duration = Duration::from_millis(250);

/// Runs a test as the host.
pub(crate) fn on_a_host(test: impl FnOnce() + Send + 'static) {
    let host = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        ip("link set lo up");
        test();
    });
    if let Err(panic) = host.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command and returns what it prints.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split_whitespace()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments}: {error}");
    text
}

pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

/// Hands a ruleset to `nft`.
pub(crate) fn nft(ruleset: &str) {
    let path = format!("/run/{:?}.nft", thread::current().id());
    fs::write(&path, ruleset).unwrap();
    run("nft", &format!("-f {path}"));
}

pub(crate) fn sysctl(key: &str, value: &str) {
    fs::write(format!("/proc/sys/{key}"), value).unwrap_or_else(|error| panic!("{key}: {error}"));
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) fn name(text: &str) -> IfName {
    text.parse().unwrap()
}

/// An opened host with the base ruleset, and forwarding on.
pub(crate) fn opened() -> Nft {
    for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
        sysctl(key, "1");
    }
    no_dad();
    let nft = Nft::open(false).unwrap();
    nft.load_base().unwrap();
    nft
}

fn no_dad() {
    for which in ["all", "default"] {
        sysctl(&format!("net/ipv6/conf/{which}/accept_dad"), "0");
    }
}

/// Runs something in a namespace.
pub(crate) fn within<T: Send>(namespace: &str, action: impl FnOnce() -> T + Send) -> T {
    if namespace == "host" {
        return action();
    }
    let entered = || {
        enter(namespace);
        action()
    };
    thread::scope(|scope| scope.spawn(entered).join().unwrap())
}

fn enter(namespace: &str) {
    setns(File::open(format!("/run/netns/{namespace}")).unwrap(), CloneFlags::CLONE_NEWNET)
        .unwrap();
}

/// A namespace joined to the host by a veth: `<name>` here, `eth0` there.
pub(crate) fn joined(namespace: &str, mac: &str) {
    ip(&format!("netns add {namespace}"));
    within(namespace, no_dad);
    within(namespace, || ip("link set lo up"));
    ip(&format!("link add v-{namespace} type veth peer name eth0 address {mac} netns {namespace}"));
}

/// The world: behind a router's link, with routes to every network.
pub(crate) fn world() {
    joined("world", "02:00:00:00:ff:01");
    ip("link set v-world up");
    ip("addr add 192.0.2.1/24 dev v-world");
    ip("addr add 2001:db8::1/64 dev v-world nodad");
    within("world", || {
        ip("link set eth0 up");
        ip("addr add 192.0.2.2/24 dev eth0");
        ip("addr add 2001:db8::2/64 dev eth0 nodad");
        ip("route add 10.0.0.0/8 via 192.0.2.1");
        ip("route add fd00::/16 via 2001:db8::1");
    });
}

/// A bridge `br<number>` with `10.<number>.0.1/24` and `fd00:<number>::1/64`.
pub(crate) fn bridge(number: u8, apart: bool) -> Vec<Element> {
    let apart_flag = u8::from(apart);
    let br = format!("br{number}");
    ip(&format!(
        "link add {br} address 02:00:00:00:{number:02x}:ff type bridge \
         nf_call_iptables {apart_flag} nf_call_ip6tables {apart_flag}"
    ));
    ip(&format!("addr add 10.{number}.0.1/24 dev {br}"));
    ip(&format!("addr add fd00:{number}::1/64 dev {br} nodad"));
    ip(&format!("link set {br} up"));
    sysctl(&format!("net/ipv4/conf/{br}/route_localnet"), "1");
    let br = name(&br);
    let mut elements = vec![
        Element::Bridge(br.clone()),
        Element::Masquerade(Family::V4, br.clone()),
        Element::Masquerade(Family::V6, br.clone()),
    ];
    if !apart {
        elements.push(Element::Neighbours(br));
    }
    elements
}

/// An endpoint: its namespace, and what the sets hold of it.
pub(crate) struct Endpoint {
    pub(crate) namespace: String,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
    pub(crate) elements: Vec<Element>,
}

/// The host `<host>` on bridge `br<number>`, in namespace `e<number>-<host>`.
pub(crate) fn endpoint(number: u8, host: u8) -> Endpoint {
    let namespace = format!("e{number}-{host}");
    let mac = format!("02:00:00:00:{number:02x}:{host:02x}");
    joined(&namespace, &mac);
    ip(&format!("link set v-{namespace} master br{number} up"));
    ip(&format!("link set v-{namespace} type bridge_slave hairpin on"));
    within(&namespace, || {
        ip("link set eth0 up");
        ip(&format!("addr add 10.{number}.0.{host}/24 dev eth0"));
        ip(&format!("addr add fd00:{number}::{host:x}/64 dev eth0 nodad"));
        ip(&format!("route add default via 10.{number}.0.1"));
        ip(&format!("route add default via fd00:{number}::1"));
    });
    let v4: IpAddr = format!("10.{number}.0.{host}").parse().unwrap();
    let v6: IpAddr = format!("fd00:{number}::{host:x}").parse().unwrap();
    let mac: MacAddr = mac.parse().unwrap();
    let (port, br) = (name(&format!("v-{namespace}")), name(&format!("br{number}")));
    let mut elements = vec![
        Element::Port(port.clone()),
        Element::PortMac(port.clone(), mac),
        Element::Guard(port.clone(), mac, mac.link_local().into()),
    ];
    for address in [v4, v6] {
        elements.push(Element::Guard(port.clone(), mac, address));
        elements.push(Element::Endpoint(address, br.clone()));
    }
    Endpoint { namespace, v4, v6, elements }
}

impl Endpoint {
    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        [self.v4, self.v6]
    }

    pub(crate) fn texts(&self) -> [String; 2] {
        self.addresses().map(|address| address.to_string())
    }

    /// The element that publishes a port of the endpoint.
    pub(crate) fn published(&self, host: &str, port: u16, target_port: u16) -> Element {
        let host: IpAddr = host.parse().unwrap();
        let target = if host.is_ipv4() { self.v4 } else { self.v6 };
        Element::Publish { host, protocol: Protocol::Tcp, port, target, target_port }
    }
}

/// A TCP server that tells every client the client's address, then gives back what it
/// gets, until it is dropped.
pub(crate) struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(namespace: &str, port: u16) -> Self {
        let listener = within(namespace, || TcpListener::bind(("::", port)).unwrap());
        let accepting = listener.try_clone().unwrap();
        let thread = thread::spawn(move || {
            while let Ok((stream, peer)) = accepting.accept() {
                // Ends with the client, or with the test.
                drop(thread::spawn(move || serve(stream, peer.ip().to_canonical())));
            }
        });
        Self { listener, thread: Some(thread) }
    }
}

fn serve(mut stream: TcpStream, peer: IpAddr) -> std::io::Result<()> {
    writeln!(stream, "{peer}")?;
    let mut bytes = [0; 64];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            length => stream.write_all(&bytes[..length])?,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ends the `accept` that waits.
        shutdown(self.listener.as_raw_fd(), Shutdown::Both).unwrap();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// A connection that is up.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The address the server sees.
    peer: IpAddr,
}

impl Connection {
    fn open(namespace: &str, to: SocketAddr, timeout: Duration) -> Option<Self> {
        let stream = within(namespace, || TcpStream::connect_timeout(&to, timeout)).ok()?;
        stream.set_read_timeout(Some(timeout)).unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).ok()?;
        Some(Self { peer: line.trim().parse().ok()?, stream })
    }

    /// Connects, or panics.
    #[track_caller]
    pub(crate) fn to(namespace: &str, address: &str, port: u16) -> Self {
        Self::open(namespace, socket(address, port), PATIENCE)
            .unwrap_or_else(|| panic!("{namespace} does not reach {address} {port}"))
    }

    /// Asserts that bytes still come back.
    #[track_caller]
    pub(crate) fn lives(&mut self) {
        assert!(self.echoes(PATIENCE), "the connection has ended");
    }

    /// Asserts that no bytes come back any more.
    #[track_caller]
    pub(crate) fn has_ended(&mut self) {
        assert!(!self.echoes(SILENCE), "the connection lives");
    }

    fn echoes(&mut self, timeout: Duration) -> bool {
        self.stream.set_read_timeout(Some(timeout)).unwrap();
        let mut bytes = [0; 4];
        self.stream.write_all(b"echo").is_ok()
            && self.stream.read_exact(&mut bytes).is_ok()
            && bytes == *b"echo"
    }
}

fn socket(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

/// Asserts that a server answers, and returns the address it sees.
#[track_caller]
pub(crate) fn reaches(from: &str, address: &str, port: u16) -> IpAddr {
    Connection::to(from, address, port).peer
}

/// Asserts that no server answers.
#[track_caller]
pub(crate) fn blocked(from: &str, address: &str, port: u16) {
    let connection = Connection::open(from, socket(address, port), SILENCE);
    assert!(connection.is_none(), "{from} reaches {address} {port}");
}
