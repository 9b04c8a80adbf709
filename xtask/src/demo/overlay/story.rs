//! What is shown, step by step, and what must come of each.

use std::time::Instant;

use crate::process::{Failure, Finished, sh};
use crate::report::Report;

use super::hosts::{Hosts, NAMES};

/// `db` accepts what `web` sends, and nobody else's.
const POLICY: &str = "\
name: store
spec:
  subject: {endpoints: {matchLabels: {role: db}}}
  directions: [DIRECTION_INGRESS]
  ingress:
    - peers: [{selector: {endpoints: {matchLabels: {role: web}}}}]
";

struct Teller<'a> {
    hosts: &'a mut Hosts,
    report: &'a mut Report,
}

/// Tells it all.
pub(super) fn tell(hosts: &mut Hosts, report: &mut Report) -> Result<(), Failure> {
    let mut teller = Teller { hosts, report };
    teller.start()?;
    teller.network()?;
    teller.traffic()?;
    teller.policy()?;
    teller.links()?;
    teller.etcd_away()?;
    teller.cut_off()?;
    teller.removal()
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn answers(done: &Finished, by: &str) -> bool {
    done.ok() && done.stdout.starts_with(&format!("hello from {by},"))
}

impl Teller<'_> {
    /// Runs a command of the command line on a host, which must succeed.
    fn does(&mut self, host: &str, line: &str, what: &str) -> Result<Finished, Failure> {
        self.report.command(host, &format!("postern {line}"));
        let done = self.hosts.postern(host, &words(line))?;
        self.report.check(what, done.ok(), &done.stderr);
        Ok(done)
    }

    /// The same, and shows what it printed.
    fn shows(&mut self, host: &str, line: &str, what: &str) -> Result<String, Failure> {
        self.report.command(host, &format!("postern {line}"));
        let done = self.hosts.postern(host, &words(line))?;
        self.report.output(&done.stdout);
        self.report.check(what, done.ok(), &done.stderr);
        Ok(done.stdout)
    }

    /// Waits until a command prints what is expected.
    fn comes(&mut self, host: &str, line: &str, expected: &str, what: &str) -> Result<(), Failure> {
        self.report.command(host, &format!("postern {line}"));
        let holds =
            |hosts: &Hosts| Ok(hosts.postern(host, &words(line))?.stdout.contains(expected));
        let in_time = self.hosts.until(holds)?;
        let done = self.hosts.postern(host, &words(line))?;
        self.report.check(what, in_time, &done.stdout);
        Ok(())
    }

    /// Whether a sandbox is answered, which it must be, or not be, before long.
    fn reaches(
        &mut self,
        (host, sandbox): (&str, &str),
        url: &str,
        by: Option<&str>,
        what: &str,
    ) -> Result<(), Failure> {
        self.report.command(&format!("{host}/{sandbox}"), &format!("fetch {url}"));
        let holds = |hosts: &Hosts| {
            let done = hosts.fetch(host, sandbox, url)?;
            Ok(by.map_or(!done.ok(), |by| answers(&done, by)))
        };
        let in_time = self.hosts.until(holds)?;
        let done = self.hosts.fetch(host, sandbox, url)?;
        self.report.output(&done.stdout);
        self.report.check(what, in_time, &format!("{}{}", done.stdout, done.stderr));
        Ok(())
    }

    fn address(&self, host: &str, endpoint: &str) -> Result<String, Failure> {
        let done = self.hosts.postern(host, &["endpoint", "inspect", endpoint])?;
        let text = done.stdout.split("\"ipv4Address\": \"").nth(1).unwrap_or_default();
        Ok(text.split(['/', '"']).next().unwrap_or_default().to_owned())
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.report.chapter("etcd, and three hosts that join a cluster by one option");
        self.report.command("underlay", "etcd");
        self.hosts.start_etcd()?;
        for host in NAMES {
            self.report.command(host, "posternd --cluster-endpoints http://192.0.2.254:2379");
            self.hosts.start_daemon(host)?;
        }
        self.comes("a", "status", "192.0.2.3", "`a` knows of the others")?;
        self.shows("a", "status", "and shows them").map(drop)
    }

    fn network(&mut self) -> Result<(), Failure> {
        self.report.chapter("A network that the hosts share");
        let line = "network create blue --driver overlay --subnet 10.50.0.0/24";
        self.does("a", line, "it is made on `a`")?;
        for host in ["b", "c"] {
            self.comes(host, "network ls", "blue", &format!("`{host}` has it, too"))?;
        }
        self.shows("c", "network ls", "with the scope `global`")?;
        self.report.command("b", "postern network create blue --driver overlay");
        let refused = self.hosts.postern("b", &words("network create blue --driver overlay"))?;
        self.report.output(&refused.stderr);
        let taken = !refused.ok() && refused.stderr.contains("already");
        self.report.check("its name is taken on every host", taken, &refused.stderr);
        for (host, sandbox) in [("a", "web"), ("b", "db"), ("c", "client")] {
            self.does(host, &format!("sandbox create {sandbox}"), "a sandbox")?;
            let line = format!("connect blue {sandbox} --label role={sandbox}");
            self.does(host, &line, "joins it")?;
        }
        Ok(())
    }

    fn traffic(&mut self) -> Result<(), Failure> {
        self.report.chapter("Who is where, and by name from host to host");
        self.comes("a", "network inspect blue", "client.blue", "`a` knows all endpoints")?;
        let shown = self.shows("a", "network inspect blue", "and where they are")?;
        let placed = shown.contains("\"host\": \"b\"") && shown.contains("192.0.2.3");
        self.report.check("with their hosts and where frames for them go", placed, &shown);
        self.hosts.serve("b", "db", 80)?;
        let address = self.address("b", "db.blue")?;
        self.comes("a", "exec web -- getent ahostsv4 db", &address, "`db` is known by its name")?;
        let url = format!("http://{address}/");
        for from in [("a", "web"), ("c", "client")] {
            self.reaches(from, &url, Some("db"), "and answers from another host")?;
        }
        for line in
            ["ip -n a -br link show type vxlan", "ip netns exec a bridge fdb show dst 192.0.2.2"]
        {
            self.report.command("a", line);
            let text = sh(line).unwrap_or_default();
            self.report.output(&text);
        }
        Ok(())
    }

    fn policy(&mut self) -> Result<(), Failure> {
        self.report.chapter("A policy, applied on one host and carried out on another");
        let url = format!("http://{}/", self.address("b", "db.blue")?);
        std::fs::write("/run/store.yaml", POLICY)
            .map_err(|error| Failure::during("/run/store.yaml", error))?;
        self.report.output(POLICY);
        self.does("c", "policy apply -f /run/store.yaml", "applied on `c`")?;
        self.comes("b", "policy ls", "store", "`b` has it, where `db` is")?;
        self.reaches(("c", "client"), &url, None, "`client` is not let in any more")?;
        self.reaches(("a", "web"), &url, Some("db"), "`web` is: its labels come by the cluster")?;
        self.shows("c", "explain client db tcp/80", "and `c` says why")?;
        self.does("a", "policy rm store", "deleted on `a`")?;
        self.reaches(("c", "client"), &url, Some("db"), "and gone everywhere")
    }

    fn links(&mut self) -> Result<(), Failure> {
        self.report.chapter("A link through what is shut, to another host");
        let line = "network create quiet --driver overlay --subnet 10.51.0.0/24 --icc=false";
        self.does("b", line, "neighbours are kept apart")?;
        self.comes("a", "network ls", "quiet", "`a` has it")?;
        self.does("a", "sandbox create shop", "a sandbox on `a`")?;
        self.does("a", "connect quiet shop", "joins it")?;
        self.does("b", "sandbox create stock", "a sandbox on `b`")?;
        self.does("b", "connect quiet stock --expose 5432", "joins it")?;
        self.hosts.serve("b", "stock", 5432)?;
        let url = format!("http://{}:5432/", self.address("b", "stock.quiet")?);
        self.comes("a", "network inspect quiet", "stock.quiet", "`a` knows it")?;
        self.reaches(("a", "shop"), &url, None, "there is no link")?;
        self.does("a", "link add shop stock:store", "a link")?;
        self.reaches(("a", "shop"), &url, Some("stock"), "the exposed port is open")?;
        self.does("a", "link rm shop store", "the link is taken back")?;
        self.reaches(("a", "shop"), &url, None, "and so is the way")
    }

    fn etcd_away(&mut self) -> Result<(), Failure> {
        self.report.chapter("etcd is killed: what runs goes on");
        let url = format!("http://{}/", self.address("b", "db.blue")?);
        self.report.command("underlay", "kill -9 $(pidof etcd)");
        self.hosts.kill_etcd();
        self.comes("a", "status", "not reached since", "`a` says so")?;
        self.reaches(("a", "web"), &url, Some("db"), "traffic goes on")?;
        self.does("a", "sandbox create second", "a sandbox needs no agreement")?;
        self.does("a", "connect blue second", "nor an address of the host's own block")?;
        self.report.command("a", "postern network create red --driver overlay");
        let begun = Instant::now();
        let refused = self.hosts.postern("a", &words("network create red --driver overlay"))?;
        self.report.output(&refused.stderr);
        let at_once = !refused.ok() && begun.elapsed().as_secs() < 2;
        self.report.check("a network that all share does, and fails at once", at_once, "");
        self.report.command("underlay", "etcd");
        self.hosts.start_etcd()?;
        self.comes(
            "c",
            "network inspect blue",
            "second.blue",
            "then the others know the newcomer",
        )?;
        self.reaches(("a", "second"), &url, Some("db"), "and let it in")
    }

    fn cut_off(&mut self) -> Result<(), Failure> {
        self.report.chapter("A host is cut off, and comes back");
        let url = format!("http://{}/", self.address("b", "db.blue")?);
        self.report.command("underlay", "ip link set to-b down");
        sh("ip link set to-b down")?;
        let gone = |hosts: &Hosts| {
            let shown = hosts.postern("a", &["network", "inspect", "blue"])?;
            Ok(shown.ok() && !shown.stdout.contains("db.blue"))
        };
        let in_time = self.hosts.until(gone)?;
        self.report.check("its endpoints leave when its lease is over", in_time, "");
        self.does("b", "sandbox create alone", "meanwhile it goes on")?;
        self.does("b", "connect blue alone", "with addresses that nobody else gives")?;
        self.report.command("underlay", "ip link set to-b up");
        sh("ip link set to-b up")?;
        self.comes("a", "network inspect blue", "alone.blue", "back, all it has is known")?;
        self.reaches(("a", "web"), &url, Some("db"), "and reached as before")?;
        for host in NAMES {
            let drift = self.hosts.postern(host, &["-o", "json", "drift"])?;
            self.report.command(host, "postern drift");
            let none = drift.ok() && !drift.stdout.contains("object");
            self.report.check("the kernel is as it should be", none, &drift.stdout);
        }
        Ok(())
    }

    fn removal(&mut self) -> Result<(), Failure> {
        self.report.chapter("Everything is removed");
        self.hosts.end_servers();
        self.report.command("a", "postern network rm blue");
        let used = self.hosts.postern("a", &["network", "rm", "blue"])?;
        self.report.output(&used.stderr);
        self.report.check("what is in use on some host stays", !used.ok(), "");
        for (host, line) in [
            ("a", "sandbox rm --force web second shop"),
            ("b", "sandbox rm --force db stock alone"),
            ("c", "sandbox rm --force client"),
        ] {
            self.does(host, line, "the sandboxes are gone")?;
        }
        let unused =
            |hosts: &Hosts| Ok(hosts.postern("a", &["network", "rm", "blue", "quiet"])?.ok());
        self.report.command("a", "postern network rm blue quiet");
        let in_time = self.hosts.until(unused)?;
        self.report.check("unused, they go", in_time, "");
        let gone = |hosts: &Hosts| {
            let shown = hosts.postern("c", &["network", "ls"])?;
            Ok(!shown.stdout.contains("blue") && !shown.stdout.contains("quiet"))
        };
        let in_time = self.hosts.until(gone)?;
        self.report.check("on every host", in_time, "");
        Ok(())
    }
}
