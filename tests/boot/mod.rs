//! From the start of the process to the start of the application: settings, waiting, hooks, logs.

mod application;
mod connection_settings;
mod hooks;
mod logs;
mod secrets;
mod targets;
mod tls;
mod waiting;
