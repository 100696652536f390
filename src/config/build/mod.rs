//! From values to checked settings: areas, log groups, and everything that can be wrong, said at once.

pub(super) mod areas;
pub(super) mod check;
pub(super) mod groups;
pub(super) mod values;
