//! nftables and conntrack against the real kernel, each test in namespaces of its own.

mod datapath;
mod flows;
mod guard;
mod lab;
mod tables;
mod telling;
