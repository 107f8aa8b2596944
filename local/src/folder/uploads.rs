//! Multipart uploads: a folder for each, with the key that it is for and a file for each part.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use jiff::Timestamp;
use pipeline::ports::{Completed, PartTag, UploadId};

use super::disk::{self, PRIVATE};
use super::{Folder, is_absent, keys};
use crate::memory::hash_of;

const UPLOADS: &str = "uploads";
/// The file of an upload that has its key.
const KEY: &str = "key";

impl Folder {
    pub(super) fn begin_upload(&self, key: &str) -> io::Result<UploadId> {
        keys::path_of(&self.root, key)?;
        let temporary = self.temporary()?;
        let new = temporary.path();
        fs::create_dir(&new)?;
        fs::write(new.join(KEY), key)?;
        // The time keeps ids apart that processes with the same number give.
        let id = format!("{:x}-{}", Timestamp::now().as_millisecond(), disk::fresh_name());
        let folder = self.uploads().join(&id);
        disk::in_folder(&folder, || fs::rename(&new, &folder))?;
        Ok(UploadId(id))
    }

    pub(super) fn upload_part(&self, key: &str, upload: &UploadId, number: u32, body: &[u8]) -> io::Result<PartTag> {
        let temporary = self.temporary()?;
        let gone = || io::Error::new(io::ErrorKind::NotFound, "there is no such upload");
        let folder = self.upload(key, upload)?.ok_or_else(gone)?;
        let tag = format!("{number}-{}", hash_of(body));
        match temporary.with(body)?.rename(&folder.join(&tag)) {
            Err(error) if is_absent(&error) => Err(gone()),
            done => done.map(|()| PartTag(tag)),
        }
    }

    /// Killed between the last two steps, the upload is still there: completing it again makes the same object.
    pub(super) fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> io::Result<Completed> {
        let temporary = self.temporary()?;
        let _ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = self.upload(key, upload)? else { return Ok(Completed::Gone) };
        let parts = parts.iter().map(|tag| part(&folder, tag)).collect::<io::Result<Vec<_>>>()?;
        let new = match parts.as_slice() {
            [] => return Err(io::Error::new(io::ErrorKind::InvalidInput, "an upload has at least one part")),
            [only] => temporary.linked(only)?,
            parts => temporary
                .filled(|file| parts.iter().try_for_each(|part| io::copy(&mut File::open(part)?, file).map(drop)))?,
        };
        self.rename(new, key)?;
        temporary.remove_folder(&folder)?;
        Ok(Completed::Yes)
    }

    pub(super) fn abort_upload(&self, key: &str, upload: &UploadId) -> io::Result<()> {
        let temporary = self.temporary()?;
        let _ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        self.upload(key, upload)?.map_or(Ok(()), |folder| temporary.remove_folder(&folder))
    }

    pub(super) fn open_uploads(&self) -> io::Result<Vec<(UploadId, String)>> {
        let found = match fs::read_dir(self.uploads()) {
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            found => found?,
        };
        let mut uploads = Vec::new();
        for entry in found {
            let entry = entry?;
            if let Ok(id) = entry.file_name().into_string() {
                uploads.push((UploadId(id), fs::read_to_string(entry.path().join(KEY))?));
            }
        }
        uploads.sort_by(|one, other| one.0.0.cmp(&other.0.0));
        Ok(uploads)
    }

    fn uploads(&self) -> PathBuf {
        self.root.join(PRIVATE).join(UPLOADS)
    }

    /// The folder of this upload of this key, if it is open.
    fn upload(&self, key: &str, upload: &UploadId) -> io::Result<Option<PathBuf>> {
        if !is_plain(&upload.0) {
            return Ok(None);
        }
        let folder = self.uploads().join(&upload.0);
        match fs::read_to_string(folder.join(KEY)) {
            Ok(known) => Ok((known == key).then_some(folder)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn part(upload: &Path, tag: &PartTag) -> io::Result<PathBuf> {
    let path = upload.join(&tag.0);
    if is_plain(&tag.0) && tag.0 != KEY && path.is_file() {
        return Ok(path);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the upload has no part {}", tag.0)))
}

/// Ids and tags come back from records; none may lead out of its folder.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
