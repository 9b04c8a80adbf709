//! Measures the built daemon over its API, in namespaces of its own, and beside it what
//! does the same work elsewhere: `cargo xtask bench`.

mod attach;
mod bare;
mod cni;
mod crowd;
mod dns;
mod dnsperf;
mod docker;
mod gateway;
mod netavark;
mod others;
mod outage;
mod overlay;
mod plot;
mod policy;
mod report;
mod row;
mod stage;
mod targets;
mod traffic;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use row::Row;

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    bench: String,
    sizes: Vec<u32>,
    json: Option<PathBuf>,
    /// A folder for a page of the documentation.
    docs: Option<PathBuf>,
    netavark: Option<PathBuf>,
    aardvark: Option<PathBuf>,
    /// A folder with Docker and the CNI plugins, as Debian's packages have them.
    peers: Option<PathBuf>,
    /// Rows of other programs: the driver's call alone, and the whole of the driver's.
    call: Option<PathBuf>,
    driver: Option<PathBuf>,
}

fn wanted(args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut args = args.skip(1);
    let bench = args.next().ok_or("which benchmark?")?;
    let mut wanted = Wanted { bench, ..Wanted::default() };
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let path = match flag.as_str() {
            "--sizes" => {
                let sizes = value
                    .split(',')
                    .filter(|size| !size.is_empty())
                    .map(str::parse)
                    .collect::<Result<_, _>>();
                wanted.sizes = sizes.map_err(|error| format!("--sizes {value}: {error}"))?;
                continue;
            }
            "--json" => &mut wanted.json,
            "--docs" => &mut wanted.docs,
            "--netavark" => &mut wanted.netavark,
            "--aardvark" => &mut wanted.aardvark,
            "--peers" => &mut wanted.peers,
            "--call" => &mut wanted.call,
            "--driver" => &mut wanted.driver,
            _ => return Err(format!("{flag} is no flag of this program")),
        };
        *path = Some(value.into());
    }
    Ok(wanted)
}

/// Every benchmark, in the order of the page, with its sizes where none are given.
const BENCHES: &[(&str, &[u32])] = &[
    ("attach", &[10, 1000, 5000]),
    ("gateway", &[10, 4000]),
    ("outage", &[1000]),
    ("policy", &[100, 1000, 5000]),
    ("dns", &[10, 5000]),
    ("overlay", &[30, 1000]),
    ("driver", &[]),
];

impl Wanted {
    fn measure(&self, bench: &str, usual: &[u32]) -> Result<Vec<Row>, String> {
        let sizes = if self.sizes.is_empty() { usual } else { &self.sizes };
        match bench {
            "attach" => self.attach(sizes),
            "gateway" => Ok(gateway::measure(sizes)),
            "outage" => Ok(outage::measure(sizes)),
            "policy" => Ok(policy::measure(sizes)),
            "overlay" => Ok(overlay::measure(sizes)),
            "dns" => Ok(dns::measure(self.aardvark.as_deref(), sizes)),
            // Measured by a program that has the drivers' host in it.
            _ => rows_of(self.driver.as_deref()),
        }
    }

    fn attach(&self, sizes: &[u32]) -> Result<Vec<Row>, String> {
        let mut rows = rows_of(self.call.as_deref())?;
        for size in sizes {
            println!("postern at {size} endpoints ...");
            rows.extend(attach::measure(*size));
        }
        for size in sizes {
            println!("bare pairs at {size} ...");
            rows.extend(bare::measure(*size));
        }
        if let Some(program) = &self.netavark {
            for size in netavark::SIZES {
                println!("netavark at {size} containers ...");
                rows.extend(netavark::measure(program, size));
            }
        }
        if let Some(root) = &self.peers {
            for size in cni::SIZES {
                println!("the CNI plugins at {size} containers ...");
                rows.extend(cni::measure(&root.join("usr/lib/cni"), size));
            }
            println!("docker at {} containers ...", docker::SIZE);
            rows.extend(docker::measure(root));
        }
        Ok(rows)
    }

    /// Beside what it was measured.
    fn versions(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(root) = &self.peers {
            all.push(report::version(&root.join("usr/sbin/dockerd"), &["--version"]));
            all.push(report::version(&root.join("usr/lib/cni/bridge"), &[]));
        }
        for program in [&self.netavark, &self.aardvark].into_iter().flatten() {
            all.push(report::version(program, &["--version"]));
        }
        all.push(report::version(Path::new("dnsmasq"), &["--version"]));
        all.retain(|text| !text.is_empty());
        all
    }
}

/// The rows that another program has measured.
fn rows_of(path: Option<&Path>) -> Result<Vec<Row>, String> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(path).unwrap_or_default();
    row::read(&text).ok_or_else(|| format!("{}: no rows", path.display()))
}

fn run(wanted: &Wanted) -> Result<(), String> {
    let all = wanted.bench == "all";
    let benches: Vec<_> = BENCHES.iter().filter(|(name, _)| all || *name == wanted.bench).collect();
    if benches.is_empty() {
        return Err(format!("{} is no benchmark of this program", wanted.bench));
    }
    let mut run = Vec::new();
    for (bench, sizes) in benches {
        let rows = wanted.measure(bench, sizes)?;
        println!("\n{}", row::table(&rows));
        run.push(((*bench).to_owned(), rows));
    }
    if let Some(path) = &wanted.json {
        let written = std::fs::write(path, row::json(&run));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    match &wanted.docs {
        Some(folder) => report::write(folder, &run, &wanted.versions()),
        None => Ok(()),
    }
}

fn main() -> ExitCode {
    match wanted(std::env::args()).and_then(|wanted| run(&wanted)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}
