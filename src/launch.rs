pub struct LaunchError;
impl std::fmt::Display for LaunchError { fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { Ok(()) } }
impl LaunchError { pub fn exit(&self) -> crate::exit::Exit { crate::exit::Exit::Bug } }
pub fn exec(_l: &crate::config::Launch, _a: &[std::ffi::OsString], _i: &crate::sys::Inherited) -> LaunchError { LaunchError }
