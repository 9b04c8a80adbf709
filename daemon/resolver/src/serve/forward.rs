//! A question that servers are asked, until there is a reply to it.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::handle::Pending;
use super::{Door, Shared};
use crate::gate::{Withheld, addresses};
use crate::message::{Ask, Transport};
use crate::upstream::{Boarding, Landed, Seated, Take, resolve};

impl Door {
    /// Asks, or waits for whoever asks the same, and returns the reply.
    pub(super) async fn forward(&self, pending: Pending) -> Vec<u8> {
        let Pending { ask, key, transport, _permit } = pending;
        let mut out = Vec::new();
        let shared = &self.shared;
        let holders = |server: SocketAddr| {
            let directory = shared.directory.read().unwrap_or_else(PoisonError::into_inner);
            directory.holders(server)
        };
        match shared.flights.board(&key, self.sandbox, &shared.permits, holders) {
            Boarding::Join(seated) => {
                shared.tally.coalesced.add();
                self.wait(seated, &ask, transport, &mut out).await;
            }
            Boarding::Begin(seated, take) => {
                // The last one to ask may have landed since the cache was looked at.
                if let Some((bytes, age)) = shared.recall(&key) {
                    take.land(Landed::Answer(bytes, age));
                } else {
                    shared.tally.forwarded.add();
                    // A task of its own: others may wait for it when this sandbox is gone.
                    tokio::spawn(fly(Arc::clone(shared), take));
                }
                self.wait(seated, &ask, transport, &mut out).await;
            }
            Boarding::Loop => {
                self.note_loop();
                self.fail(&ask, transport, &mut out);
            }
            Boarding::Full => self.overload(&ask, transport, &mut out),
        }
        out
    }

    async fn wait(&self, mut seated: Seated, ask: &Ask, transport: Transport, out: &mut Vec<u8>) {
        match seated.landed().await {
            Landed::Answer(bytes, age) if self.lets_through(ask, &bytes, age).await => {
                self.pass_on(ask, &bytes, age, transport, out);
            }
            Landed::Answer(..) | Landed::Failed => self.fail(ask, transport, out),
        }
    }

    /// Waits until the addresses of an answer may be reached.
    async fn lets_through(&self, ask: &Ask, bytes: &[u8], age: Duration) -> bool {
        let Some((gate, name)) = self.gate_of(&ask.query.name) else { return true };
        let addresses = addresses(bytes, age);
        if addresses.is_empty() {
            return true;
        }
        let tally = &self.shared.tally;
        match gate.admit(self.sandbox, name, addresses).await {
            Ok(evicted) => {
                tally.admitted.add();
                (0..evicted).for_each(|_| tally.evicted.add());
                true
            }
            Err(Withheld) => {
                tally.withheld.add();
                false
            }
        }
    }
}

async fn fly(shared: Arc<Shared>, take: Take) {
    let key = take.key();
    let Shared { limits, tally, health, .. } = &*shared;
    let found = resolve(key, limits, tally, health, |server| take.turn_to(server)).await;
    let Some((bytes, relayed)) = found else { return take.land(Landed::Failed) };
    let now = Instant::now();
    {
        let mut cache = shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.put(key.clone(), &bytes, relayed, now);
    }
    take.land(Landed::Answer(bytes, Duration::ZERO));
}
