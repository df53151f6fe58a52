//! What an ExternalSecret makes of what its stores hold, without I/O.

pub mod template;
