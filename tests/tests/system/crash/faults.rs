//! What befalls a life.

use rand::RngExt;
use rand::rngs::StdRng;

/// A place in the daemon, how often it comes there in a life, and whether it can fail there.
const PLACES: &[(&str, u32, bool)] = &[
    ("store.commit", 12, true),
    ("store.committed", 12, false),
    ("store.flush", 12, true),
    ("store.flushed", 12, false),
    ("rtnl.request", 80, true),
    ("rtnl.reply", 80, true),
    ("rtnl.ask", 120, true),
    ("nfnl.dump", 40, true),
    ("nft.request", 14, true),
    ("nft.reply", 14, true),
    ("nft.script", 2, true),
    ("conntrack.end", 6, true),
    ("netns.create", 3, true),
    ("netns.enter", 20, true),
    ("names.bind", 6, true),
    ("ports.hold", 8, true),
    ("netns.remove", 3, true),
    ("netns.unpinned", 3, false),
    ("sysctl.write", 16, true),
    ("file.write", 10, true),
];
const ERRORS: &[&str] = &["ENOBUFS", "EBUSY", "ENOSPC", "EINTR", "ENOMEM", "EIO"];

/// One fault or several, each at a place and at one of the times the daemon comes there.
pub(super) fn choose(rng: &mut StdRng) -> String {
    let number = if rng.random_bool(0.7) { 1 } else { rng.random_range(2..5) };
    let faults: Vec<String> = (0..number).map(|_| one(rng)).collect();
    faults.join(";")
}

fn one(rng: &mut StdRng) -> String {
    let (place, times, can_fail) = PLACES[rng.random_range(0..PLACES.len())];
    let before = rng.random_range(0..times);
    let fault = match rng.random_range(0..10) {
        0 => "1*sleep(30)".to_owned(),
        1..5 if can_fail => {
            let error = ERRORS[rng.random_range(0..ERRORS.len())];
            format!("{}*return({error})", rng.random_range(1..3))
        }
        _ => "1*return(kill)".to_owned(),
    };
    match before {
        0 => format!("{place}={fault}"),
        _ => format!("{place}={before}*off->{fault}"),
    }
}
