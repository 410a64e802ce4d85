//! Whose file is whose: a file for each app and person, and the index of them. Who logs out leaves no file behind.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Error, LocalStore, Result};
use crate::platform::{LogLevel, Platform};
use crate::random;

/// A person who was not identified.
const NOBODY: &str = "nobody";

/// The files of one app in a folder. While it is there no other client can have it, here or in another process.
pub(crate) struct People {
    folder: PathBuf,
    /// What the names of this app's files begin with.
    prefix: String,
    index: Index,
    platform: Arc<dyn Platform>,
    _lock: File,
}

/// Who has which file, by a hash of the person's id. Replaced as a whole: what it does not name is rubbish.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Index {
    current: String,
    files: BTreeMap<String, String>,
    /// Files of a person that a version to come has written, before the app went back to this one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    aside: BTreeMap<String, Vec<String>>,
}

impl Index {
    /// Whether a file of this name is somebody's.
    fn knows(&self, name: &str) -> bool {
        self.files.values().chain(self.aside.values().flatten()).any(|known| known == name)
    }
}

impl People {
    /// Opens the folder for this app of this server, and throws away what a logout left when the process ended.
    pub(crate) fn open(
        folder: &Path,
        server: &str,
        app_id: &str,
        platform: Arc<dyn Platform>,
    ) -> Result<Self> {
        make_private_folder(folder)?;
        let prefix = tag(&format!("{server}\n{app_id}"));
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(folder.join(format!("{prefix}.lock")))?;
        if !is_ours_alone(&lock)? {
            return Err(Error::InUse);
        }
        let mut people =
            Self { folder: folder.to_owned(), prefix, index: Index::default(), platform, _lock: lock };
        match fs::read(people.index_path()) {
            Ok(text) => {
                people.index = serde_json::from_slice(&text)?;
                people.sweep()?;
            }
            // Without an index nothing is known to be rubbish.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                people.index.current = NOBODY.to_owned();
            }
            Err(error) => return Err(error.into()),
        }
        Ok(people)
    }

    /// The file of who was there last.
    pub(crate) fn current(&mut self) -> Result<LocalStore> {
        let person = self.index.current.clone();
        self.file_of(&person)
    }

    /// Makes this person the current one, whose file `current` then is; whether it is another file than before. What a
    /// person without a name has written becomes theirs, if they have no file yet.
    pub(crate) fn change_to(&mut self, user_id: &UserId, current: &mut LocalStore) -> Result<bool> {
        let person = tag(user_id);
        if person == self.index.current {
            return Ok(false);
        }
        let adopts = self.index.current == NOBODY && !self.index.files.contains_key(&person);
        let theirs = if adopts { None } else { Some(self.file_of(&person)?) };
        let mut index = self.index.clone();
        if adopts {
            for_another(&mut index.files, NOBODY, &person);
            for_another(&mut index.aside, NOBODY, &person);
        }
        index.current = person;
        self.replace_index(index)?;
        match theirs {
            Some(theirs) => {
                *current = theirs;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Throws the current person's file away, and that of nobody in particular; `current` is a new one then. On an error
    /// either nothing was changed, or only files are left that go at the next start.
    pub(crate) fn forget(&mut self, current: &mut LocalStore) -> Result<()> {
        let name = self.new_name()?;
        let new = self.open_store(&self.folder.join(&name))?;
        let mut index = self.index.clone();
        for person in [self.index.current.as_str(), NOBODY] {
            index.files.remove(person);
            index.aside.remove(person);
        }
        index.files.insert(NOBODY.to_owned(), name);
        NOBODY.clone_into(&mut index.current);
        self.replace_index(index)?;
        // The old file is closed before it goes.
        *current = new;
        self.sweep()
    }

    fn new_name(&self) -> Result<String> {
        Ok(format!("{}-{}.db", self.prefix, random::name(&*self.platform)?))
    }

    fn file_of(&mut self, person: &str) -> Result<LocalStore> {
        let name = match self.index.files.get(person) {
            Some(name) => name.clone(),
            None => {
                let name = self.new_name()?;
                let mut index = self.index.clone();
                index.files.insert(person.to_owned(), name.clone());
                // Named before it is there: what is there without a name is rubbish.
                self.replace_index(index)?;
                name
            }
        };
        let path = self.folder.join(&name);
        match self.open_store(&path) {
            Ok(store) => self.take_back(person, store),
            Err(Error::Newer) => self.begin_beside(person, name),
            Err(error) if error.is_corruption() => {
                // What is lost is lost; an app that can't chat any more would be worse.
                self.platform
                    .log(LogLevel::Error, &format!("the local file is damaged, beginning anew: {error}"));
                remove_database(&path)?;
                self.open_store(&path)
            }
            outcome => outcome,
        }
    }

    /// Begins another file for the same person on the same device: the one that is there was written by a version to come.
    /// It is kept until the app is of that version again.
    fn begin_beside(&mut self, person: &str, newer: String) -> Result<LocalStore> {
        self.platform.log(
            LogLevel::Error,
            "the local file was written by a newer version of the app: it is kept, and another one begun",
        );
        let known = LocalStore::whose(&self.folder.join(&newer));
        let name = self.new_name()?;
        let mut index = self.index.clone();
        index.files.insert(person.to_owned(), name.clone());
        index.aside.entry(person.to_owned()).or_default().push(newer);
        self.replace_index(index)?;
        let path = self.folder.join(name);
        let Some((device_id, user)) = known else { return self.open_store(&path) };
        let mut store = self.open_store_for(&path, &device_id)?;
        if let Some(user) = user {
            store.set_user(&user)?;
            store.commit()?;
        }
        Ok(store)
    }

    /// Takes into the person's file what waits in those that were kept aside and can be read now.
    fn take_back(&mut self, person: &str, mut store: LocalStore) -> Result<LocalStore> {
        for name in self.index.aside.get(person).cloned().unwrap_or_default() {
            match self.open_store(&self.folder.join(&name)) {
                Ok(aside) => {
                    let taken = store.take_in(&aside)?;
                    store.commit()?;
                    self.platform.log(
                        LogLevel::Info,
                        &format!("a file that was kept aside is read: {taken} messages waited in it"),
                    );
                }
                Err(error) if error.is_corruption() => {
                    self.platform.log(
                        LogLevel::Error,
                        &format!("a file that was kept aside is damaged, and goes: {error}"),
                    );
                }
                Err(Error::Newer) => continue,
                Err(error) => return Err(error),
            }
            let mut index = self.index.clone();
            if let Some(names) = index.aside.get_mut(person) {
                names.retain(|kept| *kept != name);
            }
            index.aside.retain(|_, names| !names.is_empty());
            self.replace_index(index)?;
            self.sweep()?;
        }
        Ok(store)
    }

    fn open_store(&self, path: &Path) -> Result<LocalStore> {
        self.open_store_for(path, &format!("dev_{}", random::name(&*self.platform)?))
    }

    /// Opens the file, or makes it for this device.
    fn open_store_for(&self, path: &Path, device_id: &str) -> Result<LocalStore> {
        make_private_file(path)?;
        let mut store = LocalStore::open(path, device_id, Arc::clone(&self.platform))?;
        store.recover()?;
        store.commit()?;
        Ok(store)
    }

    fn index_path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.prefix))
    }

    /// Replaces the index: it is the old one or the new one, whatever happens.
    fn replace_index(&mut self, index: Index) -> Result<()> {
        let path = self.index_path();
        let new = path.with_extension("json.new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&index)?)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        // The folder's entry must last, too. Elsewhere a folder can't be opened as a file.
        #[cfg(unix)]
        File::open(&self.folder)?.sync_all()?;
        self.index = index;
        Ok(())
    }

    /// Removes this app's databases that the index does not name.
    fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            let database = name.find(".db").map(|at| &name[..at + 3]);
            if let Some(database) = database
                && database.starts_with(&format!("{}-", self.prefix))
                && !self.index.knows(database)
            {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }
}

/// What was one person's is another's.
fn for_another<T>(what: &mut BTreeMap<String, T>, before: &str, after: &str) {
    if let Some(theirs) = what.remove(before) {
        what.insert(after.to_owned(), theirs);
    }
}

/// A name for files that tells nothing of what it is made from.
fn tag(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn remove_database(path: &Path) -> Result<()> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(PathBuf::from(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Locks a file for as long as it is open; false where somebody else has. Not by the standard library, which has no locks
/// on Android.
#[cfg(unix)]
fn is_ours_alone(file: &File) -> Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(std::io::Error::from(error).into()),
    }
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

#[cfg(unix)]
fn make_private_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    Ok(fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?)
}

#[cfg(not(unix))]
fn make_private_folder(folder: &Path) -> Result<()> {
    Ok(fs::create_dir_all(folder)?)
}

/// Makes an empty file that only its owner can read; SQLite's own files beside it take over its mode.
fn make_private_file(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?;
    Ok(())
}
