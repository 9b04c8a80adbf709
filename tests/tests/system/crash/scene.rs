//! What goes on all the while, and must neither stop nor begin.

use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use postern_proto::v1::policy_rule::Action;
use postern_proto::v1::{PolicySpec, Tier};
use postern_tests::traffic::{Conversation, Server};
use postern_tests::{HOST4, Netns, World, ask};

const PORT: u16 = 9;
const PAUSE: Duration = Duration::from_millis(3);

/// Neighbours that talk, one that a policy keeps out, two on a network that keeps its
/// neighbours apart, and a published port: all of them there from beginning to end.
pub(super) struct Scene {
    talks: Vec<(&'static str, Conversation)>,
    heard: Arc<Mutex<BTreeSet<IpAddr>>>,
    allowed: BTreeSet<IpAddr>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    _server: Server,
}

impl Scene {
    pub(super) async fn set(world: &World) -> Self {
        let api = &world.api;
        api.create_network("open", ask::network(&["10.50.0.0/24"])).await.unwrap();
        api.create_network("apart", ask::apart(ask::network(&["10.51.0.0/24"]))).await.unwrap();
        let labelled = |who| ask::labelled(&[("who", who)]);
        let mut published = ask::publish(&[ask::tcp(8080, 80)]);
        published.labels = postern_tests::labels(&[("who", "bob")]);
        let bob = world.place("open", "bob", published).await;
        let alice = world.place("open", "alice", labelled("alice")).await;
        let eve = world.place("open", "eve", labelled("eve")).await;
        let carol = world.place("apart", "carol", labelled("carol")).await;
        let mallory = world.place("apart", "mallory", labelled("mallory")).await;
        api.apply_policy("keep-eve-out", keep_out("eve", "bob")).await.unwrap();
        let address = async |name| ipv4(world, name).await;
        let (to_bob, to_carol) = (address("bob.open").await, address("carol.apart").await);
        let server = Server::tcp(&bob, "0.0.0.0:80", "bob");
        let begin = |from: &Netns, to: String| Conversation::begin(from, &to).unwrap();
        let talks = vec![
            ("neighbours", begin(&alice, format!("{to_bob}:80"))),
            ("by a published port", begin(&world.outside, format!("{HOST4}:8080"))),
        ];
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::default();
        let mut threads = vec![listen(&bob, &heard, &stop), listen(&carol, &heard, &stop)];
        threads.push(call(&alice, to_bob, &stop));
        threads.push(call(&eve, to_bob, &stop));
        threads.push(call(&mallory, to_carol, &stop));
        threads.push(call(&world.outside, to_bob, &stop));
        let allowed = BTreeSet::from([address("alice.open").await]);
        Self { talks, heard, allowed, stop, threads, _server: server }
    }

    /// What is allowed goes on, and nobody else was ever heard.
    pub(super) fn assert_holds(&mut self) {
        for (which, talk) in &mut self.talks {
            assert!(talk.goes_on(), "the flow {which} was cut");
        }
        let heard = self.heard.lock().unwrap().clone();
        assert_eq!(heard, self.allowed, "who was heard");
    }

    /// Ends it, and deletes what it stands on.
    pub(super) async fn strike(self, world: &World) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        world.api.delete_policy("keep-eve-out").await.unwrap();
        for sandbox in ["alice", "bob", "eve", "carol", "mallory"] {
            world.api.delete_sandbox(sandbox, true).await.unwrap();
        }
        for network in ["open", "apart"] {
            world.api.delete_network(network).await.unwrap();
        }
    }
}

async fn ipv4(world: &World, endpoint: &str) -> IpAddr {
    let found = world.api.endpoint(endpoint).await.unwrap();
    let (address, _) = found.ipv4_address.split_once('/').unwrap();
    address.parse().unwrap()
}

fn keep_out(whom: &str, of: &str) -> PolicySpec {
    let rules = vec![ask::rule(Action::Deny, vec![ask::peer(&[("who", whom)])], 0)];
    PolicySpec { tier: Tier::Admin.into(), ..ask::app(&[("who", of)], rules) }
}

/// Notes whom it hears.
fn listen(
    netns: &Netns,
    heard: &Arc<Mutex<BTreeSet<IpAddr>>>,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let socket = netns.enter(|| UdpSocket::bind(("0.0.0.0", PORT))).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (heard, stop) = (Arc::clone(heard), Arc::clone(stop));
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            if let Ok((_, from)) = socket.recv_from(&mut [0; 16]) {
                heard.lock().unwrap().insert(from.ip());
            }
        }
    })
}

/// Calls again and again, each time from another port: a new flow, that is judged anew.
fn call(netns: &Netns, to: IpAddr, stop: &Arc<AtomicBool>) -> JoinHandle<()> {
    let stop = Arc::clone(stop);
    let sockets = netns.enter(|| {
        let socket = || UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        (0..16).map(|_| socket()).collect::<Vec<_>>()
    });
    thread::spawn(move || {
        for socket in sockets.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // That it is refused is what is expected of most.
            let _ = socket.send_to(b"?", (to, PORT));
            thread::sleep(PAUSE);
        }
    })
}
