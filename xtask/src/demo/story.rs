//! What the demo shows, step by step, and what must come of each.

use std::collections::BTreeSet;

use crate::process::{Failure, Finished, sh};
use crate::report::Report;

use super::stage::{HOST, OUTSIDE, Stage};

/// The command line split at white space.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// The stage and the report together: what is done is shown.
pub(super) struct Teller<'a> {
    pub(super) stage: &'a mut Stage,
    pub(super) report: &'a mut Report,
}

/// Tells it all.
pub(crate) fn tell(
    stage: &mut Stage,
    report: &mut Report,
    modules: &[Vec<u8>; 2],
) -> Result<(), Failure> {
    let mut teller = Teller { stage, report };
    teller.start()?;
    let before = marked()?;
    teller.networks()?;
    teller.traffic()?;
    teller.isolation()?;
    teller.links()?;
    teller.policies()?;
    teller.drivers(modules)?;
    teller.refusals()?;
    teller.dry_run()?;
    teller.crash()?;
    teller.kernel()?;
    teller.removal(&before)
}

impl Teller<'_> {
    /// Runs a command of the command line that must succeed.
    pub(super) fn does(&mut self, line: &str, what: &str) -> Result<Finished, Failure> {
        self.report.command("host", &format!("postern {line}"));
        let done = self.stage.postern(&words(line))?;
        self.report.check(what, done.ok(), &done.stderr);
        Ok(done)
    }

    /// The same, and shows what it printed.
    pub(super) fn shows(&mut self, line: &str, what: &str) -> Result<String, Failure> {
        self.report.command("host", &format!("postern {line}"));
        let done = self.stage.postern(&words(line))?;
        self.report.output(&done.stdout);
        self.report.check(what, done.ok(), &done.stderr);
        Ok(done.stdout)
    }

    pub(super) fn answered(&mut self, place: &str, url: &str, done: &Finished, by: &str) {
        self.report.command(place, &format!("fetch {url}"));
        self.report.output(&done.stdout);
        let right = done.ok() && done.stdout.starts_with(&format!("hello from {by},"));
        self.report.check(&format!("`{by}` answers"), right, &done.stderr);
    }

    pub(super) fn unanswered(&mut self, place: &str, url: &str, done: &Finished, why: &str) {
        self.report.command(place, &format!("fetch {url}"));
        self.report.check(&format!("no answer: {why}"), !done.ok(), &done.stdout);
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.report.chapter("The daemon starts");
        self.report.command("host", "posternd --state-dir /run/state --run-dir /run/postern");
        self.stage.start_daemon()?;
        self.shows("status", "it answers")?;
        self.shows("network ls", "the predefined networks are there")?;
        Ok(())
    }

    fn networks(&mut self) -> Result<(), Failure> {
        self.report.chapter("A network and two sandboxes");
        self.does("network create blue --subnet 10.20.0.0/24", "the network is in the kernel")?;
        self.does("sandbox create web", "a namespace is made")?;
        self.does("sandbox create client", "another one")?;
        self.does(
            "connect blue web --ip 10.20.0.10 -p 8080:80",
            "`web` is joined, port published",
        )?;
        self.does("connect blue client --ip 10.20.0.20", "`client` is joined")?;
        self.shows("endpoint ls", "both are listed")?;
        self.shows("exec client -- ip -br addr", "inside the sandbox one sees its interface")?;
        Ok(())
    }

    fn traffic(&mut self) -> Result<(), Failure> {
        self.report.chapter("A web server in `web`, asked from everywhere");
        self.stage.serve("web", 80)?;
        let inside = "http://10.20.0.10/";
        let done = self.stage.fetch_in("client", inside)?;
        self.answered("client", inside, &done, "web");
        let published = format!("http://{HOST}:8080/");
        let done = self.stage.fetch_outside(&published)?;
        self.answered("outside", &published, &done, "web");
        let seen = done.stdout.contains(&format!("asked by {OUTSIDE}"));
        self.report.check("it sees the caller's own address", seen, &done.stdout);
        let local = "http://127.0.0.1:8080/";
        let done = self.stage.fetch_here(local)?;
        self.answered("host", local, &done, "web");
        sh(&format!("ip -n outside route add 10.20.0.0/24 via {HOST}"))?;
        let done = self.stage.fetch_outside(inside)?;
        self.unanswered("outside", inside, &done, "port 80 itself is not published");
        self.does("endpoint update web.blue --publish-rm 80", "the port is taken back")?;
        let done = self.stage.fetch_outside(&published)?;
        self.unanswered("outside", &published, &done, "it is no longer published");
        self.does("endpoint update web.blue --publish-add 8080:80", "and published again")?;
        let done = self.stage.fetch_outside(&published)?;
        self.answered("outside", &published, &done, "web");
        Ok(())
    }

    fn isolation(&mut self) -> Result<(), Failure> {
        self.report.chapter("Neighbours that may not talk");
        let url = "http://10.30.0.10/";
        self.does("network create quiet --subnet 10.30.0.0/24 --icc=false", "icc is off")?;
        for (sandbox, address) in [("a", "10.30.0.10"), ("b", "10.30.0.20")] {
            self.does(&format!("sandbox create {sandbox}"), "a sandbox")?;
            self.does(&format!("connect quiet {sandbox} --ip {address}"), "joined")?;
        }
        self.stage.serve("a", 80)?;
        let done = self.stage.fetch_in("b", url)?;
        self.unanswered("b", url, &done, "icc is off");
        self.does("network update quiet --icc=true", "icc is on")?;
        let done = self.stage.fetch_in("b", url)?;
        self.answered("b", url, &done, "a");
        self.does("network update quiet --icc=false", "icc is off again")?;
        let done = self.stage.fetch_in("b", url)?;
        self.unanswered("b", url, &done, "icc is off");
        let done = self.stage.fetch_in("client", url)?;
        self.unanswered("client", url, &done, "networks are closed to each other");
        Ok(())
    }

    /// A linked pair on a network that keeps its neighbours apart.
    fn links(&mut self) -> Result<(), Failure> {
        self.report.chapter("Names, and a link through what is shut");
        for (sandbox, flags) in
            [("shop", "--ip 10.30.0.30"), ("db", "--ip 10.30.0.40 --expose 5432")]
        {
            self.does(&format!("sandbox create {sandbox}"), "a sandbox")?;
            self.does(&format!("connect quiet {sandbox} {flags}"), "joined")?;
        }
        self.stage.serve("db", 5432)?;
        self.stage.serve("db", 9999)?;
        self.resolves("shop", "db", "10.30.0.40")?;
        self.unreached("shop", "10.30.0.40:5432", "icc is off, and there is no link")?;
        self.does("link add shop db:store", "`shop` may reach what `db` exposes, as `store`")?;
        self.shows("link ls", "the link is live")?;
        self.resolves("shop", "store", "10.30.0.40")?;
        self.unresolved("a", "store", "only `shop` knows the alias")?;
        self.reached("shop", "10.30.0.40:5432", "db")?;
        self.unreached("shop", "10.30.0.40:9999", "port 9999 is not exposed")?;
        self.unreached("a", "10.30.0.40:5432", "nobody else has the link")?;
        self.shows("link env shop", "Docker's variables, on request")?;
        self.shows("exec shop -- cat /etc/hosts", "the hosts file knows it, too")?;
        self.does("sandbox rm --force db", "`db` is gone")?;
        self.unresolved("shop", "store", "the name went with it")?;
        self.does("sandbox create db", "`db` is made again")?;
        self.does("connect quiet db --ip 10.30.0.50 --expose 5432", "with another address")?;
        self.stage.serve("db", 5432)?;
        self.resolves("shop", "store", "10.30.0.50")?;
        self.reached("shop", "10.30.0.50:5432", "db")?;
        self.does("link rm shop store", "the link is taken back")?;
        self.unresolved("shop", "store", "the name is gone")?;
        self.unreached("shop", "10.30.0.50:5432", "and so is the way")
    }

    /// What the C library in a sandbox says of a name.
    fn looked_up(&mut self, sandbox: &str, name: &str) -> Result<Finished, Failure> {
        let line = format!("getent ahostsv4 {name}");
        self.report.command(sandbox, &line);
        self.stage.postern(&words(&format!("exec {sandbox} -- {line}")))
    }

    fn resolves(&mut self, sandbox: &str, name: &str, address: &str) -> Result<(), Failure> {
        let done = self.looked_up(sandbox, name)?;
        let right = done.ok() && done.stdout.starts_with(address);
        self.report.check(&format!("`{name}` is {address}"), right, &done.stdout);
        Ok(())
    }

    fn unresolved(&mut self, sandbox: &str, name: &str, why: &str) -> Result<(), Failure> {
        let done = self.looked_up(sandbox, name)?;
        self.report.check(&format!("no such name: {why}"), !done.ok(), &done.stdout);
        Ok(())
    }

    fn reached(&mut self, sandbox: &str, at: &str, by: &str) -> Result<(), Failure> {
        let url = format!("http://{at}/");
        let done = self.stage.fetch_in(sandbox, &url)?;
        self.answered(sandbox, &url, &done, by);
        Ok(())
    }

    fn unreached(&mut self, sandbox: &str, at: &str, why: &str) -> Result<(), Failure> {
        let url = format!("http://{at}/");
        let done = self.stage.fetch_in(sandbox, &url)?;
        self.unanswered(sandbox, &url, &done, why);
        Ok(())
    }

    fn refusals(&mut self) -> Result<(), Failure> {
        self.report.chapter("What is wrong is refused, with the field named");
        let before = marked()?;
        for (line, field) in [
            ("network create red --subnet 10.40.0.1/24", "spec.subnets[0].subnet"),
            ("network create red --subnet 10.20.0.0/16", "spec.subnets[0].subnet"),
            ("network create red --subnet 192.0.2.0/25", "spec.subnets[0].subnet"),
            ("network create red --mtu 90000", "spec.mtu"),
            ("network create red --driver no-such", "spec.driver"),
            ("network create red --opt colour=red", "spec.options[\"colour\"]"),
            ("network create bl/ue", "name"),
            ("connect blue b --ip 10.99.0.1", "spec.ipv4_address"),
            ("connect blue b --ip 10.20.0.10", "spec.ipv4_address"),
            ("connect blue b --interface sixteen-bytes-xy", "spec.interface_name"),
            ("connect blue b --mac-address 01:00:5e:00:00:01", "spec.mac_address"),
            ("connect blue b -p 8080:80", "spec.published_ports[0].host_port"),
            ("sandbox create c --link b:x --link a:x", "spec.links[1].alias"),
            ("link add b b:me", "link.source"),
            ("network rm bridge", ""),
            ("network rm blue", ""),
        ] {
            self.report.command("host", &format!("postern {line}"));
            let done = self.stage.postern(&words(line))?;
            self.report.output(&done.stderr);
            let named = done.code == Some(3) && done.stderr.contains(field);
            let what = if field.is_empty() { "refused" } else { "refused, the field is named" };
            self.report.check(what, named, &format!("ended with {:?}", done.code));
        }
        let after = marked()?;
        self.report.check("nothing in the kernel has changed", before == after, &after.join("\n"));
        Ok(())
    }

    fn dry_run(&mut self) -> Result<(), Failure> {
        self.report.chapter("What a call would do");
        let before = marked()?;
        self.shows("connect blue b -p 9090:90 --dry-run", "the plan is told")?;
        let after = marked()?;
        self.report.check("nothing in the kernel has changed", before == after, &after.join("\n"));
        Ok(())
    }

    fn crash(&mut self) -> Result<(), Failure> {
        self.report.chapter("The daemon is killed, traffic goes on");
        let published = format!("http://{HOST}:8080/");
        self.report.command("host", "kill -9 $(pidof posternd)");
        self.stage.kill_daemon();
        let done = self.stage.fetch_outside(&published)?;
        self.answered("outside", &published, &done, "web");
        self.report.command("host", "posternd");
        self.stage.start_daemon()?;
        self.shows("endpoint ls", "it is back with all it knew")?;
        let drift = self.stage.postern(&["-o", "json", "drift"])?;
        self.report.command("host", "postern drift");
        let none = drift.ok() && !drift.stdout.contains("object");
        self.report.check("the kernel is as it should be", none, &drift.stdout);
        let done = self.stage.fetch_outside(&published)?;
        self.answered("outside", &published, &done, "web");
        Ok(())
    }

    fn kernel(&mut self) -> Result<(), Failure> {
        self.report.chapter("What all this is in the kernel");
        for line in ["ip -br link", "nft list table inet postern", "nft list table bridge postern"]
        {
            self.report.command("host", line);
            let text = sh(line)?;
            self.report.output(&text);
            self.report.check("listed", !text.is_empty(), "");
        }
        Ok(())
    }

    fn removal(&mut self, before: &[String]) -> Result<(), Failure> {
        self.report.chapter("Everything is removed");
        self.stage.end_servers();
        self.does("disconnect blue client", "`client` has left")?;
        self.does("sandbox rm --force web client a b shop db", "the sandboxes are gone")?;
        self.does("network rm blue quiet", "the networks are gone")?;
        let after = marked()?;
        let left = after.join("\n");
        self.report.check(
            "links, elements and namespaces are those of the start",
            before == after,
            &left,
        );
        let stopped = self.stage.stop_daemon()?;
        self.report.check("the daemon stops cleanly", stopped, "");
        Ok(())
    }
}

/// What carries the daemon's mark in this namespace, sorted: links, elements, namespaces.
fn marked() -> Result<Vec<String>, Failure> {
    let mut found = BTreeSet::new();
    for block in sh("ip -o link show")?.lines() {
        // A link in group 20561 is out of service and waits to be deleted.
        if block.contains("alias postern:") && !block.contains("group 20561") {
            let name = block.split_whitespace().nth(1).unwrap_or_default();
            found.insert(format!("link {}", name.split('@').next().unwrap_or_default()));
        }
    }
    for family in ["inet", "bridge"] {
        let table = sh(&format!("nft -s list table {family} postern"))?;
        let elements = table.split("elements = {").skip(1);
        let elements = elements.filter_map(|rest| rest.split('}').next());
        let each = elements.flat_map(|inside| inside.split(',')).map(str::trim);
        found.extend(each.map(|element| format!("element {family} {element}")));
    }
    for entry in std::fs::read_dir("/run/postern/netns").into_iter().flatten().flatten() {
        found.insert(format!("namespace {}", entry.file_name().to_string_lossy()));
    }
    Ok(found.into_iter().collect())
}
