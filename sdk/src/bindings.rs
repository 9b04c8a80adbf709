//! Generated from `wit/driver.wit`.

wit_bindgen::generate!({
    path: "wit",
    world: "network-driver",
    pub_export_macro: true,
    default_bindings_module: "postern_sdk::bindings",
    additional_derives: [PartialEq, Eq],
    generate_unused_types: true,
});
