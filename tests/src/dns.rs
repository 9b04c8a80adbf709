//! Questions for names, asked as programs in a sandbox ask them, and servers that answer.

use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::run;
use crate::netns::Netns;

/// What `dig` was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `NOERROR`, `NXDOMAIN` and the like; empty if nobody answered.
    pub status: String,
    /// The flags of the header.
    pub flags: Vec<String>,
    /// The data of the answer section, sorted.
    pub answers: Vec<String>,
    /// The lifetimes of the answer section, in seconds.
    pub ttls: Vec<u32>,
    /// The authority section, a line a record.
    pub authority: Vec<String>,
}

/// Asks the sandbox's resolver with `dig`; `question` is what follows its flags.
///
/// # Panics
/// `dig` is not installed.
pub fn dig(sandbox: &Netns, question: &str) -> Told {
    let line =
        format!("@127.0.0.11 +tries=1 +time=5 +noall +comments +answer +authority {question}");
    let words: Vec<&str> = line.split_whitespace().collect();
    let text = sandbox.enter(|| run("dig", &words)).stdout;
    read(&text)
}

/// Whether the resolver of the sandbox that a socket is in knows an address of a name of
/// one label: a question with one (RFC 1035 §4.1.2), waited for so long.
pub fn knows(socket: &UdpSocket, name: &str, patience: Duration) -> bool {
    let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    question.extend_from_slice(name.as_bytes());
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut answer = [0; 512];
    let told = socket
        .set_read_timeout(Some(patience))
        .and_then(|()| socket.send_to(&question, ("127.0.0.11", 53)))
        .and_then(|_| socket.recv(&mut answer));
    told.is_ok() && answer.get(6..8) == Some(&[0, 1])
}

fn read(text: &str) -> Told {
    let after = |mark: &str| {
        let rest = text.split(mark).nth(1).unwrap_or_default();
        rest.split([',', ';', '\n']).next().unwrap_or_default().trim().to_owned()
    };
    let section = |title: &str| -> Vec<Vec<String>> {
        let lines = text.split(title).nth(1).unwrap_or_default().lines().skip(1);
        let lines = lines.take_while(|line| !line.starts_with(';') && !line.trim().is_empty());
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let answer = section("ANSWER SECTION:");
    let data = |words: &Vec<String>| words.get(4..).unwrap_or_default().join(" ");
    let mut answers: Vec<String> = answer.iter().map(data).collect();
    answers.sort();
    Told {
        status: after("status: "),
        flags: after("flags: ").split_whitespace().map(str::to_owned).collect(),
        answers,
        ttls: answer.iter().filter_map(|words| words.get(1)?.parse().ok()).collect(),
        authority: section("AUTHORITY SECTION:").iter().map(|words| words.join(" ")).collect(),
    }
}

/// A `dnsmasq` that answers for itself; it is killed when dropped.
#[derive(Debug)]
pub struct Dnsmasq {
    child: Child,
    queries: PathBuf,
}

impl Dnsmasq {
    /// Serves at an address inside a namespace. `config` is words of its command line, as
    /// `--host-record=www.example.test,192.0.2.80`.
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    pub fn start(netns: &Netns, address: &str, config: &[&str]) -> Self {
        let queries = PathBuf::from(format!("/run/dnsmasq-{address}.log"));
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
        ]);
        command.args(["--bind-interfaces", "--user=root", "--group=root", "--pid-file="]);
        command.args(["--log-queries", "--cache-size=0"]).args(config);
        command.arg(format!("--log-facility={}", queries.display()));
        command.arg(format!("--listen-address={address}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = netns.enter(|| command.spawn());
        let child = child.unwrap_or_else(|error| panic!("dnsmasq: {error}"));
        let server = Self { child, queries };
        let begun = Instant::now();
        while !server.log().contains("started") {
            assert!(begun.elapsed() < Duration::from_secs(10), "dnsmasq: {}", server.log());
            thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.queries).unwrap_or_default()
    }

    /// How often it was asked for a name.
    pub fn asked(&self, name: &str) -> usize {
        let question = format!("] {name} from ");
        self.log().lines().filter(|line| line.contains(&question)).count()
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        // Both fail only for a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dig_prints() {
        let text = ";; ->>HEADER<<- opcode: QUERY, status: NXDOMAIN, id: 1\n\
                    ;; flags: qr rd ra; QUERY: 1, ANSWER: 2\n\n\
                    ;; ANSWER SECTION:\n\
                    b. 1 IN A 10.0.0.2\na. 5 IN SRV 0 0 80 b.\n\n\
                    ;; AUTHORITY SECTION:\ntest. 60 IN SOA a. b. 1 2 3 4 5\n";
        let told = read(text);
        assert_eq!((told.status.as_str(), told.ttls), ("NXDOMAIN", vec![1, 5]));
        assert_eq!(told.answers, ["0 0 80 b.", "10.0.0.2"]);
        assert_eq!(told.flags, ["qr", "rd", "ra"]);
        assert_eq!(told.authority, ["test. 60 IN SOA a. b. 1 2 3 4 5"]);
        assert_eq!(read(";; no servers could be reached").status, "");
    }
}
