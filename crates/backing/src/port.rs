//! Ports that stay ours, also while nothing listens on them.

use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use rustix::process::geteuid;

/// Below those that the kernel gives to outgoing connections: a server that is killed and comes back would find
/// its port taken by one of these.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port of 127.0.0.1 that no other test or tool of this user's takes until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: File,
}

impl Port {
    /// Claims one that is free.
    ///
    /// # Errors
    /// If there is none.
    pub fn claim() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let claims = std::env::temp_dir().join(format!("replyhq-ports-{}", geteuid().as_raw()));
        fs::create_dir_all(&claims).with_context(|| format!("creating {}", claims.display()))?;
        for _ in 0..COUNT {
            // Tests run in many processes: each begins somewhere else, so that they seldom meet.
            let step =
                std::process::id().wrapping_mul(131).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = FIRST + u16::try_from(step % u32::from(COUNT))?;
            let claim = File::create(claims.join(number.to_string()))?;
            if claim.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Ok(Self { number, _claim: claim });
            }
        }
        anyhow::bail!("no port from {FIRST} on is free")
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_port_is_claimed_once() {
        let ports: Vec<Port> = (0..50).map(|_| Port::claim().unwrap()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
    }
}
