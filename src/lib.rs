//! premain: everything a container must do before main, and the init that looks after main.

pub mod boot;
pub mod commands;
pub mod conceal;
pub mod config;
pub mod database;
pub mod error;
pub mod exit;
pub mod init;
pub mod launch;
pub mod log;
pub mod migrate;
pub mod shutdown;
pub mod sys;
pub mod text;
mod tls;
pub mod wait;
