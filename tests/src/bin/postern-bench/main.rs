//! Measures the built daemon over its API, in namespaces of its own, and beside it what
//! does the same work elsewhere: `cargo xtask bench attach`, `dns`, `driver`, `policy`.

mod attach;
mod dns;
mod dnsperf;
mod netavark;
mod others;
mod policy;
mod row;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use row::Row;

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    bench: String,
    sizes: Vec<u32>,
    json: Option<PathBuf>,
    netavark: Option<PathBuf>,
    aardvark: Option<PathBuf>,
    /// Rows that another program has measured.
    beside: Option<PathBuf>,
}

fn wanted(args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut args = args.skip(1);
    let bench = args.next().ok_or("which benchmark: attach, dns, driver or policy?")?;
    let mut wanted = Wanted { bench, ..Wanted::default() };
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--sizes" => {
                let sizes = value
                    .split(',')
                    .filter(|size| !size.is_empty())
                    .map(str::parse)
                    .collect::<Result<_, _>>();
                wanted.sizes = sizes.map_err(|error| format!("--sizes {value}: {error}"))?;
            }
            "--json" => wanted.json = Some(value.into()),
            "--netavark" => wanted.netavark = Some(value.into()),
            "--aardvark" => wanted.aardvark = Some(value.into()),
            "--beside" => wanted.beside = Some(value.into()),
            _ => return Err(format!("{flag} is no flag of this program")),
        }
    }
    Ok(wanted)
}

fn measure(wanted: &Wanted) -> Result<Vec<Row>, String> {
    match wanted.bench.as_str() {
        "attach" => attach(wanted),
        "policy" => Ok(policy::measure(&wanted.sizes)),
        // Measured by a program that has the drivers' host in it.
        "driver" => beside(wanted),
        "dns" => Ok(dns::measure(wanted.aardvark.as_deref(), &wanted.sizes)),
        other => Err(format!("{other} is no benchmark of this program")),
    }
}

/// The rows that another program has measured.
fn beside(wanted: &Wanted) -> Result<Vec<Row>, String> {
    let rows = wanted.beside.as_ref().map(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        row::read(&text).ok_or_else(|| format!("{}: no rows", path.display()))
    });
    Ok(rows.transpose()?.unwrap_or_default())
}

fn attach(wanted: &Wanted) -> Result<Vec<Row>, String> {
    let mut rows = beside(wanted)?;
    for size in &wanted.sizes {
        println!("postern at {size} endpoints ...");
        rows.extend(attach::measure(*size));
    }
    if let Some(program) = &wanted.netavark {
        for size in netavark::SIZES {
            println!("netavark at {size} containers ...");
            rows.extend(netavark::measure(program, size));
        }
    }
    Ok(rows)
}

fn main() -> ExitCode {
    let measured = wanted(std::env::args()).and_then(|wanted| Ok((measure(&wanted)?, wanted)));
    let (rows, wanted) = match measured {
        Ok(measured) => measured,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    println!("\n{}", row::table(&rows));
    let Some(path) = wanted.json else { return ExitCode::SUCCESS };
    match std::fs::write(&path, row::json(&wanted.bench, &rows)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
