//! Measures the built daemon over its API, in namespaces of its own, and beside it what
//! does the same work elsewhere: `cargo xtask bench attach`.

mod attach;
mod netavark;
mod row;

use std::path::PathBuf;
use std::process::ExitCode;

use row::Row;

/// What the command line asks for.
#[derive(Debug, Default)]
struct Wanted {
    endpoints: Vec<u32>,
    json: Option<PathBuf>,
    netavark: Option<PathBuf>,
    /// Rows that another program has measured.
    beside: Option<PathBuf>,
}

fn wanted(args: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let mut wanted = Wanted::default();
    let mut args = args.skip(1);
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--endpoints" => {
                let sizes = value.split(',').map(str::parse).collect::<Result<_, _>>();
                wanted.endpoints =
                    sizes.map_err(|error| format!("--endpoints {value}: {error}"))?;
            }
            "--json" => wanted.json = Some(value.into()),
            "--netavark" => wanted.netavark = Some(value.into()),
            "--beside" => wanted.beside = Some(value.into()),
            _ => return Err(format!("{flag} is no flag of this program")),
        }
    }
    Ok(wanted)
}

fn main() -> ExitCode {
    let wanted = match wanted(std::env::args()) {
        Ok(wanted) => wanted,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    let beside = wanted.beside.as_ref().map(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        row::read(&text).ok_or_else(|| format!("{}: no rows", path.display()))
    });
    let mut rows: Vec<Row> = match beside.transpose() {
        Ok(rows) => rows.unwrap_or_default(),
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    for size in &wanted.endpoints {
        println!("postern at {size} endpoints ...");
        rows.extend(attach::measure(*size));
    }
    if let Some(program) = &wanted.netavark {
        for size in netavark::SIZES {
            println!("netavark at {size} containers ...");
            rows.extend(netavark::measure(program, size));
        }
    }
    println!("\n{}", row::table(&rows));
    let Some(path) = wanted.json else { return ExitCode::SUCCESS };
    match std::fs::write(&path, row::json(&rows)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
