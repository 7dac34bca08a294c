//! The init's promises, a test or more each, on the real binary: as PID 1 of a fresh namespace, as
//! a child subreaper beside other people's processes, in empty roots, on real terminals.
//!
//! The tests need root and Linux, and the packages that they name when they miss one.

mod children;
mod cost;
mod ending;
mod harness;
mod peers;
mod places;
mod privilege;
mod signals;
mod terminal;
mod usage;
