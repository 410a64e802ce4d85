//! The lock on a folder, by which it is one client's.

use std::fs::{File, OpenOptions};
use std::path::Path;

use super::Result;

/// A file that is locked as long as this is there.
///
/// It is unlocked by a word and not by being closed: whoever starts a program in another thread has, for a moment, a copy of each file
/// that is open, and a lock that waited for all copies would keep out the app's own next client.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Locks the file, which is made if it is missing; `None` where somebody else has.
    pub(super) fn take(path: &Path) -> Result<Option<Self>> {
        let file = OpenOptions::new().create(true).write(true).truncate(false).open(path)?;
        Ok(is_ours_alone(&file)?.then_some(Self(file)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Where that fails, the end of the file's last copy does it.
        let _ = unlock(&self.0);
    }
}

/// Not by the standard library, which has no locks on Android.
#[cfg(unix)]
fn is_ours_alone(file: &File) -> Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

#[cfg(unix)]
fn unlock(file: &File) -> std::io::Result<()> {
    Ok(rustix::fs::flock(file, rustix::fs::FlockOperation::Unlock)?)
}

#[cfg(not(unix))]
fn is_ours_alone(file: &File) -> Result<bool> {
    use std::fs::TryLockError;
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn unlock(file: &File) -> std::io::Result<()> {
    file.unlock()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_file_keeps_nobody_out_once_its_owner_has_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("lock");
        let first = Lock::take(&path).expect("a file").expect("nobody has it");
        assert!(Lock::take(&path).expect("a file").is_none());
        // As a program has it that is being started.
        let copy = first.0.try_clone().expect("a copy");
        drop(first);
        assert!(Lock::take(&path).expect("a file").is_some());
        drop(copy);
    }
}
