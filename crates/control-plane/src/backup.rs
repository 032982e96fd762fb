//! A backup: all that a control plane has, in one file of lines.
//!
//! ```text
//! {"format":"arctos backup","version":1, when, whose, how many of each kind, the data key, sealed …}
//! {"resource":{…}}     one a line, owners first; secrets sealed under the data key
//! {"file":{…}}         the certificate that it made for itself, and its key, sealed
//! {"sha256":"…","seal":"…"}     of all bytes before this line; the seal is the same, sealed
//! ```
//!
//! The key that seals the data key is not in it. A file that was cut off, changed or made longer is refused as a whole; where
//! secrets are sealed, one that somebody wrote who does not have that key is, too.

mod lines;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io};

use jiff::Timestamp;
use model::{Key, Kind, Resource};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::sealing::{Column, DataKeyId, SealedDataKey, Sealing, SealingError};
use thiserror::Error;
use zeroize::Zeroizing;

use self::lines::{DataKeyLine, FileLine, Line, ResourceLine, Trailer};
use crate::about;

const FORMAT: &str = "arctos backup";
/// What this program writes, and reads.
const VERSION: u32 = 1;
/// The name under which the checksum is sealed.
const CHECKSUM: &str = "backup.checksum";

/// Why a backup is not read, or not written.
#[derive(Debug, Error)]
pub(crate) enum BackupError {
    /// It is something else.
    #[error("it is no backup of this program")]
    Foreign,
    /// A newer program wrote it.
    #[error("it has format version {found}, and this program reads {VERSION}: use a newer program")]
    NewerFormat {
        /// The version.
        found: u32,
    },
    /// There is no last line, or the checksum is another.
    #[error("it is not whole: it was cut off or changed")]
    NotWhole,
    /// Whoever wrote it did not have the key.
    #[error("it is not what the key sealed: somebody changed it")]
    Forged,
    /// A line says nothing that is understood.
    #[error("line {number}: {problem}")]
    Line {
        /// Which one, from 1 on.
        number: usize,
        /// What is wrong.
        problem: String,
    },
    /// Content is not sealed, or does not open.
    #[error("{of}: {cause}")]
    Sealing {
        /// Whose.
        of: String,
        /// Why.
        cause: SealingError,
    },
    /// It cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a backup says of itself: its first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    format: String,
    version: u32,
    program: String,
    /// When it was made.
    #[serde(with = "crate::records::text")]
    pub(crate) created: Timestamp,
    /// `global` or `zone`.
    pub(crate) mode: String,
    /// The zone's name, of a zone.
    pub(crate) zone: Option<String>,
    /// How many resources of each kind.
    pub(crate) kinds: BTreeMap<String, usize>,
    /// The files that lay beside the store.
    pub(crate) files: Vec<String>,
    data_key: Option<DataKeyLine>,
}

impl About {
    /// The data key, as something sealed it; none if the secrets lie there as they are.
    pub(crate) fn data_key(&self) -> Option<SealedDataKey> {
        self.data_key.as_ref().map(|line| SealedDataKey {
            id: DataKeyId::of(line.id),
            sealed_by: line.sealed_by.clone(),
            sealed: line.sealed.clone(),
        })
    }
}

/// A file that lies beside a store.
pub(crate) struct FileBeside {
    pub(crate) name: String,
    pub(crate) content: Zeroizing<Vec<u8>>,
}

/// All that a control plane has.
pub(crate) struct Content {
    /// Owners first.
    pub(crate) resources: Vec<Resource>,
    pub(crate) files: Vec<FileBeside>,
}

/// Whose backup it is.
pub(crate) struct Whose {
    pub(crate) created: Timestamp,
    pub(crate) mode: &'static str,
    pub(crate) zone: Option<String>,
}

/// Writes a backup. `sealing` has the data key, if one is given, and nothing else.
pub(crate) fn write(
    whose: Whose,
    content: &Content,
    sealing: &Sealing,
    data_key: Option<&SealedDataKey>,
    to: &mut impl io::Write,
) -> Result<(), BackupError> {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for resource in &content.resources {
        *kinds.entry(resource.key.kind.name.to_owned()).or_default() += 1;
    }
    let about = About {
        format: FORMAT.to_owned(),
        version: VERSION,
        program: format!("{} {}", about::PRODUCT, about::VERSION),
        created: whose.created,
        mode: whose.mode.to_owned(),
        zone: whose.zone,
        kinds,
        files: content.files.iter().map(|file| file.name.clone()).collect(),
        data_key: data_key.map(DataKeyLine::of),
    };
    let mut summing = Summing { to, sum: Sha256::new() };
    summing.line(&about)?;
    for resource in &content.resources {
        summing.line(&Line::Resource(ResourceLine::of(resource, sealing)?))?;
    }
    for file in &content.files {
        summing.line(&Line::File(FileLine::of(file, sealing)?))?;
    }
    let sum = summing.sum.finalize();
    let seal = data_key.map(|_| seal(sealing, &sum)).transpose()?;
    let trailer = Trailer { sha256: lines::hex(&sum), seal };
    serde_json::to_writer(&mut *to, &trailer).map_err(io::Error::from)?;
    Ok(to.write_all(b"\n")?)
}

/// A backup that is whole, before its secrets are opened.
pub(crate) struct Unopened<'a> {
    /// What it says of itself.
    pub(crate) about: About,
    lines: &'a [u8],
    sum: Vec<u8>,
    seal: Option<Vec<u8>>,
}

impl<'a> Unopened<'a> {
    /// Reads what a file holds, and checks that it is whole.
    pub(crate) fn read(file: &'a [u8]) -> Result<Self, BackupError> {
        let first = file.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let front: lines::Front = serde_json::from_slice(first).map_err(|_other| BackupError::Foreign)?;
        if front.format != FORMAT {
            return Err(BackupError::Foreign);
        }
        if front.version > VERSION {
            return Err(BackupError::NewerFormat { found: front.version });
        }
        let body = file.strip_suffix(b"\n").ok_or(BackupError::NotWhole)?;
        let end = body.iter().rposition(|byte| *byte == b'\n').ok_or(BackupError::NotWhole)?;
        let (summed, last) = body.split_at_checked(end + 1).ok_or(BackupError::NotWhole)?;
        let trailer: Trailer = serde_json::from_slice(last).map_err(|_cut_off| BackupError::NotWhole)?;
        let sum = Sha256::digest(summed).to_vec();
        if lines::hex(&sum) != trailer.sha256 {
            return Err(BackupError::NotWhole);
        }
        let about = serde_json::from_slice(first).map_err(|cause| wrong(1, &cause))?;
        let lines = summed.get(first.len() + 1..).unwrap_or_default();
        Ok(Self { about, lines, sum, seal: trailer.seal })
    }

    /// Opens what is sealed. `sealing` has taken in the data key, if there is one.
    pub(crate) fn open(&self, sealing: &Sealing) -> Result<Content, BackupError> {
        if self.about.data_key.is_some() {
            let sealed = self.seal.as_deref().ok_or(BackupError::Forged)?;
            let opened = sealing.open(&place(CHECKSUM), Column::Spec, sealed).map_err(|_closed| BackupError::Forged)?;
            if opened.content != self.sum {
                return Err(BackupError::Forged);
            }
        }
        let mut content = Content { resources: Vec::new(), files: Vec::new() };
        for (at, line) in self.lines.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
            // the first line is in front of these
            let number = at + 2;
            match serde_json::from_slice(line).map_err(|cause| wrong(number, &cause))? {
                Line::Resource(line) => content.resources.push(line.open(sealing, number)?),
                Line::File(line) => content.files.push(line.open(sealing)?),
            }
        }
        content.resources = owners_first(content.resources);
        Ok(content)
    }
}

/// Where something is sealed that is no resource: nothing that is stored has such a name.
fn place(name: &str) -> Key {
    Key::global(Kind::RECORD, format!("\0{name}"))
}

fn seal(sealing: &Sealing, sum: &[u8]) -> Result<Vec<u8>, BackupError> {
    let sealed = sealing.seal(&place(CHECKSUM), Column::Spec, sum);
    sealed.map(Vec::from).map_err(|cause| BackupError::Sealing { of: "the checksum".to_owned(), cause })
}

fn wrong(number: usize, cause: &dyn std::fmt::Display) -> BackupError {
    BackupError::Line { number, problem: cause.to_string() }
}

/// Sorts resources: a store takes nothing whose owner is not there.
pub(crate) fn owners_first(resources: Vec<Resource>) -> Vec<Resource> {
    /// Nothing is owned through so many others; a circle ends here.
    const DEEPEST: usize = 16;
    let owners: BTreeMap<&Key, &Key> =
        resources.iter().filter_map(|resource| Some((&resource.key, resource.owner.as_ref()?))).collect();
    let depth = |resource: &Resource| {
        std::iter::successors(Some(&resource.key), |key| owners.get(key).copied()).take(DEEPEST).count()
    };
    let depths: Vec<usize> = resources.iter().map(depth).collect();
    let mut sorted: Vec<(usize, Resource)> = depths.into_iter().zip(resources).collect();
    sorted.sort_by_key(|(depth, _)| *depth);
    sorted.into_iter().map(|(_, resource)| resource).collect()
}

/// Writes lines and sums up their bytes.
struct Summing<'a, W> {
    to: &'a mut W,
    sum: Sha256,
}

impl<W: io::Write> Summing<'_, W> {
    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.sum.update(&text);
        self.to.write_all(&text)
    }
}
