//! The `postern.v1` API, generated from `proto/proto/postern/v1/*.proto`.
//!
//! The proto files are the documentation of record; what stands here is their Rust form.

/// Messages, clients and servers of package `postern.v1`.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the proto files carry the comments"
)]
pub mod v1 {
    tonic::include_proto!("postern.v1");
}

/// The encoded `FileDescriptorSet` of the API and of all it imports, for reflection
/// and for clients that read messages by name.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/postern.v1.bin"));
