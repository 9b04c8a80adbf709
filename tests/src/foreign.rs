//! Things in the daemon's namespace that are somebody else's.

use crate::command::sh;

/// A bridge, a route and a table that no test and no daemon may touch.
#[derive(Debug)]
pub(crate) struct Foreign(String);

const TABLE: &str = "table inet foreign {
    set friends { type ipv4_addr; elements = { 198.51.100.7 }; }
    map ports { type inet_service : ipv4_addr; elements = { 9999 : 198.51.100.7 }; }
    chain watch { type filter hook forward priority 10; ip saddr @friends accept; }
}";

impl Foreign {
    /// Makes them in the calling thread's namespace.
    pub(crate) fn make() -> Self {
        sh("ip link add foreign0 type bridge");
        sh("ip link set foreign0 up alias somebody-else");
        sh("ip addr add 198.51.100.1/24 dev foreign0");
        sh("ip route add 203.0.113.0/24 via 198.51.100.254 dev foreign0");
        let file = "/run/foreign.nft";
        std::fs::write(file, TABLE).unwrap_or_else(|error| panic!("{file}: {error}"));
        sh("nft -f /run/foreign.nft");
        Self(Self::read())
    }

    fn read() -> String {
        let mut all = String::new();
        for line in [
            "ip -d link show foreign0",
            "ip -4 addr show dev foreign0",
            "ip route show 203.0.113.0/24",
            "nft list table inet foreign",
        ] {
            all.push_str(&sh(line));
        }
        // A bridge's timers run by themselves.
        let timer = |word: &str| word.contains('.') && word.parse::<f64>().is_ok();
        let words = all.split_whitespace().filter(|word| !timer(word));
        words.collect::<Vec<_>>().join(" ")
    }

    /// Asserts that they are as they were.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(Self::read(), self.0, "something of somebody else's was touched");
    }
}
