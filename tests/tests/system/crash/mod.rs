//! The daemon is killed, and fails, at every place it can, while it works: whatever it
//! acknowledged is there, whatever it refused is not, nothing leaks, nothing that is
//! denied opens and nothing that is allowed is cut.
//!
//! A run is of lives. One that is armed comes upon a fault the seed has chosen, at its
//! start or in its work; the next one has none, so what it finds is looked at and every
//! error is a finding. Each ends by a kill, by its fault or in the middle of a call.
//! `cargo xtask crash --lives N --seed N` runs as many as one likes.

mod faults;
mod model;
mod scene;

use std::time::{Duration, Instant};

use postern_tests::World;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

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
        for _ in 0..self.rng.random_range(4..16) {
            let operation = self.model.propose(&mut self.rng);
            let outcome = operation.perform(&self.world.api).await;
            self.note(operation, outcome, armed).await;
        }
        if armed {
            self.recover().await;
        }
        self.look().await;
        self.cut_off().await;
    }

    /// Takes in what became of an operation. One that failed may have been done or not, but
    /// nothing else may have been, and only a fault excuses it.
    async fn note(
        &mut self,
        operation: Operation,
        outcome: Result<(), tonic::Status>,
        armed: bool,
    ) {
        self.tally.operations += 1;
        match outcome {
            Ok(()) => {
                self.tally.acknowledged += 1;
                self.model = self.model.after(&operation);
            }
            Err(status) => {
                println!("  {operation:?}: {:?} {}", status.code(), status.message());
                assert!(armed, "{operation:?}: {status}");
                self.tally.faults += 1;
                self.revive(&status).await;
                self.settle(&operation).await;
            }
        }
    }

    /// Starts the daemon again if that is why a call failed. The connection ends a moment
    /// before the process does.
    async fn revive(&mut self, status: &tonic::Status) {
        if status.metadata().contains_key("grpc-status-details-bin") {
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

    /// After an operation of which nobody knows whether it was done.
    async fn settle(&mut self, operation: &Operation) {
        let found = Model::read(&self.world.api).await;
        assert!(
            self.model.may_become(operation, &found),
            "{operation:?}\nbefore: {:?}\nafter: {found:?}",
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

    /// Kills the daemon in the middle of an operation.
    async fn cut_off(&mut self) {
        let operation = self.model.propose(&mut self.rng);
        let wait = Duration::from_micros(self.rng.random_range(0..12_000));
        let api = self.world.api.clone();
        let under_way = tokio::spawn(async move { operation.perform(&api).await });
        tokio::time::sleep(wait).await;
        self.world.restart().await;
        self.tally.kills += 1;
        self.tally.operations += 1;
        match under_way.await {
            Ok(Ok(())) => {
                self.tally.acknowledged += 1;
                self.model = self.model.after(&operation);
                assert_eq!(Model::read(&self.world.api).await, self.model, "acknowledged and lost");
            }
            Ok(Err(_)) => self.settle(&operation).await,
            Err(error) => panic!("{error}"),
        }
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
