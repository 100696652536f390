//! Events for other programs: ECS as JSON, one line for syslog, attributes as text.

pub(crate) mod attribute_text;
pub mod ecs;
mod ecs_process;
pub mod syslog_line;
