//! The daemon is killed, and fails, at every place it can, while it works: whatever it
//! acknowledged is there, whatever it refused is not, nothing leaks, nothing that is
//! denied opens and nothing that is allowed is cut.
//!
//! A run is of lives. One that is armed comes upon a fault the seed has chosen, at its
//! start or in its work, and namespaces may vanish under it; the next one has none, so what it finds is looked at and every
//! error is a finding. Each ends by a kill, by its fault or in the middle of a call.
//! `cargo xtask crash --lives N --seed N` runs as many as one likes.

mod faults;
mod model;
mod round;
mod scene;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use postern_tests::World;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tonic::Status;

use model::{Model, Operation};
use scene::Scene;

const LIVES: u64 = 24;
const SEED: u64 = 1;
/// How long a daemon that was failed once may take to put everything right.
const REPAIR_LIMIT: Duration = Duration::from_secs(10);

fn setting(name: &str, default: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}

/// How often a namespace vanishes before a life's next operations.
const VANISHING: f64 = 0.05;
/// Descriptors that come and go: connections, threads' sockets.
const SPARE: usize = 8;

/// What a run has come to.
#[derive(Debug, Default)]
struct Tally {
    operations: u64,
    acknowledged: u64,
    kills: u64,
    faults: u64,
    restarts: Vec<Duration>,
}

/// Whether the daemon itself said so, rather than the connection to it.
fn has_reason(status: &Status) -> bool {
    status.metadata().contains_key("grpc-status-details-bin")
}

struct Run<'a> {
    world: &'a mut World,
    rng: StdRng,
    model: Model,
    scene: Scene,
    tally: Tally,
}

#[test]
fn whenever_it_dies_it_comes_back_whole() {
    let (lives, seed) =
        (setting("POSTERN_CRASH_LIVES", LIVES), setting("POSTERN_CRASH_SEED", SEED));
    World::run(async |world| {
        let scene = Scene::set(world).await;
        let rng = StdRng::seed_from_u64(seed);
        let (model, tally) = (Model::default(), Tally::default());
        let mut run = Run { world, rng, model, scene, tally };
        for life in 0..lives {
            println!("seed {seed}, life {life}");
            run.life(life % 2 == 0).await;
        }
        run.end().await;
    });
}

impl Run<'_> {
    /// One life, up to its end by a kill, and a clean start to look at what is left.
    async fn life(&mut self, armed: bool) {
        let program = if armed { faults::choose(&mut self.rng) } else { String::new() };
        println!("  {program}");
        self.world.kill9();
        self.tally.kills += 1;
        let begun = Instant::now();
        if let Err(status) = self.world.try_start(&program).await {
            assert!(armed, "posternd ended with {status}");
            println!("  ended at its start: {status}");
            self.tally.faults += 1;
            self.world.start().await;
        } else if !armed {
            self.tally.restarts.push(begun.elapsed());
        }
        if !armed {
            self.look().await;
        }
        for _ in 0..self.rng.random_range(2..8) {
            let operations = round::propose(&self.model, &mut self.rng);
            if armed && self.rng.random_bool(VANISHING) {
                self.vanish().await;
            }
            let outcomes = round::perform(self.world.api.clone(), operations).await;
            self.note(outcomes, armed).await;
        }
        if armed {
            self.recover().await;
        }
        self.look().await;
        self.cut_off().await;
    }

    /// Somebody unpins a sandbox's namespace, which is gone then or soon.
    async fn vanish(&mut self) {
        let Some(name) = self.model.some_sandbox(&mut self.rng) else { return };
        // A daemon that was just killed will tell where it was another time.
        let Ok(sandbox) = self.world.api.sandbox(&name).await else { return };
        println!("  the namespace of {name} vanishes");
        let path = Path::new(&sandbox.netns_path);
        // As `ip netns delete` does. A daemon that goes on meanwhile may have been quicker.
        let _ = umount2(path, MntFlags::MNT_DETACH);
        let _ = std::fs::remove_file(path);
        self.tally.faults += 1;
    }

    /// Takes in what became of operations. One that failed may have been done or not, but
    /// nothing else may have been, and only a fault excuses it.
    async fn note(&mut self, outcomes: Vec<(Operation, Result<(), Status>)>, armed: bool) {
        let mut unknown = Vec::new();
        let mut failure = None;
        for (operation, outcome) in outcomes {
            self.tally.operations += 1;
            let Err(status) = outcome else {
                self.tally.acknowledged += 1;
                self.model = self.model.after(&operation);
                continue;
            };
            println!("  {operation:?}: {:?} {}", status.code(), status.message());
            assert!(armed, "{operation:?}: {status}");
            unknown.push(operation);
            // Of those that were under way, the one that tells of no reason tells most.
            if failure.as_ref().is_none_or(has_reason) {
                failure = Some(status);
            }
        }
        if let Some(status) = failure {
            self.tally.faults += 1;
            self.revive(&status).await;
            self.settle(&unknown).await;
        }
    }

    /// Starts the daemon again if that is why a call failed. The connection ends a moment
    /// before the process does.
    async fn revive(&mut self, status: &Status) {
        if has_reason(status) {
            return;
        }
        let begun = Instant::now();
        while !self.world.has_ended() {
            if begun.elapsed() > Duration::from_secs(2) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.tally.kills += 1;
        self.world.start().await;
    }

    /// After operations of which nobody knows whether they were done.
    async fn settle(&mut self, unknown: &[Operation]) {
        let found = Model::read(&self.world.api).await;
        assert!(
            self.model.may_become(unknown, &found),
            "{unknown:?}\nbefore: {:?}\nafter: {found:?}",
            self.model
        );
        self.model = found;
    }

    /// A daemon that was failed repairs what it left by itself.
    async fn recover(&mut self) {
        let begun = Instant::now();
        loop {
            match self.world.api.drift().await {
                Ok(drift) if drift.is_empty() => break,
                Ok(drift) => assert!(begun.elapsed() < REPAIR_LIMIT, "{drift:#?}"),
                Err(status) => self.revive(&status).await,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What is left of its program must not fail the look at it.
        self.world.kill9();
        self.tally.kills += 1;
        self.world.start().await;
    }

    /// Store, kernel and model agree, and traffic is as it must be.
    async fn look(&mut self) {
        assert_eq!(Model::read(&self.world.api).await, self.model);
        self.world.assert_agrees().await;
        self.world.assert_no_strays().await;
        self.scene.assert_holds();
    }

    /// Kills the daemon in the middle of operations.
    async fn cut_off(&mut self) {
        let operations = round::propose(&self.model, &mut self.rng);
        let wait = Duration::from_micros(self.rng.random_range(0..12_000));
        let under_way = tokio::spawn(round::perform(self.world.api.clone(), operations));
        tokio::time::sleep(wait).await;
        self.world.restart().await;
        self.tally.kills += 1;
        let mut unknown = Vec::new();
        for (operation, outcome) in under_way.await.unwrap_or_else(|error| panic!("{error}")) {
            self.tally.operations += 1;
            match outcome {
                Ok(()) => {
                    self.tally.acknowledged += 1;
                    self.model = self.model.after(&operation);
                }
                Err(_) => unknown.push(operation),
            }
        }
        self.settle(&unknown).await;
    }

    async fn end(mut self) {
        self.look().await;
        let Tally { operations, acknowledged, kills, faults, mut restarts } = self.tally;
        restarts.sort_unstable();
        let median = restarts.get(restarts.len() / 2);
        println!(
            "{operations} operations, {acknowledged} acknowledged, {kills} kills, \
             {faults} other faults, restart p50 {median:?}"
        );
        self.model.clear(&self.world.api).await;
        self.scene.strike(self.world).await;
        self.world.assert_only_predefined().await;
        self.world.assert_no_strays().await;
        self.world.assert_no_flow_of("10.");
        // As many as one has that never had anything else.
        let descriptors = self.world.daemon().descriptors();
        self.world.restart().await;
        let fresh = self.world.daemon().descriptors();
        assert!(descriptors <= fresh + SPARE, "{descriptors} descriptors, and {fresh} at a start");
    }
}
