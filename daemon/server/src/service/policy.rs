//! Policies over gRPC.

use postern_proto::v1;
use tonic::{Request, Response, Status};

use crate::backend::Backend;
use crate::convert;
use crate::status::status;

/// The service over a backend.
#[derive(Debug, Clone)]
pub(crate) struct Policies<B>(pub(crate) B);

fn count(flows: usize) -> u64 {
    u64::try_from(flows).unwrap_or(u64::MAX)
}

#[tonic::async_trait]
impl<B: Backend> v1::policy_service_server::PolicyService for Policies<B> {
    async fn apply(
        &self,
        request: Request<v1::ApplyPolicyRequest>,
    ) -> Result<Response<v1::ApplyPolicyResponse>, Status> {
        let intent = convert::apply_policy(request.into_inner()).map_err(status)?;
        let outcome = self.0.apply_policy(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(convert::applied(object, plan)))
    }

    async fn get(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let v1::GetPolicyRequest { policy } = request.into_inner();
        let reference = convert::reference("policy", &policy).map_err(status)?;
        let facts = self.0.get_policy(&reference).map_err(status)?;
        Ok(Response::new(v1::GetPolicyResponse { policy: Some(convert::policy(facts)) }))
    }

    async fn get_counters(
        &self,
        request: Request<v1::GetPolicyCountersRequest>,
    ) -> Result<Response<v1::GetPolicyCountersResponse>, Status> {
        let v1::GetPolicyCountersRequest { policy } = request.into_inner();
        let reference = convert::reference("policy", &policy).map_err(status)?;
        let counts = self.0.policy_counters(&reference).await.map_err(status)?;
        let counters = counts.into_iter().map(convert::rule_counter).collect();
        Ok(Response::new(v1::GetPolicyCountersResponse { counters }))
    }

    async fn list(
        &self,
        request: Request<v1::ListPoliciesRequest>,
    ) -> Result<Response<v1::ListPoliciesResponse>, Status> {
        let query = convert::list_policies(request.into_inner()).map_err(status)?;
        let (facts, next) = self.0.list_policies(&query).map_err(status)?;
        let policies = facts.into_iter().map(convert::policy).collect();
        let next_token = convert::next_token(next);
        Ok(Response::new(v1::ListPoliciesResponse { policies, next_token }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let intent = convert::explain_flow(request.into_inner()).map_err(status)?;
        let facts = self.0.explain(intent).await.map_err(status)?;
        Ok(Response::new(convert::explanation(facts)))
    }

    async fn delete(
        &self,
        request: Request<v1::DeletePolicyRequest>,
    ) -> Result<Response<v1::DeletePolicyResponse>, Status> {
        let intent = convert::delete_policy(request.into_inner()).map_err(status)?;
        let outcome = self.0.delete_policy(intent).await.map_err(status)?;
        let (object, plan) = convert::outcome(outcome);
        Ok(Response::new(v1::DeletePolicyResponse { plan, flows_cut: count(object.flows_cut) }))
    }
}
