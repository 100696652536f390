//! Everything that needs neither root nor packages.
