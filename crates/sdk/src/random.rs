//! Names and numbers that nobody can guess.

use std::io;

use crate::Platform;

/// 128 random bits as text.
pub(crate) fn name(platform: &dyn Platform) -> io::Result<String> {
    let mut bytes = [0; 16];
    platform.fill_random(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// 256 random bits as text.
pub(crate) fn secret(platform: &dyn Platform) -> io::Result<String> {
    Ok(name(platform)? + &name(platform)?)
}

/// 64 random bits for a choice that harms nobody where it can be guessed.
pub(crate) fn chance(platform: &dyn Platform) -> u64 {
    let mut bytes = [0; 8];
    // A system without chance waits the same time each time: worse, not wrong.
    let _ = platform.fill_random(&mut bytes);
    u64::from_le_bytes(bytes)
}
