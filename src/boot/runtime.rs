//! The async runtime, which exists only while something has to be waited for.

use std::pin::Pin;

use tokio::runtime::{Builder, Runtime};

use super::context::Context;
use crate::config::Config;
use crate::error::Error;
use crate::shutdown::Shutdown;
use crate::sys::Inherited;

/// Does `work` on a runtime of this one thread.
///
/// # Errors
/// The work's own, or [`Error::System`].
// Not inlined, so that the stack of a caller that does not get here needs no room for it.
#[inline(never)]
pub(crate) fn in_runtime<T>(
    config: &Config,
    inherited: &Inherited,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let runtime = start()?;
    let work: Pin<Box<dyn Future<Output = _>>> = Box::pin(async {
        let shutdown = listen(inherited)?;
        work(&Context { config, inherited, shutdown: &shutdown }).await
    });
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}

fn start() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|source| Error::System { what: "start the runtime", source })
}

fn listen(inherited: &Inherited) -> Result<Shutdown, Error> {
    Shutdown::listen(|signal| inherited.ignores(signal))
        .map_err(|source| Error::System { what: "listen to signals", source })
}
