//! Drivers over gRPC.

use postern_model::intent::InstallDriver;
use postern_model::intent::Mutation;
use postern_model::refusal::{Class, Refusal};
use postern_proto::v1;
use postern_proto::v1::install_driver_request::Part;
use tonic::{Request, Response, Status, Streaming};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// Bytes of a module that are read at all, whatever the limit on modules.
const MODULE_MAX: usize = 64 << 20;

/// The service over a backend.
#[derive(Debug, Clone)]
pub(crate) struct Drivers<B>(pub(crate) B);

/// Puts the pieces of a module together.
async fn received(
    mut parts: Streaming<v1::InstallDriverRequest>,
) -> Result<Mutation<InstallDriver>, Status> {
    let wrong = |field: &str, what: &str| status(Refusal::field(field, what));
    let (mut header, mut module) = (None, Vec::new());
    while let Some(part) = parts.message().await? {
        match part.part {
            Some(Part::Header(given)) if header.is_none() => header = Some(given),
            Some(Part::Header(_)) => return Err(wrong("header", "is there twice")),
            Some(Part::Chunk(_)) if header.is_none() => {
                return Err(wrong("header", "must come before the module"));
            }
            Some(Part::Chunk(piece)) => module.extend_from_slice(&piece),
            None => return Err(wrong("part", "is needed")),
        }
        if module.len() > MODULE_MAX {
            let text = format!("a module has at most {MODULE_MAX} bytes");
            return Err(status(Refusal::new(Class::Invalid, "MODULE_TOO_LARGE", text).at("chunk")));
        }
    }
    let header = header.ok_or_else(|| wrong("header", "is needed"))?;
    convert::install_driver(header, module).map_err(status)
}

#[tonic::async_trait]
impl<B: Backend> v1::driver_service_server::DriverService for Drivers<B> {
    async fn install(
        &self,
        request: Request<Streaming<v1::InstallDriverRequest>>,
    ) -> Result<Response<v1::InstallDriverResponse>, Status> {
        let intent = received(request.into_inner()).await?;
        let outcome = self.0.install_driver(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(convert::installed(object, plan)))
    }

    async fn get(
        &self,
        request: Request<v1::GetDriverRequest>,
    ) -> Result<Response<v1::GetDriverResponse>, Status> {
        let v1::GetDriverRequest { driver } = request.into_inner();
        let reference = convert::reference("driver", &driver).map_err(status)?;
        let facts = self.0.get_driver(&reference).map_err(status)?;
        Ok(Response::new(v1::GetDriverResponse { driver: Some(convert::driver(facts)) }))
    }

    async fn list(
        &self,
        _: Request<v1::ListDriversRequest>,
    ) -> Result<Response<v1::ListDriversResponse>, Status> {
        let drivers = self.0.list_drivers().into_iter().map(convert::driver).collect();
        Ok(Response::new(v1::ListDriversResponse { drivers }))
    }

    async fn enable(
        &self,
        request: Request<v1::EnableDriverRequest>,
    ) -> Result<Response<v1::EnableDriverResponse>, Status> {
        let intent = convert::enable_driver(request.into_inner()).map_err(status)?;
        let outcome = self.0.enable_driver(intent).await.map_err(status)?;
        let driver = Some(convert::driver(outcome.object.driver));
        Ok(Response::new(v1::EnableDriverResponse { driver }))
    }

    async fn disable(
        &self,
        request: Request<v1::DisableDriverRequest>,
    ) -> Result<Response<v1::DisableDriverResponse>, Status> {
        let intent = convert::disable_driver(request.into_inner()).map_err(status)?;
        let outcome = self.0.enable_driver(intent).await.map_err(status)?;
        let driver = Some(convert::driver(outcome.object.driver));
        Ok(Response::new(v1::DisableDriverResponse { driver }))
    }

    async fn grant(
        &self,
        request: Request<v1::GrantDriverRequest>,
    ) -> Result<Response<v1::GrantDriverResponse>, Status> {
        let intent = convert::grant_driver(request.into_inner()).map_err(status)?;
        let outcome = self.0.grant_driver(intent).await.map_err(status)?;
        let v1::InstallDriverResponse { driver, missing, .. } =
            convert::installed(outcome.object, None);
        Ok(Response::new(v1::GrantDriverResponse { driver, missing }))
    }

    async fn remove(
        &self,
        request: Request<v1::RemoveDriverRequest>,
    ) -> Result<Response<v1::RemoveDriverResponse>, Status> {
        let intent = convert::remove_driver(request.into_inner()).map_err(status)?;
        self.0.remove_driver(intent).await.map_err(status)?;
        Ok(Response::new(v1::RemoveDriverResponse {}))
    }
}
