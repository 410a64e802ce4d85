//! The files of a database: their owner's alone, and opened as what they are. A folder may be one that others can write
//! to, so that nothing there is followed or taken over unseen.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::{beside, io as failed};
use crate::error::{Error, ErrorKind};

/// Only its owner may read or write a file: it holds what people wrote, and the hashes of keys and tokens.
pub(super) const FILE_MODE: u32 = 0o600;
/// Only its owner may look into a folder.
pub(super) const FOLDER_MODE: u32 = 0o700;
/// What others may do with a file or a folder.
const OTHERS: u32 = 0o077;
/// A folder in which everybody may write, but only remove what is theirs, as /tmp is.
const STICKY: u32 = 0o1000;

/// What stands beside the database's own name.
pub(super) const SUFFIXES: [&str; 5] = ["", "-wal", "-shm", ".lock", ".migrate.lock"];

/// How long to wait for another process that brings the schema up to date.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// From one try to take a lock to the next.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Makes the folder and the file if they are not there, and takes from others what earlier versions let them read.
/// Returns the database's own path: its name may be a link, which its owner has made, to a larger disk for example.
///
/// # Errors
/// If that is not possible, or if what is there is not ours.
pub(super) fn prepare(path: &Path) -> Result<PathBuf, Error> {
    let path = &follow(path)?;
    if let Some(folder) = folder_of(path) {
        if !folder.exists() {
            let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            made.map_err(|error| failed(folder, &error))?;
        }
        tighten_folder(folder, path);
    }
    for suffix in SUFFIXES {
        tighten(&beside(path, suffix))?;
    }
    if !path.exists() {
        drop(open_own(path)?);
    }
    Ok(path.clone())
}

/// Where a link leads that we have made, or root has; anybody else's is no way to a database.
fn follow(path: &Path) -> Result<PathBuf, Error> {
    let Ok(found) = path.symlink_metadata() else { return Ok(path.to_owned()) };
    if !found.is_symlink() {
        return Ok(path.to_owned());
    }
    if found.uid() != 0 && found.uid() != geteuid().as_raw() {
        return Err(refused(path, "is a link that another user has made"));
    }
    fs::canonicalize(path).map_err(|error| failed(path, &error))
}

/// Takes a file that is there from others. It is not opened: to close a file again would let go of the locks that
/// another connection of this process has on it.
fn tighten(path: &Path) -> Result<(), Error> {
    let Ok(found) = path.symlink_metadata() else { return Ok(()) };
    check_own(path, &found)?;
    if found.mode() & OTHERS != 0 {
        fs::set_permissions(path, Permissions::from_mode(FILE_MODE)).map_err(|error| failed(path, &error))?;
    }
    Ok(())
}

/// A folder that holds nothing but this database is the database's own, whoever made it.
fn tighten_folder(folder: &Path, database: &Path) {
    let Ok(found) = folder.metadata() else { return };
    let is_ours = found.uid() == geteuid().as_raw() && found.mode() & STICKY == 0;
    let name = database.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut names =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).peekable();
    let is_its_own = names.peek().is_some() && names.all(|entry| entry.starts_with(&name));
    if is_ours && is_its_own && found.mode() & OTHERS != 0 {
        // Where that fails, the files in it are still their owner's alone.
        let _ = fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE));
    }
}

/// Opens a file of the database, or makes it: no link, whoever has put it there; a file of its owner's, and of nobody
/// else's from here on.
pub(super) fn open_own(path: &Path) -> Result<File, Error> {
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE).custom_flags(no_follow);
    // Exclusively first: who makes the file gives it to the folder's owner.
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // A command that is run as root must not lock out the server, which is not.
            if let Some(owner) = owner_of_folder(path).filter(|owner| geteuid().is_root() && owner.uid() != 0)
            {
                let given = fchown(&file, Some(owner.uid()), Some(owner.gid()));
                given.map_err(|error| failed(path, &error))?;
            }
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = options.open(path).map_err(|error| not_followed(path, &error))?;
            let found = file.metadata().map_err(|error| failed(path, &error))?;
            check_own(path, &found)?;
            if found.mode() & OTHERS != 0 {
                let tightened = file.set_permissions(Permissions::from_mode(FILE_MODE));
                tightened.map_err(|error| failed(path, &error))?;
            }
            Ok(file)
        }
        Err(error) => Err(failed(path, &error)),
    }
}

/// Whether what was found is a file, and ours.
fn check_own(path: &Path, found: &Metadata) -> Result<(), Error> {
    if found.is_symlink() {
        return Err(refused(path, IS_LINK));
    }
    if !found.is_file() || found.nlink() > 1 {
        return Err(refused(path, "is no file of its own: it has other names, or is none"));
    }
    let folder = owner_of_folder(path).map(|folder| folder.uid());
    if !is_ours(geteuid().as_raw(), found.uid(), folder) {
        return Err(refused(
            path,
            "belongs to another user; see who has put it there, and remove it or take it over",
        ));
    }
    Ok(())
}

/// Whether a user may use a file of this owner, in a folder of that one. Root may serve the one whose folder it is, and
/// nobody else: what somebody has put into another's folder may be a trap.
fn is_ours(us: u32, file: u32, folder: Option<u32>) -> bool {
    file == us || us == 0 && folder == Some(file)
}

const IS_LINK: &str = "is a link, which is not followed";

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().filter(|folder| !folder.as_os_str().is_empty())
}

fn owner_of_folder(path: &Path) -> Option<Metadata> {
    folder_of(path).unwrap_or(Path::new(".")).metadata().ok()
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Io, format!("{} {why}", path.display()))
}

fn not_followed(path: &Path, error: &io::Error) -> Error {
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    if is_link { refused(path, IS_LINK) } else { failed(path, error) }
}

/// Waits for the lock, but not for ever: whoever can open the file can hold it.
///
/// # Errors
/// If another process has held it for too long.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), Error> {
    lock_within(file, path, LOCK_PATIENCE)
}

fn lock_within(file: &File, path: &Path, patience: Duration) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(failed(path, &error)),
            Err(TryLockError::WouldBlock) if started.elapsed() < patience => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                let (path, patience) = (path.display(), patience.as_secs_f32());
                let detail =
                    format!("another process has held {path} for {patience} s; find it with: fuser {path}");
                return Err(Error::new(ErrorKind::Busy, detail));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_made_is_its_owners_alone_and_what_was_wider_becomes_so() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("made/data");
        let database = data.join("replyhq.db");
        prepare(&database).unwrap();
        assert_eq!((mode(&data), mode(&database)), (0o700, 0o600));
        for suffix in SUFFIXES {
            let file = beside(&database, suffix);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(&data, Permissions::from_mode(0o755)).unwrap();
        prepare(&database).unwrap();
        assert_eq!(mode(&data), 0o700);
        for suffix in SUFFIXES {
            assert_eq!(mode(&beside(&database, suffix)), 0o600, "{suffix}");
        }
    }

    #[test]
    fn a_folder_with_other_things_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("letter.txt"), "").unwrap();
        prepare(&folder.path().join("replyhq.db")).unwrap();
        assert_eq!(mode(folder.path()), 0o755);
    }

    #[test]
    fn links_and_second_names_are_refused_and_their_targets_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "precious").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
        let link = folder.path().join("replyhq.db.lock");
        symlink(&target, &link).unwrap();
        assert!(open_own(&link).unwrap_err().to_string().contains("is a link"));
        fs::remove_file(&link).unwrap();
        symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(open_own(&link).is_err());
        assert!(!folder.path().join("nowhere").exists());
        let second = folder.path().join("second");
        fs::hard_link(&target, &second).unwrap();
        assert!(open_own(&second).unwrap_err().to_string().contains("other names"));
        assert_eq!((fs::read_to_string(&target).unwrap().as_str(), mode(&target)), ("precious", 0o644));
    }

    #[test]
    fn anothers_file_is_used_by_root_alone_and_only_in_that_ones_own_folder() {
        assert!(is_ours(1000, 1000, Some(0)));
        assert!(is_ours(0, 0, Some(1000)));
        assert!(is_ours(0, 1000, Some(1000)));
        assert!(!is_ours(0, 1001, Some(1000)));
        assert!(!is_ours(1000, 1001, Some(1001)));
        assert!(!is_ours(1000, 0, Some(1000)));
    }

    #[test]
    fn the_database_itself_may_lie_elsewhere_if_its_owner_has_said_so() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = folder.path().join("disk/real.db");
        fs::create_dir(elsewhere.parent().unwrap()).unwrap();
        fs::write(&elsewhere, "").unwrap();
        let link = folder.path().join("replyhq.db");
        symlink(&elsewhere, &link).unwrap();
        let found = prepare(&link).unwrap();
        assert_eq!((found, mode(&elsewhere)), (fs::canonicalize(&elsewhere).unwrap(), 0o600));
        // For those beside it there is no reason.
        symlink(&elsewhere, folder.path().join("disk/real.db.lock")).unwrap();
        assert!(prepare(&link).unwrap_err().to_string().contains("is a link"));
    }

    #[test]
    fn a_lock_that_somebody_holds_is_not_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("replyhq.db.migrate.lock");
        let held = open_own(&path).unwrap();
        held.lock().unwrap();
        let other = open_own(&path).unwrap();
        let error = lock_within(&other, &path, Duration::from_millis(200)).unwrap_err().to_string();
        assert!(error.contains("has held") && error.contains("replyhq.db.migrate.lock"), "{error}");
        drop(held);
        lock_within(&other, &path, Duration::from_millis(200)).unwrap();
    }
}
