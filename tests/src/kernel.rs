//! What the kernel holds, read by iproute2 and nft: by other eyes than the daemon's.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::command::{run, sh};

/// What the daemon's links carry as alias before the owner.
const MARK: &str = "postern:";
/// The link group of links that are out of service and wait to be deleted.
const REAPED: &str = "20561";

/// A link of the calling thread's namespace that carries the daemon's mark.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnLink {
    /// Its owner: `network/<uid>` or `endpoint/<uid>`.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// The bridge it is a port of.
    pub master: String,
    /// Bytes.
    pub mtu: u64,
    /// Its MAC.
    pub mac: String,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// The daemon's links in the calling thread's namespace, without those that are out of service.
pub(crate) fn own_links() -> BTreeSet<OwnLink> {
    let listing = sh("ip -j link show");
    let links: Value = serde_json::from_str(&listing).unwrap_or_default();
    let links = links.as_array().cloned().unwrap_or_default();
    let ours = links.iter().filter(|link| text(link, "group") != REAPED);
    ours.filter_map(|link| {
        let alias = text(link, "ifalias");
        let owner = alias.strip_prefix(MARK)?.to_owned();
        let (name, master) = (text(link, "ifname"), text(link, "master"));
        let mtu = link["mtu"].as_u64().unwrap_or_default();
        Some(OwnLink { owner, name, master, mtu, mac: text(link, "address") })
    })
    .collect()
}

/// Both of the daemon's tables without counters; empty where there are none.
pub(crate) fn own_tables() -> String {
    ["inet", "bridge"]
        .map(|family| run("nft", &["-s", "list", "table", family, "postern"]).stdout)
        .concat()
}

/// The elements of one of the daemon's sets or maps, as nft prints them.
pub(crate) fn own_elements(family: &str, kind: &str, name: &str) -> BTreeSet<String> {
    let listing = sh(&format!("nft -s list {kind} {family} postern {name}"));
    let Some((_, rest)) = listing.split_once("elements = {") else { return BTreeSet::new() };
    let inside = rest.split('}').next().unwrap_or_default();
    inside.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

/// The namespaces pinned below the daemon's run directory.
pub(crate) fn pinned(run_dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(run_dir.join("netns")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Everything that a refused call must leave as it was.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub(crate) networks: Vec<postern_proto::v1::Network>,
    pub(crate) sandboxes: Vec<postern_proto::v1::Sandbox>,
    pub(crate) endpoints: Vec<postern_proto::v1::Endpoint>,
    pub(crate) links: BTreeSet<OwnLink>,
    pub(crate) tables: Vec<String>,
    pub(crate) addresses: Vec<String>,
    pub(crate) pinned: BTreeSet<String>,
}

impl Snapshot {
    /// The words of a listing, sorted: a hash set has no order of its own.
    pub(crate) fn words(listing: &str) -> Vec<String> {
        let split = listing.split(|c: char| c.is_whitespace() || c == ',');
        let mut words: Vec<String> = split.map(str::to_owned).collect();
        words.sort_unstable();
        words
    }

    /// The addresses of the calling thread's namespace.
    pub(crate) fn read_addresses() -> Vec<String> {
        let listing = sh("ip -o addr show scope global");
        // The last words are lifetimes.
        let short = listing.lines().map(|line| line.split_whitespace().skip(1).take(3));
        short.map(|words| words.collect::<Vec<_>>().join(" ")).collect()
    }
}
