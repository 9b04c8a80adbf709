//! The policy compiler: from policies over labels to elements of hash maps.
//!
//! Every joined endpoint's address has an *identity*, which it shares with all that no
//! rule tells from it. For each address and direction that a policy speaks of, the
//! policies' rules become the fewest entries that say the same: by the identity of the
//! other end and what is used, from the particular to the general.

mod class;
mod compiler;
mod counters;
mod elements;
mod explain;
mod impact;
mod judge;
mod line;
mod lint;
mod member;
mod named;
mod pieces;
mod ranges;
mod relevance;
mod verdict;

pub use class::{Class, EndpointClass, GATEWAY, HOST, Identity, NamedPort, WORLD};
pub use compiler::{Compiler, Delta};
pub use counters::Counter;
pub use explain::{Came, Explanation, Looked};
pub use impact::{Impact, PairChange, impact};
pub use judge::{Default, Flow, INTERNAL, Judgement, Party, Said, UNPUBLISHED};
pub use line::{Cause, Outcome};
pub use lint::{Lint, LintKind};
pub use named::{Answer, NameLimits, Resolution};

#[cfg(test)]
mod tests;
