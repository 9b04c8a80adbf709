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

use super::batch::Changes;
use super::error::NftError;
use super::owner::Owner;
use super::socket::NetfilterSocket;
use super::transact::transact;
use super::{dump, script};

/// A group is closed when it takes this many bytes to say: about 50,000 elements.
const GROUP_LIMIT: usize = 4 << 20;

/// What the committing thread is asked for.
pub(super) enum Job {
    /// A call's changes.
    Commit(Call),
    /// A ruleset for `nft`, with what it needs and what needs it.
    Script(Box<Script>),
    /// The end of the tables.
    Unload(SyncSender<Result<(), NftError>>),
}

pub(super) struct Call {
    pub(super) changes: Changes,
    pub(super) reply: oneshot::Sender<Result<(), NftError>>,
}

pub(super) struct Script {
    pub(super) first: Changes,
    pub(super) ruleset: Nftables<'static>,
    pub(super) then: Changes,
    /// Whether the tables are owned after it.
    pub(super) reply: SyncSender<Result<bool, NftError>>,
}

/// Starts the thread; it ends when nobody can ask it any more. It stays in the namespace
/// of the thread that starts it.
pub(super) fn start(mut owner: Owner, jobs: Receiver<Job>) -> io::Result<()> {
    let work = move || {
        while let Ok(job) = jobs.recv() {
            let mut next = Some(job);
            while let Some(job) = next.take() {
                next = take(&mut owner, &jobs, job);
            }
        }
    };
    thread::Builder::new().name("nft-commit".to_owned()).spawn(work).map(drop)
}

/// Does one job and all that can be done with it; returns one that could not.
fn take(owner: &mut Owner, jobs: &Receiver<Job>, job: Job) -> Option<Job> {
    let call = match job {
        Job::Commit(call) => call,
        Job::Script(script) => {
            let result = run(owner, &script);
            // Whoever asked may have gone; the tables are as they are either way.
            drop(script.reply.send(result));
            return None;
        }
        Job::Unload(reply) => {
            drop(reply.send(owner.release().and_then(|()| owner.delete())));
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
    commit(owner.socket(), group);
    next
}

fn run(owner: &mut Owner, script: &Script) -> Result<bool, NftError> {
    owner.release()?;
    let lasting = owner.declare()?;
    declare(owner, lasting, &script.first)?;
    let done = script::run(&script.ruleset);
    let done = done.and_then(|()| transact(owner.socket(), &[&script.then]));
    // Whatever became of it: nobody else is to change what is there.
    if lasting {
        owner.adopt()?;
    }
    done.map(|()| owner.owns())
}

/// Declares what a ruleset needs. Tables of another layout, which another version has left,
/// are made anew.
fn declare(owner: &mut Owner, lasting: bool, first: &Changes) -> Result<(), NftError> {
    let operation = "list the sets";
    let socket = owner.socket();
    let alike = dump::is_laid_out_alike(socket);
    if alike.map_err(|source| NftError::Socket { operation, source })? {
        match transact(socket, &[first]) {
            Err(error) if error.is_of_another_layout() => {}
            declared => return declared,
        }
    }
    tracing::warn!("tables of another layout are there, and are made anew");
    owner.replace(lasting, first)
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
