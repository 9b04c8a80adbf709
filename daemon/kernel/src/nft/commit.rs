//! Group commit: concurrent calls share one transaction.
//!
//! A namespace has one lock for all changes of its rulesets, and a transaction costs more
//! than an element in it. So one thread takes whatever has been asked for meanwhile and
//! commits it all at once; only if that fails is each call tried alone, and hears of its
//! own failure.

use std::sync::mpsc::{Receiver, SyncSender};
use std::{io, thread};

use nftables::schema::Nftables;
use tokio::sync::oneshot;

use super::batch::{Changes, transact};
use super::error::NftError;
use super::script;
use super::socket::NetfilterSocket;

/// A group is closed when it takes this many bytes to say: about 50,000 elements.
const GROUP_LIMIT: usize = 4 << 20;

/// What the committing thread is asked for.
pub(super) enum Job {
    /// A call's changes.
    Commit(Call),
    /// A ruleset for `nft`, with what it needs and what needs it.
    Script(Box<Script>),
}

pub(super) struct Call {
    pub(super) changes: Changes,
    pub(super) reply: oneshot::Sender<Result<(), NftError>>,
}

pub(super) struct Script {
    pub(super) first: Changes,
    pub(super) ruleset: Nftables<'static>,
    pub(super) then: Changes,
    pub(super) reply: SyncSender<Result<(), NftError>>,
}

/// Starts the thread; it ends when nobody can ask it any more. It stays in the namespace
/// of the thread that starts it.
pub(super) fn start(mut socket: NetfilterSocket, jobs: Receiver<Job>) -> io::Result<()> {
    let work = move || {
        while let Ok(job) = jobs.recv() {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                next = take(&mut socket, &jobs, job);
            }
        }
    };
    thread::Builder::new().name("nft-commit".to_owned()).spawn(work).map(drop)
}

/// Does one job and all that can be done with it; returns one that could not.
fn take(socket: &mut NetfilterSocket, jobs: &Receiver<Job>, job: Job) -> Option<Job> {
    let call = match job {
        Job::Commit(call) => call,
        Job::Script(script) => {
            let result = run(socket, &script);
            // Whoever asked may have gone; the tables are as they are either way.
            drop(script.reply.send(result));
            return None;
        }
    };
    let mut length = call.changes.length();
    let mut group = vec![call];
    let mut next = None;
    while length < GROUP_LIMIT && next.is_none() {
        match jobs.try_recv() {
            Ok(Job::Commit(call)) => {
                length += call.changes.length();
                group.push(call);
            }
            Ok(other) => next = Some(other),
            Err(_) => break,
        }
    }
    commit(socket, group);
    next
}

fn run(socket: &mut NetfilterSocket, script: &Script) -> Result<(), NftError> {
    transact(socket, &[&script.first])?;
    script::run(&script.ruleset)?;
    transact(socket, &[&script.then])
}

fn commit(socket: &mut NetfilterSocket, mut group: Vec<Call>) {
    let all: Vec<&Changes> = group.iter().map(|call| &call.changes).collect();
    match transact(socket, &all) {
        Ok(()) => group.into_iter().for_each(|call| reply(call, Ok(()))),
        Err(error) if group.len() == 1 => {
            if let Some(call) = group.pop() {
                reply(call, Err(error));
            }
        }
        Err(_) => {
            for call in group {
                let result = transact(socket, &[&call.changes]);
                reply(call, result);
            }
        }
    }
}

fn reply(call: Call, result: Result<(), NftError>) {
    // Whoever asked may have gone; the sets are as they are either way.
    drop(call.reply.send(result));
}
