//! Generated from `wit/driver.wit`.

wit_bindgen::generate!({
    path: "wit",
    world: "network-driver",
    pub_export_macro: true,
    default_bindings_module: "postern_sdk::bindings",
    additional_derives: [PartialEq, Eq],
    generate_unused_types: true,
});

/// What the second world has more than the first. The two are put together when a driver
/// exports both: generated as one, the first's macros would be there twice.
pub mod peers {
    wit_bindgen::generate!({
        inline: "package postern:sdk; world peers { export postern:driver/peers@0.1.0; }",
        path: "wit",
        world: "postern:sdk/peers",
        pub_export_macro: true,
        default_bindings_module: "postern_sdk::bindings::peers",
        additional_derives: [PartialEq, Eq],
        with: {
            "postern:driver/types@0.1.0": crate::bindings::postern::driver::types,
        },
    });
}
