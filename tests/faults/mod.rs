//! What goes wrong around premain: lost connections, crashes, signals, hostile servers and directories.

mod crashes;
mod foreign_directories;
mod hostile_directories;
mod hostile_servers;
mod lost_connections;
mod pooler;
mod replicas;
mod signals;
mod signals_during_commands;
mod signals_during_hooks;
mod standby;
mod unusual_roles;
