//! The drivers that are part of the daemon's binary, built by `build.rs` from
//! `drivers-wasm/` and loaded like any other.

/// Core modules with the component type, as `cargo build` leaves them.
pub(crate) const MODULES: [&[u8]; 4] = [
    include_bytes!(concat!(env!("OUT_DIR"), "/bridge.wasm")),
    include_bytes!(concat!(env!("OUT_DIR"), "/host.wasm")),
    include_bytes!(concat!(env!("OUT_DIR"), "/null.wasm")),
    include_bytes!(concat!(env!("OUT_DIR"), "/overlay.wasm")),
];
