//! What every fuzz target does: convert the bytes, and see that nothing but an error or a whole
//! file comes of it.

use std::fs;
use std::io::Write as _;
use std::panic;
use std::path::Path;
use std::sync::OnceLock;

use convert::{Error, KerasBackend, Pixels, Request, SourceFormat};
use indicatif::ProgressBar;
use tempfile::TempDir;

/// Converts the bytes of a file that must have this format.
///
/// # Panics
///
/// If anything of this project's own panics, even where the conversion would turn that into an
/// error, or if an output is there although the conversion failed.
pub fn convert(bytes: &[u8], from: SourceFormat) {
    let folder = folder();
    let (file, out) = (folder.join("file"), folder.join("out.safetensors"));
    fs::write(&file, bytes).expect("a folder in memory");
    let request = Request {
        from,
        pixels: Some(Pixels::Bgr),
        ..Request::new(&file, &out)
    };
    let mut result = convert::convert(&request, &ProgressBar::hidden());
    if matches!(result, Err(Error::KerasBackend { .. })) {
        let request = Request { keras_backend: Some(KerasBackend::Theano), ..request };
        result = convert::convert(&request, &ProgressBar::hidden());
    }
    assert_eq!(result.is_ok(), out.exists());
    if let Err(error) = result {
        assert_eq!(error.to_string().lines().count(), 1);
    } else {
        fs::remove_file(&out).expect("the output is there");
    }
}

/// Reads the bytes as names for a network that has nine.
///
/// # Panics
///
/// As [`convert()`].
pub fn labels(bytes: &[u8]) {
    let folder = folder();
    let (labels, out) = (folder.join("labels"), folder.join("out.safetensors"));
    let mut file = fs::File::create(&labels).expect("a folder in memory");
    file.write_all(bytes).expect("a folder in memory");
    // The names are read before the file, which need not be there.
    let request =
        Request { labels: Some(labels), ..Request::new(folder.join("missing"), out) };
    assert!(convert::convert(&request, &ProgressBar::hidden()).is_err());
}

/// A folder in memory where there is one, and a hook that no panic of ours gets past.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder");
        // The first guarded call sets a hook that keeps panics in other crates quiet; this one,
        // set behind it, tells them from our own.
        let file = folder.path().join("file");
        fs::write(&file, b"\x89HDF\r\n\x1a\n").expect("a folder in memory");
        let request = Request::new(&file, folder.path().join("out.safetensors"));
        assert!(convert::convert(&request, &ProgressBar::hidden()).is_err());
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", |location| location.file());
            if file.contains("registry") {
                return;
            }
            report(panic);
            eprintln!("{panic}");
            std::process::abort();
        }));
        folder
    });
    folder.path()
}
