//! One message: what it is answered, or whom it is forwarded to. No waiting.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::sync::OwnedSemaphorePermit;

use super::Door;
use crate::answer::{Own, Verdict, answer};
use crate::directory::{Route, Servers};
use crate::message::{Ask, Parsed, Refusal, Reply, Transport, parse, refuse, relay};
use crate::upstream::{Key, Question};

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing is sent.
    Nothing,
    /// The reply stands in the buffer.
    Reply,
    /// Servers are asked.
    Forward(Box<Pending>),
}

/// A question that is to be put to servers.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(super) ask: Ask,
    pub(super) key: Key,
    pub(super) transport: Transport,
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Door {
    /// Deals with a message. A reply is written over what is in `out`.
    pub(crate) fn handle(&self, bytes: &[u8], transport: Transport, out: &mut Vec<u8>) -> Outcome {
        let tally = &self.shared.tally;
        match parse(bytes) {
            Parsed::Nothing => {
                tally.malformed.add();
                Outcome::Nothing
            }
            Parsed::Refused(refusal) => {
                self.turn_down(&refusal, transport, out);
                Outcome::Reply
            }
            Parsed::Ask(ask) => {
                tally.queries.add();
                self.answer(ask, transport, out)
            }
        }
    }

    fn turn_down(&self, refusal: &Refusal, transport: Transport, out: &mut Vec<u8>) {
        let tally = &self.shared.tally;
        match refusal.code {
            ResponseCode::FormErr => tally.malformed.add(),
            _ => tally.unsupported.add(),
        }
        refuse(refusal, refusal.client.limit(transport), out);
    }

    fn answer(&self, ask: Ask, transport: Transport, out: &mut Vec<u8>) -> Outcome {
        let (verdict, route) = {
            let directory = self.shared.directory.read().unwrap_or_else(PoisonError::into_inner);
            match answer(&directory, self.sandbox, &ask.query, &mut rand::rng()) {
                Verdict::Own(own) => (Some(own), None),
                Verdict::Forward => (None, Some(directory.route(self.sandbox))),
            }
        };
        match (verdict, route) {
            (Some(own), _) => self.tell(&ask, &own, transport, out),
            (None, Some(route)) => return self.prepare(ask, route, transport, out),
            (None, None) => return Outcome::Nothing,
        }
        Outcome::Reply
    }

    fn tell(&self, ask: &Ask, own: &Own, transport: Transport, out: &mut Vec<u8>) {
        let tally = &self.shared.tally;
        match own.code {
            ResponseCode::NoError => tally.answered.add(),
            _ => tally.negative.add(),
        }
        let mut reply = Reply::bare(&ask.client, Some(&ask.query), own.code);
        reply.authoritative = true;
        reply.answers = &own.answers;
        reply.additionals = &own.additionals;
        if reply.encode(ask.client.limit(transport), out) {
            tally.truncated.add();
        }
    }

    /// Answers from the cache, or makes a question ready for servers.
    fn prepare(&self, ask: Ask, route: Route, transport: Transport, out: &mut Vec<u8>) -> Outcome {
        let (servers, loops) = match route.servers {
            Servers::Listed(servers) => (Arc::from(servers), route.loops),
            Servers::Host => self.host_servers(),
        };
        if servers.is_empty() {
            if loops {
                self.note_loop();
            }
            self.fail(&ask, transport, out);
            return Outcome::Reply;
        }
        let question = Question {
            name: ask.query.name.to_lowercase(),
            record_type: ask.query.query_type,
            dnssec_ok: ask.client.dnssec_ok,
            checking_disabled: ask.client.metadata.checking_disabled,
        };
        let key = Key { servers, question };
        // What has to be let through has to wait, also if it is known already.
        let waits = self.gate_of(&key.question.name).is_some();
        if let Some((bytes, age)) = self.shared.recall(&key).filter(|_| !waits) {
            self.shared.tally.cached.add();
            self.pass_on(&ask, &bytes, age, transport, out);
            return Outcome::Reply;
        }
        match Arc::clone(&self.forwards).try_acquire_owned() {
            Ok(_permit) => Outcome::Forward(Box::new(Pending { ask, key, transport, _permit })),
            Err(_) => {
                self.overload(&ask, transport, out);
                Outcome::Reply
            }
        }
    }

    /// The host's servers but those that are the sandbox itself, and whether there were any.
    fn host_servers(&self) -> (Arc<[SocketAddr]>, bool) {
        let servers = self.shared.host_file.servers(Instant::now());
        let directory = self.shared.directory.read().unwrap_or_else(PoisonError::into_inner);
        let own = |server: &&SocketAddr| directory.holders(**server).contains(&self.sandbox);
        if !servers.iter().any(|server| own(&server)) {
            return (servers, false);
        }
        (servers.iter().filter(|server| !own(server)).copied().collect(), true)
    }

    /// Writes what a server said.
    pub(super) fn pass_on(
        &self,
        ask: &Ask,
        bytes: &[u8],
        age: Duration,
        transport: Transport,
        out: &mut Vec<u8>,
    ) {
        if relay(ask, bytes, age, transport, out) {
            self.shared.tally.truncated.add();
        }
    }

    pub(super) fn fail(&self, ask: &Ask, transport: Transport, out: &mut Vec<u8>) {
        self.shared.tally.failed.add();
        self.only(ask, ResponseCode::ServFail, transport, out);
    }

    pub(super) fn overload(&self, ask: &Ask, transport: Transport, out: &mut Vec<u8>) {
        self.shared.tally.refused.add();
        self.only(ask, ResponseCode::Refused, transport, out);
    }

    fn only(&self, ask: &Ask, code: ResponseCode, transport: Transport, out: &mut Vec<u8>) {
        let reply = Reply::bare(&ask.client, Some(&ask.query), code);
        reply.encode(ask.client.limit(transport), out);
    }
}
