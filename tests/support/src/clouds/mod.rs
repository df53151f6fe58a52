//! The parts of clouds that a login needs, each of which checks what it is told as the cloud does.

pub mod aws;
pub mod google;
pub mod sigv4;
mod tls;
