//! The async runtime, which exists only while something has to be waited for.

use std::pin::Pin;

use super::context::Context;
use crate::config::Config;
use crate::error::Error;
use crate::shutdown::Shutdown;
use crate::sys::Inherited;

/// Does `work` on a runtime of this one thread. A name that is still being resolved on another thread
/// is not waited for.
///
/// # Errors
/// The work's own, or [`Error::System`].
// Not inlined, so that the stack of a caller that does not get here needs no room for it.
#[inline(never)]
pub fn in_runtime<T>(
    config: &Config,
    inherited: &Inherited,
    work: impl AsyncFnOnce(&Context<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let system = |what| move |source| Error::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(4)
        .build()
        .map_err(system("start the runtime"))?;
    let work: Pin<Box<dyn Future<Output = _>>> = Box::pin(async {
        let shutdown = Shutdown::listen(|signal| inherited.ignores(signal))
            .map_err(system("listen to signals"))?;
        work(&Context { config, inherited, shutdown: &shutdown }).await
    });
    let outcome = runtime.block_on(work);
    runtime.shutdown_background();
    outcome
}
