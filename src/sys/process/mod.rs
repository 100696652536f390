//! Processes: children and their output, process groups, the broker that runs commands for the sandboxed daemon, pidfiles, /proc/PID.

pub mod broker;
pub mod broker_server;
pub mod capture;
pub mod child;
pub mod containers;
pub mod descriptors;
pub mod framed;
pub mod group;
pub mod pidfile;
pub mod privileges;
pub mod stat;
