//! The real kernel, in a host of its own for each test.

mod foreign;
mod host;
mod macvlan;
mod names;
mod namespaces;
mod ports;
mod reaping;
mod round_trip;
mod vxlan;
