//! The full-speed pass of `init`, `check` and `run --once`, on several threads.

mod added_removed;
pub mod batch;
mod content;
mod directory;
mod entry_check;
pub mod pass;
mod roots;
pub mod scope;
mod work_queue;
pub mod workers;
