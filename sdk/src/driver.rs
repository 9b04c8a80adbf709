//! The trait a driver implements, and its way out of the module.

use std::marker::PhantomData;
use std::sync::Once;

use crate::bindings::exports::postern::driver::driver::Guest;
use crate::bindings::peers::exports::postern::driver::peers::Guest as PeersGuest;
use crate::{
    Context, EndpointDecision, EndpointView, Fault, Manifest, NetworkDecision, NetworkView,
    PeerDecision, PeerView, log,
};

/// A network driver. Every function is pure: each call runs in a fresh instance that has
/// seen no other.
pub trait Driver {
    /// What the driver is.
    fn describe() -> Manifest;

    /// What should exist for a network.
    ///
    /// # Errors
    /// A [`Fault`], which the client sees.
    fn network(context: &Context, network: &NetworkView) -> Result<NetworkDecision, Fault>;

    /// What should exist for an endpoint while it is joined to a sandbox.
    ///
    /// # Errors
    /// A [`Fault`], which the client sees.
    fn endpoint(
        context: &Context,
        network: &NetworkView,
        endpoint: &EndpointView,
    ) -> Result<EndpointDecision, Fault>;
}

/// A driver whose networks hosts share.
pub trait MultiHostDriver: Driver {
    /// What should exist on this host for an endpoint on another one.
    ///
    /// # Errors
    /// A [`Fault`]; the endpoint is not reached from this host then.
    fn peer(
        context: &Context,
        network: &NetworkView,
        peer: &PeerView,
    ) -> Result<PeerDecision, Fault>;
}

/// A [`Driver`] in the shape the generated export wants; [`export_driver!`](crate::export_driver)
/// names it, a driver need not.
#[derive(Debug)]
pub struct Exported<D>(PhantomData<D>);

impl<D: Driver> Guest for Exported<D> {
    fn describe() -> Manifest {
        log_panics();
        D::describe()
    }

    fn network(context: Context, network: NetworkView) -> Result<NetworkDecision, Fault> {
        log_panics();
        D::network(&context, &network)
    }

    fn endpoint(
        context: Context,
        network: NetworkView,
        endpoint: EndpointView,
    ) -> Result<EndpointDecision, Fault> {
        log_panics();
        D::endpoint(&context, &network, &endpoint)
    }
}

impl<D: MultiHostDriver> PeersGuest for Exported<D> {
    fn peer(context: Context, network: NetworkView, peer: PeerView) -> Result<PeerDecision, Fault> {
        log_panics();
        D::peer(&context, &network, &peer)
    }
}

/// Without a hook a panic reaches the host as a bare trap: the target has no standard error.
fn log_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|panic| log::error(&panic.to_string()))));
}

/// Makes a type that implements [`Driver`] the driver of this module; once in a crate.
///
/// On targets other than WebAssembly it exports nothing, so that a driver can be linked
/// into a test.
#[macro_export]
macro_rules! export_driver {
    ($driver:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type PosternDriver = $crate::Exported<$driver>;
    $crate::bindings::export!(PosternDriver with_types_in $crate::bindings);
        };
    };
}

/// Makes a type that implements [`MultiHostDriver`] the driver of this module, in the place
/// of [`export_driver!`](crate::export_driver).
#[macro_export]
macro_rules! export_multi_host_driver {
    ($driver:ty) => {
        $crate::export_driver!($driver);
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type PosternDriver = $crate::Exported<$driver>;
            $crate::bindings::peers::export!(
                PosternDriver with_types_in $crate::bindings::peers
            );
        };
    };
}
