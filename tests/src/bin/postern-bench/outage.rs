//! What an end of the daemon, and an accident to its rules, come to.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use postern_tests::command::sh;
use postern_tests::{HOST4, Netns, World, ask, dns};
use tonic::Status;

use crate::crowd::{in_world, populate};
use crate::row::Row;
use crate::traffic;

const SUBJECT: &str = "postern";
const STARTS: usize = 5;
const FLUSHES: usize = 8;
const PORT: u16 = 7000;
/// A repair, and the comparison that its own changes cause, are each followed by a rest of
/// four times their length.
const REST: Duration = Duration::from_secs(8);
/// How long names may stay away.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures starts after a crash at each of `sizes` endpoints, each with a published port,
/// and then how soon a flushed ruleset is back.
pub(crate) fn measure(sizes: &[u32]) -> Vec<Row> {
    let mut rows = Vec::new();
    for size in sizes {
        println!("starts at {size} endpoints ...");
        rows.extend(in_world(&[], async |world| starts(world, *size).await));
        println!("flushed rulesets at {size} endpoints ...");
        // Or the kernel would not let anybody flush it.
        rows.push(in_world(&["--own-tables=false"], async |world| flushes(world, *size).await));
    }
    rows
}

async fn fill(world: &World, size: u32) -> Result<(), Status> {
    populate(&world.api, 0..size, |n| ask::publish(&[ask::tcp(10_000 + n, 80)])).await
}

async fn starts(world: &mut World, size: u32) -> Result<Vec<Row>, Status> {
    fill(world, size).await?;
    let server = published(world).await?;
    let question = server.enter(|| UdpSocket::bind("127.0.0.1:0"));
    let question = question.unwrap_or_else(|error| panic!("a socket: {error}"));
    let flow = Flow::start(
        traffic::socket(&world.outside, 0),
        traffic::socket(&server, PORT),
        traffic::address(HOST4, PORT),
    );
    let (mut serving, mut named) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        world.kill9();
        let begun = Instant::now();
        let asked = ask_until_known(question.try_clone(), begun);
        world.start().await;
        serving.push(begun.elapsed());
        named.push(asked.join().unwrap_or_else(|_| panic!("names do not come back")));
    }
    let (trips, lost) = flow.stop();
    println!("  {trips} round trips of a live flow meanwhile, {lost} lost");
    Ok(vec![
        Row::of_times("start after a crash: serving", SUBJECT, size, serving),
        Row::of_times("start after a crash: names", SUBJECT, size, named),
        Row { lost: Some(lost), ..Row::of("packets lost over 5 crashes", SUBJECT, size, trips) },
    ])
}

fn ask_until_known(socket: std::io::Result<UdpSocket>, begun: Instant) -> JoinHandle<Duration> {
    let socket = socket.unwrap_or_else(|error| panic!("a socket: {error}"));
    thread::spawn(move || {
        // While nobody listens, the kernel refuses some of the questions without a word.
        while !dns::knows(&socket, "server", Duration::from_millis(20)) {
            assert!(begun.elapsed() < PATIENCE, "names stay away");
            thread::sleep(Duration::from_millis(2));
        }
        begun.elapsed()
    })
}

/// A flow that goes on while something else happens: packets there and back.
struct Flow {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, usize)>,
}

impl Flow {
    fn start(client: UdpSocket, server: UdpSocket, to: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        wait_at_most(&[&client, &server], Duration::from_millis(200));
        let thread = thread::spawn(move || {
            let (mut trips, mut lost) = (0, 0);
            while !told.load(Ordering::Relaxed) {
                trips += 1;
                lost += usize::from(traffic::trip(&client, &server, to).is_err());
                thread::sleep(Duration::from_millis(1));
            }
            (trips, lost)
        });
        Self { stop, thread }
    }

    /// How many packets went out, and how many did not come back.
    fn stop(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| panic!("the flow's thread panicked"))
    }
}

/// From the end of the flush to the first new flow that comes through a published port.
async fn flushes(world: &World, size: u32) -> Result<Row, Status> {
    fill(world, size).await?;
    let server = published(world).await?;
    let server = traffic::socket(&server, PORT);
    let to = traffic::address(HOST4, PORT);
    let mut times = Vec::new();
    for _ in 0..FLUSHES {
        tokio::time::sleep(REST).await;
        // A foreign table, which the world looks after, would go with the whole ruleset.
        sh("nft delete table inet postern; delete table bridge postern");
        let begun = Instant::now();
        loop {
            let client = traffic::socket(&world.outside, 0);
            wait_at_most(&[&client, &server], Duration::from_millis(15));
            // What came too late for the last try would be taken for this one's.
            traffic::empty(&server);
            if traffic::trip(&client, &server, to).is_ok() {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "the ruleset does not come back");
        }
        times.push(begun.elapsed());
    }
    Ok(Row::of_times("flushed ruleset: back", SUBJECT, size, times))
}

/// A server's sandbox, with a published port.
async fn published(world: &World) -> Result<Netns, Status> {
    world.api.create_network("measured", ask::network(&["10.90.0.0/24"])).await?;
    let published = ask::publish(&[ask::udp(PORT.into(), PORT.into())]);
    Ok(world.place("measured", "server", published).await)
}

fn wait_at_most(sockets: &[&UdpSocket], time: Duration) {
    for socket in sockets {
        let limited = socket.set_read_timeout(Some(time));
        limited.unwrap_or_else(|error| panic!("a socket: {error}"));
    }
}
