//! Free ports on loopback.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;

use anyhow::{Result, bail};

/// Picks `count` free ports below the range from which the kernel takes ports for outgoing connections, so that a
/// stopped process finds its port free when it is started again.
///
/// # Errors
/// If there are not so many.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let (low, high) = (15_000_u64, ephemeral_start().clamp(20_000, 32_768));
    let random = RandomState::new();
    // Held until all are chosen, or one port could be chosen twice.
    let mut held = Vec::new();
    let mut ports = HashSet::new();
    for attempt in 0_u32..10_000 {
        let port = u16::try_from(low + random.hash_one(attempt) % (high - low))?;
        let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) else {
            continue;
        };
        held.push(listener);
        ports.insert(port);
        if ports.len() == count {
            return Ok(ports.into_iter().collect());
        }
    }
    bail!("no {count} free ports between {low} and {high} on 127.0.0.1: see `ss -ltn`")
}

fn ephemeral_start() -> u64 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    #[test]
    fn ports_are_distinct_and_below_the_ephemeral_range() {
        let ports = super::free_ports(20).unwrap();
        assert_eq!(ports.len(), 20);
        assert!(ports.iter().all(|port| *port < 32_768));
    }
}
