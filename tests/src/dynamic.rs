//! A client that never saw the proto files: it asks the server for them.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use prost_types::FileDescriptorProto;
use serde_json::Value;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{FileDescriptorResponse, ServerReflectionRequest};

/// What the server's reflection service says.
#[derive(Debug, Clone)]
pub struct Reflection {
    channel: Channel,
    pool: DescriptorPool,
    services: Vec<String>,
}

impl Reflection {
    /// Reads every service with all the files it needs.
    ///
    /// # Errors
    /// The server has no reflection, or what it says does not hold together.
    pub async fn read(channel: Channel) -> Result<Self, Status> {
        let mut client = ServerReflectionClient::new(channel.clone());
        let list = MessageRequest::ListServices(String::new());
        let MessageResponse::ListServicesResponse(list) = ask(&mut client, list).await? else {
            return Err(Status::internal("no list of services"));
        };
        let services: Vec<String> = list.service.into_iter().map(|one| one.name).collect();
        let mut files: Vec<FileDescriptorProto> = Vec::new();
        for service in &services {
            let question = MessageRequest::FileContainingSymbol(service.clone());
            add_files(&mut client, question, &mut files).await?;
        }
        while let Some(missing) = missing(&files) {
            add_files(&mut client, MessageRequest::FileByFilename(missing), &mut files).await?;
        }
        let mut pool = DescriptorPool::new();
        pool.add_file_descriptor_protos(files)
            .map_err(|error| Status::internal(error.to_string()))?;
        Ok(Self { channel, pool, services })
    }

    /// The services, by full name.
    pub fn services(&self) -> &[String] {
        &self.services
    }

    /// The types.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// Calls a unary method with a request in proto3 JSON and returns the answer as the same.
    ///
    /// # Errors
    /// There is no such method, the request does not fit it, or the server refuses.
    pub async fn call(&self, service: &str, method: &str, request: Value) -> Result<Value, Status> {
        let unknown = || Status::unimplemented(format!("{service}/{method}"));
        let service = self.pool.get_service_by_name(service).ok_or_else(unknown)?;
        let found = service.methods().find(|one| one.name() == method).ok_or_else(unknown)?;
        let message = DynamicMessage::deserialize(found.input(), request)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let path = format!("/{}/{method}", service.full_name());
        let path = path.parse().map_err(|_| unknown())?;
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = client.unary(Request::new(message), path, Wire(found)).await?.into_inner();
        serde_json::to_value(&answer).map_err(|error| Status::internal(error.to_string()))
    }
}

async fn ask(
    client: &mut ServerReflectionClient<Channel>,
    question: MessageRequest,
) -> Result<MessageResponse, Status> {
    let request = ServerReflectionRequest { message_request: Some(question), ..Default::default() };
    let stream = tokio_stream::once(request);
    let mut answers = client.server_reflection_info(stream).await?.into_inner();
    let answer = answers.message().await?.and_then(|message| message.message_response);
    answer.ok_or_else(|| Status::internal("reflection gave no answer"))
}

async fn add_files(
    client: &mut ServerReflectionClient<Channel>,
    question: MessageRequest,
    files: &mut Vec<FileDescriptorProto>,
) -> Result<(), Status> {
    let answer = ask(client, question.clone()).await?;
    let MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }) =
        answer
    else {
        return Err(Status::not_found(format!("{question:?}: {answer:?}")));
    };
    for bytes in file_descriptor_proto {
        let file = FileDescriptorProto::decode(bytes.as_slice())
            .map_err(|error| Status::internal(error.to_string()))?;
        if !files.iter().any(|one| one.name() == file.name()) {
            files.push(file);
        }
    }
    Ok(())
}

/// A file that another one imports and that is not there yet.
fn missing(files: &[FileDescriptorProto]) -> Option<String> {
    let mut imports = files.iter().flat_map(|file| &file.dependency);
    imports.find(|import| !files.iter().any(|file| file.name() == import.as_str())).cloned()
}

struct Wire(MethodDescriptor);

impl Codec for Wire {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }

    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Wire {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, item: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for Wire {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let mut message = DynamicMessage::new(self.0.output());
        message.merge(buffer).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some(message))
    }
}
