//! The kernel and the machine's own files, as values: the only room where unsafe code could ever stand.

pub mod cached;
pub mod child;
pub mod courtesy;
pub mod dir;
pub mod faults;
pub mod file;
pub mod group;
pub mod guard;
pub mod holes;
pub mod limits;
pub mod line;
pub mod mounts;
pub mod notify;
pub mod pidfile;
pub mod pressure;
pub mod privileges;
pub mod proc;
pub mod process;
pub mod resolve;
pub mod space;
pub mod timer;
pub mod users;
pub mod xattr;
