//! What was asked of the daemon, and what it came to in one run.

use crate::row::Row;
use crate::{attach, cni, docker, netavark};

/// A figure that is to be reached.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) what: String,
    /// In words: `≥ 10 ×`.
    pub(crate) asked: String,
    /// The same, of what was measured; none if it was not.
    pub(crate) reached: Option<String>,
    pub(crate) is_reached: Option<bool>,
}

impl Target {
    fn at_least(what: impl Into<String>, least: f64, unit: &str, found: Option<f64>) -> Self {
        Self::of(what.into(), '≥', least, unit, found, |found| found >= least)
    }

    fn at_most(what: impl Into<String>, most: f64, unit: &str, found: Option<f64>) -> Self {
        Self::of(what.into(), '≤', most, unit, found, |found| found <= most)
    }

    fn of(
        what: String,
        sign: char,
        bound: f64,
        unit: &str,
        found: Option<f64>,
        holds: impl Fn(f64) -> bool,
    ) -> Self {
        let shown = |value: f64| match value {
            value if value >= 100.0 => format!("{value:.0} {unit}"),
            value if value >= 10.0 => format!("{value:.1} {unit}"),
            value => format!("{value:.3} {unit}"),
        };
        Self {
            what,
            asked: format!("{sign} {bound} {unit}"),
            reached: found.map(shown),
            is_reached: found.map(holds),
        }
    }
}

/// The rows of one run.
struct Run<'a>(&'a [Row]);

impl Run<'_> {
    fn row(&self, work: &str, subject: &str, size: u32) -> Option<&Row> {
        let same = |row: &&Row| row.work == work && row.subject == subject && row.size == size;
        self.0.iter().find(same)
    }

    fn sizes(&self, work: &str) -> Option<(u32, u32)> {
        let ours = self.0.iter().filter(|row| row.work == work && row.subject == attach::SUBJECT);
        let sizes: Vec<u32> = ours.map(|row| row.size).collect();
        Some((*sizes.iter().min()?, *sizes.iter().max()?))
    }

    /// The median of another's work against ours, where least is there.
    fn against(&self, work: &str, subject: &str, size: u32) -> Option<f64> {
        let (least, _) = self.sizes(work)?;
        let ours = self.row(work, attach::SUBJECT, least)?.p50?;
        Some(self.row(work, subject, size)?.p50? / ours)
    }

    /// How much the median grows from where least is there to where most is.
    fn growth(&self, work: &str) -> Option<f64> {
        let (least, most) = self.sizes(work)?;
        let most = self.row(work, attach::SUBJECT, most)?.p50?;
        Some(most / self.row(work, attach::SUBJECT, least)?.p50?)
    }

    /// Of the row where least is there.
    fn least<T>(&self, work: &str, value: impl Fn(&Row) -> Option<T>) -> Option<T> {
        value(self.row(work, attach::SUBJECT, self.sizes(work)?.0)?)
    }
}

/// Every figure that is asked for.
pub(crate) fn targets(rows: &[Row]) -> Vec<Target> {
    let run = Run(rows);
    let mut all = Vec::new();
    for work in ["connect 1 port", "disconnect 1 port"] {
        for (subject, size, least) in [
            (docker::SUBJECT, docker::SIZE, 10.0),
            (netavark::SUBJECT, netavark::SIZES[0], 10.0),
            (cni::SUBJECT, cni::SIZES[0], 30.0),
        ] {
            let found = run.against(work, subject, size);
            all.push(Target::at_least(format!("{work}: {subject}, against us"), least, "×", found));
        }
        let found = run.growth(work);
        all.push(Target::at_most(
            format!("{work}: the most endpoints against 10"),
            1.2,
            "×",
            found,
        ));
    }
    for work in ["connect, 16 at a time", "disconnect, 16 at a time"] {
        let found = run.least(work, |row| row.qps);
        all.push(Target::at_least(format!("1,000 endpoints: {work}"), 300.0, "/s", found));
    }
    for (work, least) in
        [("connect 1000 ports", 1000.0), ("create network", 20.0), ("delete network", 20.0)]
    {
        let found = run.against(work, docker::SUBJECT, docker::SIZE);
        all.push(Target::at_least(format!("{work}: docker, against us"), least, "×", found));
    }
    for work in [
        "packet to a published port",
        "packet between neighbours",
        "connection to a published port",
    ] {
        let found = run.growth(work);
        all.push(Target::at_most(format!("{work}: 4,000 endpoints against 10"), 1.05, "×", found));
    }
    let work = "start after a crash: serving";
    all.push(Target::at_most(work, 1000.0, "ms", run.least(work, |row| row.p50)));
    let work = "packets lost over 5 crashes";
    let lost = run.least(work, |row| row.lost);
    all.push(Target::at_most(work, 0.0, "packets", lost.map(|lost| lost as f64)));
    let work = "flushed ruleset: back";
    all.push(Target::at_most(work, 100.0, "ms", run.least(work, |row| row.p50)));
    let most = run.sizes("reached from another host").map(|(_, most)| most);
    let newcomer =
        most.and_then(|size| run.row("reached from another host", attach::SUBJECT, size));
    let what = "a newcomer is reached from another host, p99";
    all.push(Target::at_most(what, 50.0, "ms", newcomer.and_then(|row| row.p99)));
    for work in ["connect to a shared network", "reached from another host"] {
        let what = format!("{work}: the most endpoints against the least");
        all.push(Target::at_most(what, 1.2, "×", run.growth(work)));
    }
    let bare = |work: &str, value: fn(&Row) -> Option<f64>| {
        let ours = value(run.row(work, attach::SUBJECT, 2)?)?;
        Some((ours, value(run.row(work, "bare VXLAN", 2)?)?))
    };
    let found = bare("packet between hosts", |row| row.p50).map(|(ours, bare)| ours / bare);
    all.push(Target::at_most("packet between hosts, against a bare VXLAN link", 1.1, "×", found));
    let found = bare("MiB between hosts", |row| row.qps).map(|(ours, bare)| bare / ours);
    all.push(Target::at_most(
        "bytes between hosts: a bare VXLAN link's, against ours",
        1.1,
        "×",
        found,
    ));
    let mib = |row: &Row| Some(row.rss_kib? / 1024.0);
    all.push(Target::at_most("memory at rest", 64.0, "MiB", run.least("resident at rest", mib)));
    let most = run.sizes("resident per endpoint").map(|(_, most)| most);
    let each = most.and_then(|size| run.row("resident per endpoint", attach::SUBJECT, size));
    let found = each.and_then(|row| row.rss_kib);
    all.push(Target::at_most("memory of an endpoint", 24.0, "KiB", found));
    all
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn figures_are_compared_where_they_belong() {
        let row = |subject: &'static str, size, millis| {
            let times = vec![Duration::from_millis(millis)];
            Row::of_times("connect 1 port", subject, size, times)
        };
        let rows = [
            row(attach::SUBJECT, 10, 2),
            row(attach::SUBJECT, 5000, 3),
            row(docker::SUBJECT, docker::SIZE, 50),
        ];
        let all = targets(&rows);
        let of = |what: &str| all.iter().find(|one| one.what.starts_with(what)).unwrap();
        let docker = of("connect 1 port: docker");
        assert_eq!(docker.reached.as_deref(), Some("25.0 ×"));
        assert_eq!(docker.is_reached, Some(true));
        let growth = of("connect 1 port: the most");
        assert_eq!((growth.reached.as_deref(), growth.is_reached), (Some("1.500 ×"), Some(false)));
        assert_eq!(of("memory at rest").is_reached, None);
    }
}
