//! Operations at one time, and what they may have left.

use postern_tests::Api;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tonic::Status;

use super::model::{Model, Operation};

const AT_ONCE: usize = 5;
/// How often one is proposed that goes with the others.
const TRIES: usize = 16;

/// What an operation changes, or needs as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Network(u8),
    Sandbox(u8),
    Policy(u8),
}

impl Operation {
    const fn changes(self) -> Part {
        match self {
            Self::CreateNetwork(n) | Self::SetIcc(n, _) | Self::DeleteNetwork(n) => {
                Part::Network(n)
            }
            Self::CreateSandbox(s)
            | Self::Quarantine(s, _)
            | Self::DeleteSandbox(s)
            | Self::Connect(_, s, _)
            | Self::Disconnect(_, s)
            | Self::AddLink(s, _)
            | Self::RemoveLink(s, _) => Part::Sandbox(s),
            Self::Apply(p, _) | Self::DeletePolicy(p) => Part::Policy(p),
        }
    }

    const fn needs(self) -> Option<Part> {
        match self {
            Self::Connect(n, _, _) | Self::Disconnect(n, _) => Some(Part::Network(n)),
            Self::AddLink(_, to) | Self::RemoveLink(_, to) => Some(Part::Sandbox(to)),
            _ => None,
        }
    }

    /// Whether the two come to the same in either order.
    fn goes_with(self, other: Self) -> bool {
        let disturbs = |one: Self, other: Self| {
            one.changes() == other.changes() || Some(one.changes()) == other.needs()
        };
        !disturbs(self, other) && !disturbs(other, self)
    }
}

/// Some operations that can be done at one time, in whatever order.
pub(super) fn propose(model: &Model, rng: &mut StdRng) -> Vec<Operation> {
    let mut chosen: Vec<Operation> = Vec::new();
    let number = rng.random_range(1..=AT_ONCE);
    for _ in 0..TRIES {
        let next = model.propose(rng);
        if chosen.len() < number && chosen.iter().all(|other| other.goes_with(next)) {
            chosen.push(next);
        }
    }
    chosen
}

/// Asks for all of them at one time, and waits for every answer.
pub(super) async fn perform(
    api: Api,
    operations: Vec<Operation>,
) -> Vec<(Operation, Result<(), Status>)> {
    let mut calls = JoinSet::new();
    for operation in operations {
        let api = api.clone();
        calls.spawn(async move { (operation, operation.perform(&api).await) });
    }
    calls.join_all().await
}

impl Model {
    /// Whether operations of which nobody knows whether they were done may have left this:
    /// of each all or nothing.
    pub(super) fn may_become(&self, unknown: &[Operation], found: &Self) -> bool {
        let Some((first, rest)) = unknown.split_first() else { return self == found };
        let so_far = [self.clone(), self.after(first), self.partly_after(first, found)];
        so_far.iter().any(|model| model.may_become(rest, found))
    }
}
