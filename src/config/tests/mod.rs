//! Tests that need the whole room.

#[cfg(test)]
mod parsing;
#[cfg(test)]
mod round_trip;
