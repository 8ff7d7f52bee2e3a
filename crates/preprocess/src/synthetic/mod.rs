//! Synthetic faces for the quickstart and the tests: drawn people, the same from the same seed.
//!
//! A face follows from an identity's parameters (shape of the face, skin, eyes, brows, nose,
//! mouth, hair, beard, glasses) and a photograph's (pose, expression, light, background, blur,
//! noise, occlusion). Each identity and each photograph has its own random stream, so person 5
//! looks the same whether 6 or 6000 people are drawn. The variation within a person is large
//! enough that comparing pixels fails.

mod canvas;
mod features;
mod identity;
mod photograph;
mod render;
mod scenery;

use std::fs;
use std::io::{Cursor, Write};
use std::num::NonZeroU64;
use std::path::Path;

use image::{ImageFormat, RgbImage};
use indicatif::ProgressBar;
use rayon::prelude::*;

use self::identity::Identity;
use self::photograph::Photograph;
use crate::Error;
use crate::settings::Side;

/// Which faces to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gallery {
    /// The seed of all identities and photographs.
    pub seed: u64,
    /// The number of the first person.
    pub first_identity: u64,
    /// How many people.
    pub identities: NonZeroU64,
    /// How many photographs of each.
    pub photographs: NonZeroU64,
    /// The side of the photographs.
    pub side: Side,
}

/// Draws one photograph of one person.
pub fn draw_face(seed: u64, identity: u64, photograph: u64, side: Side) -> RgbImage {
    let person = Identity::draw(seed, identity);
    let photograph = Photograph::draw(seed, identity, photograph);
    scenery::develop(render::render(&person, &photograph, side.px()), &photograph)
}

/// Writes a gallery as PNG files under `out`: `person_0000/person_0000_0001.png` and so on,
/// people counted from 0 and photographs from 1, as in LFW.
///
/// Files that are there already with the same content are left alone, so that a second run
/// changes nothing. Each file appears whole or not at all.
///
/// # Errors
///
/// [`Error::ForeignFaces`] if `out` holds people or photographs that are not of this gallery,
/// [`Error::Read`], [`Error::Write`], [`Error::Encode`].
pub fn write_gallery(gallery: &Gallery, out: &Path, progress: &ProgressBar) -> Result<(), Error> {
    let Gallery { seed, first_identity, identities, photographs, side } = *gallery;
    let people = first_identity..first_identity.saturating_add(identities.get());
    progress.set_length(identities.get().saturating_mul(photographs.get()));
    fs::create_dir_all(out).map_err(Error::write(out))?;
    refuse_others(out, |name| {
        name.strip_prefix("person_")
            .and_then(|number| number.parse().ok())
            .is_some_and(|number| people.contains(&number) && name == person_name(number))
    })?;
    people.clone().into_par_iter().try_for_each(|number| {
        let person = person_name(number);
        let folder = out.join(&person);
        fs::create_dir_all(&folder).map_err(Error::write(&folder))?;
        let file_name = |photograph: u64| format!("{person}_{photograph:04}.png");
        refuse_others(&folder, |name| {
            name.rsplit_once('_')
                .and_then(|(_, rest)| rest.strip_suffix(".png")?.parse().ok())
                .is_some_and(|number: u64| {
                    1 <= number && number <= photographs.get() && name == file_name(number)
                })
        })?;
        (1..=photographs.get()).into_par_iter().try_for_each(|photograph| {
            let face = draw_face(seed, number, photograph, side);
            write_png(&folder.join(file_name(photograph)), &face)?;
            progress.inc(1);
            Ok(())
        })
    })?;
    progress.finish_and_clear();
    Ok(())
}

fn person_name(number: u64) -> String {
    format!("person_{number:04}")
}

/// Fails if `folder` holds a name that is not hidden and not expected.
fn refuse_others(folder: &Path, is_expected: impl Fn(&str) -> bool) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::read(folder))? {
        let name = entry.map_err(Error::read(folder))?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !is_expected(&name) {
            let (path, entry) = (folder.to_owned(), name.into_owned());
            return Err(Error::ForeignFaces { path, entry });
        }
    }
    Ok(())
}

fn write_png(path: &Path, face: &RgbImage) -> Result<(), Error> {
    let mut png = Vec::new();
    face.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)
        .map_err(|source| Error::Encode { path: path.to_owned(), source })?;
    if fs::read(path).is_ok_and(|earlier| earlier == png) {
        return Ok(());
    }
    let folder = path.parent().expect("a photograph lies in a person's folder");
    let mut temporary = tempfile::Builder::new();
    // Temporary files are for their owner only; these are for whomever the umask lets read.
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    temporary
        .tempfile_in(folder)
        .and_then(|mut file| {
            file.write_all(&png)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        })
        .map_err(Error::write(path))
}
