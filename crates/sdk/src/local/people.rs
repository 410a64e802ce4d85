//! Whose file is whose: a file for each app and person, and the index of them. Who logs out leaves no file behind.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use protocol::UserId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::lock::Lock;
use super::{Error, LocalStore, Place, Result, Salvaged};
use crate::platform::{LogLevel, Platform};
use crate::{limits, random};

/// A person who was not identified.
const NOBODY: &str = "nobody";

/// The files of one app in a folder. While it is there no other client can have it, here or in another process.
pub(crate) struct People {
    folder: PathBuf,
    /// What the names of this app's files begin with.
    prefix: String,
    index: Index,
    /// The device's name, where nothing is here yet.
    first_device_id: Option<String>,
    /// Messages that were saved from files that were damaged, which the app is to be told of.
    recovered: Vec<u64>,
    platform: Arc<dyn Platform>,
    _lock: Lock,
}

/// Who has which file, by a hash of the person's id. Replaced as a whole: what it does not name is rubbish.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Index {
    current: String,
    files: BTreeMap<String, String>,
    /// Files of a person that a version to come has written, before the app went back to this one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    aside: BTreeMap<String, Vec<String>>,
    /// The device of each file, should the file not be able to tell it any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    devices: BTreeMap<String, String>,
    /// The secret of each file's device, likewise: without it the server takes nobody for that device.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<String, String>,
    /// The secrets of devices of which the server may still think that somebody is there who has logged out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    left: BTreeMap<String, String>,
    /// Messages that wait in the files of persons who are not the current one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    waiting: BTreeMap<String, u64>,
}

/// A device that is forgotten here, and of which the server is to be told that nobody is there any more. Nothing in it tells who
/// was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftDevice {
    pub(crate) device_id: String,
    pub(crate) device_secret: String,
}

impl Index {
    /// Whether a file of this name is somebody's.
    fn knows(&self, name: &str) -> bool {
        self.files.values().chain(self.aside.values().flatten()).any(|known| known == name)
    }
}

impl People {
    /// Opens the folder for this app, and throws away what a logout left when the process ended. `names` are those under which
    /// its files may be, the present one first; where there is nothing under that one, what is there under another is used.
    pub(crate) fn open(
        folder: &Path,
        names: &[String],
        app_id: &str,
        platform: Arc<dyn Platform>,
    ) -> Result<Self> {
        make_private_folder(folder)?;
        let prefix = prefix(folder, names, app_id)?;
        let lock = Lock::take(&folder.join(format!("{prefix}.lock")))?.ok_or(Error::InUse)?;
        let mut people = Self {
            folder: folder.to_owned(),
            prefix,
            index: Index::default(),
            first_device_id: None,
            recovered: Vec::new(),
            platform,
            _lock: lock,
        };
        match fs::read(people.index_path()) {
            Ok(text) => match serde_json::from_slice(&text) {
                Ok(index) => {
                    people.index = index;
                    people.sweep()?;
                }
                Err(error) => people.rebuild(&error)?,
            },
            // Without an index nothing is known to be rubbish.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                people.index.current = NOBODY.to_owned();
            }
            Err(error) => return Err(error.into()),
        }
        Ok(people)
    }

    /// The file of who was there last. Where there is none yet, the device has this name, if one is given.
    pub(crate) fn current(&mut self, first_device_id: Option<String>) -> Result<LocalStore> {
        self.first_device_id = first_device_id.filter(|_| self.index.files.is_empty());
        let person = self.index.current.clone();
        self.file_of(&person)
    }

    /// Makes this person the current one, whose file `current` then is; whether it is another file than before. What a
    /// person without a name has written becomes theirs: all of it, or, if they have a file already, what waits to be sent.
    pub(crate) fn change_to(&mut self, user_id: &UserId, current: &mut LocalStore) -> Result<bool> {
        let person = tag(user_id);
        let former = self.index.current.clone();
        if person == former {
            return Ok(false);
        }
        if former == NOBODY && !self.index.files.contains_key(&person) {
            let mut index = self.index.clone();
            for_another(&mut index.files, NOBODY, &person);
            for_another(&mut index.aside, NOBODY, &person);
            index.current = person;
            self.replace_index(index)?;
            return Ok(false);
        }
        let mut theirs = self.file_of(&person)?;
        // Only now: what was found out of their files is in it.
        let mut index = self.index.clone();
        index.current.clone_from(&person);
        index.waiting.remove(&person);
        let counts = current.counts()?;
        if former != NOBODY {
            index.waiting.insert(former, counts.queued + counts.wedged);
            index.waiting.retain(|_, waiting| *waiting > 0);
            self.replace_index(index)?;
            *current = theirs;
            return Ok(true);
        }
        // Kept aside until it is taken in, whatever happens.
        let file = index.files.remove(NOBODY);
        let aside = index.aside.remove(NOBODY).into_iter().flatten().chain(file.clone());
        index.aside.entry(person.clone()).or_default().extend(aside);
        self.replace_index(index)?;
        let written = current.salvage();
        let taken = theirs.take_in(&written, Place::Behind).and_then(|()| theirs.commit());
        if taken.is_err() {
            theirs.roll_back();
        }
        // They are the current person from here on, whatever became of it.
        *current = theirs;
        let let_go = taken.and_then(|()| file.map_or(Ok(()), |file| self.let_go_of(&person, &file)));
        if let Err(error) = let_go {
            let what = format!("what was written without a name is taken in at the next start: {error}");
            self.platform.log(LogLevel::Error, &what);
        }
        Ok(true)
    }

    /// Whether this person is the current one.
    pub(crate) fn is_current(&self, user_id: &UserId) -> bool {
        self.index.current == tag(user_id)
    }

    /// Messages that wait for other persons to be the current one again.
    pub(crate) fn waiting_for_others(&self) -> u64 {
        self.index.waiting.values().sum()
    }

    /// How many messages were saved from each file that was damaged, since the last time.
    pub(crate) fn take_recovered(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.recovered)
    }

    /// A device that was left, of which the server has not been told yet.
    pub(crate) fn left(&self) -> Option<LeftDevice> {
        let (device_id, device_secret) = self.index.left.first_key_value()?;
        Some(LeftDevice { device_id: device_id.clone(), device_secret: device_secret.clone() })
    }

    /// The server was told, or will never be: it does not know the device.
    pub(crate) fn forget_left(&mut self, device_id: &str) -> Result<()> {
        let mut index = self.index.clone();
        index.left.remove(device_id);
        self.replace_index(index)
    }

    /// Throws the current person's file away, and that of nobody in particular; `current` is a new one then. Where there was
    /// somebody, the device is to be left on the server, too. On an error either nothing was changed, or only files are left that
    /// go at the next start.
    pub(crate) fn forget(&mut self, current: &mut LocalStore) -> Result<()> {
        let name = self.new_name()?;
        let mut new = self.open_store(&self.folder.join(&name))?;
        let secret = random::secret(&*self.platform)?;
        new.set_device_secret(&secret)?;
        new.commit()?;
        let mut index = self.index.clone();
        // A file that can't be read may be anybody's.
        let was_somebody = current.identified().map_or(true, |identified| identified.user.is_some());
        if let Some(device_secret) = current.device_secret().filter(|_| was_somebody) {
            let device_id = current.device_id().to_string();
            index.left.insert(device_id, device_secret.to_owned());
            while index.left.len() > limits::LEFT_DEVICES {
                index.left.pop_first();
            }
        }
        for person in [self.index.current.as_str(), NOBODY] {
            index.files.remove(person);
            index.aside.remove(person);
            index.waiting.remove(person);
        }
        index.devices.insert(name.clone(), new.device_id().to_string());
        index.secrets.insert(name.clone(), secret);
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
        // A file that is empty though it was not is a new one, of the same device.
        let opened = match self.index.devices.get(&name) {
            Some(known) => self.open_store_for(&path, known),
            None => self.open_store(&path),
        };
        match opened {
            Ok(mut store) => {
                self.note_device(&name, &mut store)?;
                self.take_back(person, store)
            }
            Err(Error::Newer) => {
                self.platform.log(
                    LogLevel::Error,
                    "the local file was written by a newer version of the app: it is kept, and another one begun",
                );
                let newer = Salvaged::from_file(&path).without_messages();
                self.begin_instead(person, newer, Some(name))
            }
            Err(error) if error.is_corruption() => self.rescue(person, &error, Salvaged::from_file(&path)),
            Err(error) => Err(error),
        }
    }

    /// Sees to it that the index and the file both know the device and its secret. A file of an earlier version has none yet,
    /// and neither has a new one.
    fn note_device(&mut self, name: &str, store: &mut LocalStore) -> Result<()> {
        let known = store.device_secret().or_else(|| self.index.secrets.get(name).map(String::as_str));
        let secret = match known {
            Some(known) => known.to_owned(),
            None => random::secret(&*self.platform)?,
        };
        let device_id = store.device_id().to_string();
        if self.index.devices.get(name) != Some(&device_id) || self.index.secrets.get(name) != Some(&secret) {
            let mut index = self.index.clone();
            index.devices.insert(name.to_owned(), device_id);
            index.secrets.insert(name.to_owned(), secret.clone());
            // Before it is in the file, and before the server hears of it: one that only the server knows is lost.
            self.replace_index(index)?;
        }
        if store.device_secret().is_none() {
            store.set_device_secret(&secret)?;
            store.commit()?;
        }
        Ok(())
    }

    /// Begins another file for the current person: theirs is damaged. What it still gives of what waits is in the new one, of
    /// the same device.
    pub(crate) fn mend(&mut self, error: &Error, current: &mut LocalStore) -> Result<()> {
        let person = self.index.current.clone();
        *current = self.rescue(&person, error, current.salvage())?;
        // The damaged one was still open.
        self.sweep()
    }

    fn rescue(&mut self, person: &str, error: &Error, salvaged: Salvaged) -> Result<LocalStore> {
        let waiting = salvaged.waiting();
        self.platform.log(
            LogLevel::Error,
            &format!(
                "the local file is damaged and begun anew, with {waiting} messages that waited: {error}"
            ),
        );
        let store = self.begin_instead(person, salvaged, None)?;
        self.recovered.push(waiting as u64);
        Ok(store)
    }

    /// Begins another file in the place of a person's, with what that one gives; it is kept aside, or goes.
    fn begin_instead(
        &mut self,
        person: &str,
        mut salvaged: Salvaged,
        aside: Option<String>,
    ) -> Result<LocalStore> {
        let mut index = self.index.clone();
        let before = index.files.get(person);
        if salvaged.device_id.is_none() {
            salvaged.device_id = before.and_then(|name| index.devices.get(name)).cloned();
        }
        if salvaged.device_secret.is_none() {
            salvaged.device_secret = before.and_then(|name| index.secrets.get(name)).cloned();
        }
        let device_id = match &salvaged.device_id {
            Some(known) => known.clone(),
            None => self.new_device()?,
        };
        let secret = match &salvaged.device_secret {
            Some(known) => known.clone(),
            None => random::secret(&*self.platform)?,
        };
        let name = self.new_name()?;
        // Whole before it is named: until then the old one is theirs.
        let mut store = self.open_store_for(&self.folder.join(&name), &device_id)?;
        store.set_device_secret(&secret)?;
        if let Some(user) = &salvaged.user {
            store.set_user(user, salvaged.is_by_token)?;
        }
        store.take_in(&salvaged, Place::Before)?;
        store.commit()?;
        index.devices.insert(name.clone(), device_id);
        index.secrets.insert(name.clone(), secret);
        index.files.insert(person.to_owned(), name);
        if let Some(aside) = aside {
            index.aside.entry(person.to_owned()).or_default().push(aside);
        }
        self.replace_index(index)?;
        self.sweep()?;
        Ok(store)
    }

    /// Takes into the person's file what waits in those that were kept aside and can be read now.
    fn take_back(&mut self, person: &str, mut store: LocalStore) -> Result<LocalStore> {
        for name in self.index.aside.get(person).cloned().unwrap_or_default() {
            let path = self.folder.join(&name);
            let salvaged = match self.open_store(&path) {
                Ok(aside) => aside.salvage(),
                Err(error) if error.is_corruption() => Salvaged::from_file(&path),
                Err(Error::Newer) => continue,
                Err(error) => return Err(error),
            };
            store.take_in(&salvaged, Place::Before)?;
            store.commit()?;
            let waiting = salvaged.waiting();
            self.platform.log(
                LogLevel::Info,
                &format!("a file that was kept aside is read: {waiting} messages waited in it"),
            );
            self.let_go_of(person, &name)?;
        }
        Ok(store)
    }

    /// What was in a file that was kept aside is elsewhere now.
    fn let_go_of(&mut self, person: &str, file: &str) -> Result<()> {
        let mut index = self.index.clone();
        if let Some(names) = index.aside.get_mut(person) {
            names.retain(|kept| kept != file);
        }
        index.aside.retain(|_, names| !names.is_empty());
        self.replace_index(index)?;
        self.sweep()
    }

    /// Finds out whose the files are: the index is damaged. Who has more than one gets the newest, and what waits in the others;
    /// whose is the newest of all was there last.
    fn rebuild(&mut self, error: &serde_json::Error) -> Result<()> {
        self.platform.log(LogLevel::Error, &format!("the index of the local files is damaged: {error}"));
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| self.database_of(name) == Some(name)) else {
                continue;
            };
            found.push((entry.metadata()?.modified()?, name.to_owned()));
        }
        found.sort();
        let mut index = Index { current: NOBODY.to_owned(), ..Index::default() };
        for (_, name) in found {
            let Salvaged { device_id, device_secret, user, .. } =
                Salvaged::from_file(&self.folder.join(&name));
            let person = user.map_or_else(|| NOBODY.to_owned(), |user| tag(&user.id));
            index.devices.extend(device_id.map(|device_id| (name.clone(), device_id)));
            index.secrets.extend(device_secret.map(|secret| (name.clone(), secret)));
            index.current.clone_from(&person);
            if let Some(older) = index.files.insert(person.clone(), name) {
                index.aside.entry(person).or_default().push(older);
            }
        }
        self.replace_index(index)
    }

    fn open_store(&self, path: &Path) -> Result<LocalStore> {
        self.open_store_for(path, &self.new_device()?)
    }

    fn new_device(&self) -> Result<String> {
        // Only as long as there has never been another one: who logs out is somebody else.
        if let Some(first) = self.first_device_id.as_ref().filter(|_| self.index.devices.is_empty()) {
            return Ok(first.clone());
        }
        Ok(format!("dev_{}", random::name(&*self.platform)?))
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
    fn replace_index(&mut self, mut index: Index) -> Result<()> {
        let devices = std::mem::take(&mut index.devices);
        index.devices = devices.into_iter().filter(|(name, _)| index.knows(name)).collect();
        let secrets = std::mem::take(&mut index.secrets);
        index.secrets = secrets.into_iter().filter(|(name, _)| index.knows(name)).collect();
        replace(&self.folder, &self.index_path(), &serde_json::to_vec(&index)?)?;
        self.index = index;
        Ok(())
    }

    /// Removes this app's databases that the index does not name.
    fn sweep(&self) -> Result<()> {
        let index = &self.index;
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if self.database_of(name).is_some_and(|database| !index.knows(database)) {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Which of this app's databases a file belongs to, if it is one or stands beside one.
    fn database_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        let database = name.find(".db").map(|at| &name[..at + 3])?;
        database.starts_with(&format!("{}-", self.prefix)).then_some(database)
    }
}

/// What the names of the app's files begin with. Where they are under a former name, a file under the present one says so, so
/// that they are found when the former one is forgotten.
fn prefix(folder: &Path, names: &[String], app_id: &str) -> Result<String> {
    let prefixes: Vec<_> = names.iter().map(|name| tag(&format!("{name}\n{app_id}"))).collect();
    let Some((present, former)) = prefixes.split_first() else { return Ok(tag(app_id)) };
    let alias = folder.join(format!("{present}.alias"));
    let is_name = |text: &String| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(known) = fs::read_to_string(&alias).ok().filter(is_name) {
        return Ok(known);
    }
    let has_files = |prefix: &String| folder.join(format!("{prefix}.json")).exists();
    match former.iter().find(|former| has_files(former)).filter(|_| !has_files(present)) {
        Some(former) => {
            replace(folder, &alias, former.as_bytes())?;
            Ok(former.clone())
        }
        None => Ok(present.clone()),
    }
}

/// Replaces a file: it is the old one or the new one, whatever happens.
fn replace(folder: &Path, path: &Path, content: &[u8]) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    // The folder's entry must last, too. Elsewhere a folder can't be opened as a file.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
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
