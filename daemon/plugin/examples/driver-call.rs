//! Times one call of the bridge driver, fresh instance included, and prints the row that
//! `cargo xtask bench attach` shows beside its own.

use std::error::Error;
use std::time::{Duration, Instant};

use postern_model::driver::{Context, EndpointView, NetworkView, SubnetView};
use postern_model::name::Labels;
use postern_model::port::{PortBinding, PortRange, Protocol};
use postern_plugin::{Compiler, DriverHost, HostOptions, Limits};

const WARM_UP: usize = 200;
const CALLS: usize = 2000;

fn network() -> Result<NetworkView, Box<dyn Error>> {
    let subnet = SubnetView { subnet: "10.1.0.0/24".parse()?, gateway: Some("10.1.0.1".parse()?) };
    Ok(NetworkView {
        id: "01932c07-a9d0-7000-8abc-0123456789ab".into(),
        name: "blue".into(),
        subnets: vec![subnet],
        internal: false,
        icc: true,
        mtu: 1500,
        mac: "02:00:5e:00:53:01".parse()?,
        labels: Labels::new(),
        options: Labels::new(),
        state: Vec::new(),
    })
}

fn endpoint() -> Result<EndpointView, Box<dyn Error>> {
    Ok(EndpointView {
        id: "01932c07-a9d0-7000-8abc-0123456789ac".into(),
        name: "web.blue".into(),
        addresses: vec!["10.1.0.2/24".parse()?],
        mac: "02:00:5e:00:53:02".parse()?,
        interface: "eth0".parse()?,
        bindings: vec![PortBinding {
            protocol: Protocol::Tcp,
            host_ip: "0.0.0.0".parse()?,
            host: PortRange::new(8080, 8080)?,
            target: "10.1.0.2".parse()?,
            target_first: 80,
        }],
        labels: Labels::new(),
        options: Labels::new(),
        state: Vec::new(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let state = tempfile::tempdir()?;
    let host = DriverHost::open(HostOptions {
        state: state.path().to_owned(),
        limits: Limits::default(),
        compiler: Compiler::InProcess,
    })?;
    host.load_built_in()?;
    let driver = host.driver("bridge").ok_or("there is no bridge driver")?;
    let (network, endpoint) = (network()?, endpoint()?);
    let context = Context { request_id: "bench".into(), now: 1_764_000_000_000, seed: 7 };
    let mut times: Vec<Duration> = Vec::with_capacity(CALLS);
    for call in 0..WARM_UP + CALLS {
        let begun = Instant::now();
        driver.endpoint(&context, &network, &endpoint)?;
        if call >= WARM_UP {
            times.push(begun.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: usize| times[CALLS * share / 100].as_secs_f64() * 1000.0;
    let row = [
        r#""bench":"attach","work":"driver call","subject":"postern","size":0"#.to_owned(),
        format!(r#""n":{CALLS},"p50_ms":{},"p95_ms":{}"#, at(50), at(95)),
    ];
    println!("[{{{}}}]", row.join(","));
    Ok(())
}
