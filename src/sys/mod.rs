//! The kernel and the machine's own files, as values: the only room where unsafe code could ever stand.

pub mod users;
