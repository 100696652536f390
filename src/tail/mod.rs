//! Following one text file over rotations, truncation and exchange.

pub mod file_tail;
pub mod glob;
pub mod live_file;
pub mod logtail_offset;
pub mod poll;
pub mod position;
mod read_errors;
pub mod rotated_files;
mod rotation;
pub mod splitter;
pub mod stream;
