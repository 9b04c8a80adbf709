//! The compiler against an oracle that shares no code with it: over the truth table of
//! known cases, and over generated topologies.

mod cases;
mod generated;
mod kernel;
mod lints;
mod named;
mod oracle;
mod verdicts;
mod world;
