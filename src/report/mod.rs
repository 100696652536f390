//! What is told, to whom and when: stored events become text, text becomes mail.

pub mod batch;
pub mod ecs;
mod fold;
mod item;
pub mod mime;
mod own;
pub mod render;
#[cfg(test)]
mod sample;
mod subject;
mod words;
