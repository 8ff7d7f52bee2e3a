//! The stage: a folder of faces becomes a prepared set on disk.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::{fs, thread};

use indicatif::ProgressBar;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::decode::{decode, hexadecimal};
use crate::framing::{RESIZE_FILTER, resize};
use crate::location::lies_in;
use crate::manifest::{Counts, FORMAT_VERSION, ImageRecord, Manifest, Skipped};
use crate::near_duplicates::{Appearance, first_copies};
use crate::outcome::Outcome;
use crate::prepared::{Prepared, content_digest, finish_digest};
use crate::scan::{Candidate, Scan, meant, scan};
use crate::settings::Settings;
use crate::shard::{self, ShardWriter};
use crate::staging::Staging;

/// Prepared images that are decoded in parallel before they are written in order; as many are being written meanwhile.
const CHUNK_BYTES: usize = 32 << 20;

/// Prepares the photographs under `faces`, one folder a person, and writes the set to `out`.
///
/// The set appears whole or not at all, in place of an earlier set in `out`. If `out` holds a set
/// of the same photographs (by path, length and time of change) and settings, nothing is done, unless
/// a version made it that did not look for near duplicates.
///
/// Memory grows by no more than a record and a thumbnail for each photograph, some 2 KiB;
/// `min_faces` images of one person are held until it is known that there are as many.
///
/// # Errors
///
/// [`Error::NoFolder`], [`Error::TooFewPeople`], [`Error::TooManySkipped`],
/// [`Error::OutputInFaces`] if `out` lies in `faces`, [`Error::ForeignOutput`] if `out` holds anything but a prepared set, [`Error::FormatVersion`] or
/// [`Error::BrokenManifest`] if that set is not one we can read, [`Error::Busy`], and
/// [`Error::Read`] or [`Error::Write`] for the file system's own. An earlier set is then as it was.
pub fn prepare(
    faces: &Path,
    out: &Path,
    settings: &Settings,
    progress: &ProgressBar,
) -> Result<Outcome, Error> {
    let _span = tracing::info_span!("prepare").entered();
    let scan = scan(faces)?;
    let fingerprint = fingerprint(&scan, settings);
    // Renaming would replace a link, not what it points to.
    let out = match fs::canonicalize(out) {
        Ok(out) => out,
        Err(_) => std::path::absolute(out).map_err(Error::read(out))?,
    };
    if lies_in(&out, faces) {
        return Err(Error::OutputInFaces { path: out });
    }
    if let Some(manifest) = up_to_date(&out, &fingerprint)? {
        return Ok(Outcome::UpToDate(manifest));
    }
    let staging = Staging::claim(&out)?;
    let manifest = build(faces, &scan, settings, fingerprint, &staging.set(), progress)?;
    staging.publish()?;
    Ok(Outcome::Made(manifest))
}

/// A photograph, cropped and resized.
struct Frame {
    pixels: Vec<u8>,
    appearance: Appearance,
    sha256: String,
    width: u32,
    height: u32,
}

fn build(
    faces: &Path,
    scan: &Scan,
    settings: &Settings,
    source_fingerprint: String,
    set: &Path,
    progress: &ProgressBar,
) -> Result<Manifest, Error> {
    let min_faces = settings.min_faces.get();
    // Nobody's photographs are decoded who cannot have enough of them.
    let work: Vec<(&str, &Candidate)> = scan
        .people
        .iter()
        .filter(|person| person.candidates.len() >= min_faces)
        .flat_map(|person| person.candidates.iter().map(|photograph| (&*person.name, photograph)))
        .collect();
    progress.set_length(work.len() as u64);
    // One thread writes what all others have decoded.
    let mut assembled = thread::scope(|scope| {
        let (sender, receiver) = sync_channel::<(&[(&str, &Candidate)], Vec<_>)>(0);
        let assembler = scope.spawn(move || {
            let mut assembly = Assembly::new(set, settings);
            for (chunk, frames) in receiver {
                for (&(person, photograph), frame) in chunk.iter().zip(frames) {
                    assembly.add(person, photograph.path.clone(), frame)?;
                }
            }
            assembly.finish()
        });
        for chunk in work.chunks((CHUNK_BYTES / settings.side.image_bytes()).clamp(4, 256)) {
            let frames: Vec<Result<Frame, String>> = chunk
                .par_iter()
                .map(|(_, photograph)| {
                    let frame = frame(&faces.join(&photograph.path), settings);
                    progress.inc(1);
                    frame
                })
                .collect();
            if sender.send((chunk, frames)).is_err() {
                // Writing has failed, and says why below.
                break;
            }
        }
        drop(sender);
        assembler.join().unwrap_or_else(|panic| resume_unwind(panic))
    })?;
    progress.finish_and_clear();
    let mut skipped = scan.unnameable.clone();
    skipped.append(&mut assembled.skipped);
    skipped.sort();
    for Skipped { path, reason } in &skipped {
        tracing::warn!(path, reason, "skipped");
    }
    refuse_too_many_skipped(&skipped, work.len() + scan.unnameable.len(), settings)?;
    let Assembled { identities, mut images, appearances, sha256, .. } = assembled;
    if identities.len() < 2 {
        return Err(Error::TooFewPeople {
            path: faces.to_owned(),
            found: identities.len(),
            min_faces,
            most: scan.people.iter().map(|person| person.candidates.len()).max().unwrap_or(0),
            meant: meant(faces),
        });
    }
    let near_duplicates = mark_duplicates(&mut images, &appearances);
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        counts: Counts {
            identities: identities.len(),
            left_out: Some(scan.people.len() - identities.len()),
            images: images.len(),
            near_duplicates: Some(near_duplicates),
            skipped: skipped.len(),
            ignored: scan.ignored,
        },
        side: settings.side,
        crop: settings.crop,
        resize_filter: RESIZE_FILTER.to_owned(),
        min_faces,
        max_photograph_pixels: settings.max_photograph_pixels.get(),
        shard_images: shard::images_per_shard(settings.side),
        source_fingerprint,
        sha256,
        identities,
        images,
        skipped,
    };
    for (image, first) in manifest.under_two_names() {
        tracing::warn!(path = image.path, also = first.path, "one photograph under two names");
    }
    manifest.write(set)?;
    Ok(manifest)
}

/// Marks the images that are of the same photograph as an earlier one, and counts them.
fn mark_duplicates(images: &mut [ImageRecord], appearances: &[Appearance]) -> usize {
    let sha256: Vec<&str> = images.iter().map(|image| &*image.sha256).collect();
    let first = first_copies(appearances, &sha256);
    for (index, (image, first)) in images.iter_mut().zip(first).enumerate() {
        image.duplicate_of = (first < index).then_some(first);
    }
    images.iter().filter(|image| image.duplicate_of.is_some()).count()
}

fn frame(path: &Path, settings: &Settings) -> Result<Frame, String> {
    let photograph = decode(path, settings.max_photograph_pixels.get())?;
    let (width, height) = photograph.pixels.dimensions();
    let pixels = resize(&photograph.pixels, settings.crop, settings.side);
    let appearance = Appearance::of(&pixels, settings.side);
    Ok(Frame { pixels, appearance, sha256: photograph.sha256, width, height })
}

fn refuse_too_many_skipped(
    skipped: &[Skipped],
    tried: usize,
    settings: &Settings,
) -> Result<(), Error> {
    let allowed = settings.max_skipped_share.get();
    match skipped.first() {
        Some(first) if skipped.len() as f64 > allowed * tried as f64 => {
            Err(Error::TooManySkipped {
                skipped: skipped.len(),
                tried,
                allowed,
                first: first.path.clone(),
                reason: first.reason.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// The set under construction: frames come in order, shards go out as they fill up.
struct Assembly<'a> {
    set: &'a Path,
    settings: &'a Settings,
    identities: Vec<String>,
    images: Vec<ImageRecord>,
    /// Of each image.
    appearances: Vec<Appearance>,
    digest: Sha256,
    /// The shard that is filling up.
    shard: Option<ShardWriter>,
    shards: usize,
    skipped: Vec<Skipped>,
    /// The person whose frames are coming in.
    person: String,
    /// That person's frames while there are too few to keep them.
    waiting: Vec<(String, Frame)>,
}

impl<'a> Assembly<'a> {
    fn new(set: &'a Path, settings: &'a Settings) -> Self {
        let digest = content_digest(settings.side, settings.crop, RESIZE_FILTER);
        Self {
            set,
            settings,
            identities: Vec::new(),
            images: Vec::new(),
            appearances: Vec::new(),
            digest,
            shard: None,
            shards: 0,
            skipped: Vec::new(),
            person: String::new(),
            waiting: Vec::new(),
        }
    }

    fn add(
        &mut self,
        person: &str,
        path: String,
        frame: Result<Frame, String>,
    ) -> Result<(), Error> {
        let frame = match frame {
            Ok(frame) => frame,
            Err(reason) => {
                self.skipped.push(Skipped { path, reason });
                return Ok(());
            }
        };
        if self.person != person {
            person.clone_into(&mut self.person);
            self.waiting.clear();
        }
        self.waiting.push((path, frame));
        let is_kept = self.identities.last().is_some_and(|last| last == person);
        if !is_kept {
            if self.waiting.len() < self.settings.min_faces.get() {
                return Ok(());
            }
            self.identities.push(person.to_owned());
        }
        for (path, frame) in std::mem::take(&mut self.waiting) {
            self.append(path, frame)?;
        }
        Ok(())
    }

    fn append(&mut self, path: String, frame: Frame) -> Result<(), Error> {
        let label = u32::try_from(self.identities.len() - 1).expect("fewer than 2^32 people");
        self.digest.update(label.to_le_bytes());
        self.digest.update(&frame.pixels);
        let side = self.settings.side;
        let mut shard = match self.shard.take() {
            Some(shard) => shard,
            None => ShardWriter::create(shard::path(self.set, self.shards), side)?,
        };
        shard.append(&frame.pixels)?;
        let Frame { appearance, sha256, width, height, .. } = frame;
        self.appearances.push(appearance);
        self.images.push(ImageRecord { path, label, sha256, width, height, duplicate_of: None });
        if shard.images() == shard::images_per_shard(side) {
            shard.finish()?;
            self.shards += 1;
        } else {
            self.shard = Some(shard);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Assembled, Error> {
        if let Some(shard) = self.shard.take() {
            shard.finish()?;
        }
        let sha256 = finish_digest(self.digest, &self.identities);
        let Self { identities, images, appearances, skipped, .. } = self;
        Ok(Assembled { identities, images, appearances, skipped, sha256 })
    }
}

/// What a set came to.
struct Assembled {
    identities: Vec<String>,
    images: Vec<ImageRecord>,
    appearances: Vec<Appearance>,
    skipped: Vec<Skipped>,
    /// Of the whole content.
    sha256: String,
}

/// What decides whether a set must be made anew.
fn fingerprint(scan: &Scan, settings: &Settings) -> String {
    let Settings { min_faces, crop, side, max_skipped_share, max_photograph_pixels } = settings;
    let mut digest = Sha256::new_with_prefix(format!(
        "{FORMAT_VERSION} {} {min_faces} {crop} {} {} {max_photograph_pixels} {RESIZE_FILTER}\n",
        env!("CARGO_PKG_VERSION"),
        side.px(),
        max_skipped_share.get(),
    ));
    for photograph in scan.people.iter().flat_map(|person| &person.candidates) {
        let Candidate { path, size_bytes, modified } = photograph;
        digest.update(format!("{path}\0{size_bytes}\0{}\n", modified.as_nanos()));
    }
    for Skipped { path, .. } in &scan.unnameable {
        digest.update(format!("{path}\n"));
    }
    hexadecimal(&digest.finalize())
}

/// The manifest in `out` if there is nothing to do; an error if `out` is not ours to replace.
fn up_to_date(out: &Path, fingerprint: &str) -> Result<Option<Manifest>, Error> {
    if !out.exists() {
        return Ok(None);
    }
    if !out.is_dir() {
        return Err(Error::OutputName { path: out.to_owned() });
    }
    let entries: Vec<PathBuf> = fs::read_dir(out)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(Error::read(out))?;
    if entries.is_empty() {
        return Ok(None);
    }
    let names =
        entries.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
    // Hidden files, such as those that file managers leave, are nobody's.
    let names = names.filter(|name| !name.starts_with('.'));
    let has_manifest = Manifest::path(out).is_file();
    for name in names {
        let is_ours = name == Manifest::FILE_NAME || shard::is_shard_name(&name);
        if !has_manifest || !is_ours {
            return Err(Error::ForeignOutput { path: out.to_owned(), entry: name.into_owned() });
        }
    }
    let manifest = Manifest::read(out)?;
    // A set whose near duplicates nobody looked for is made anew; its SHA-256 stays, and so do the
    // features and runs that go by it.
    if manifest.source_fingerprint != fingerprint || manifest.counts.near_duplicates.is_none() {
        return Ok(None);
    }
    match Prepared::open(out) {
        Ok(_) => Ok(Some(manifest)),
        Err(error) => {
            tracing::warn!(%error, "the earlier set is damaged and is made anew");
            Ok(None)
        }
    }
}
