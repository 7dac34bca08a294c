//! premain: everything a container must do before main, and the init that looks after main.

pub mod boot;
pub mod conceal;
pub mod config;
pub mod exit;
pub mod init;
pub mod launch;
pub mod log;
pub mod sys;
