//! Compiles the proto files with protox, so that no `protoc` is needed.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 9] = [
    "postern/v1/common.proto",
    "postern/v1/network.proto",
    "postern/v1/sandbox.proto",
    "postern/v1/endpoint.proto",
    "postern/v1/policy.proto",
    "postern/v1/flow.proto",
    "postern/v1/driver.proto",
    "postern/v1/event.proto",
    "postern/v1/system.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("postern.v1.bin"), prost::Message::encode_to_vec(&descriptors))?;
    // No transport: its `connect` constructor would collide with the RPC `Connect`.
    tonic_prost_build::configure()
        .build_transport(false)
        // Ordered maps: a request encodes to the same bytes every time, so that a retry
        // can be told from a different request.
        .btree_map(".")
        // Google's type is there already, with its conversions.
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(descriptors)?;
    Ok(())
}
