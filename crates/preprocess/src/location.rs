//! Where a path leads, also one that is yet to be made.

use std::fs;
use std::path::Path;

/// Whether `path` is `folder` or lies in it, with the links of what there is of it followed; the
/// rest of it may be yet to be made. Nothing lies in a folder that is not there.
pub fn lies_in(path: &Path, folder: &Path) -> bool {
    let Ok(path) = std::path::absolute(path) else { return false };
    let resolved = path.ancestors().find_map(|there| {
        let rest = path.strip_prefix(there).ok()?;
        Some(fs::canonicalize(there).ok()?.join(rest))
    });
    match (resolved, fs::canonicalize(folder)) {
        (Some(path), Ok(folder)) => path.starts_with(folder),
        _ => false,
    }
}
