//! `fetch-weights`: a published file of VGG16's weights, fetched, checked and converted.

mod arguments;

use std::{fmt::Write as _, process::ExitCode, time::SystemTime};

use anyhow::Context;
use arguments::Arguments;
use convert::fetch::{Order, Patience, Publication, fetch};
use convert::{Request, convert};
use terminal::Unit;

fn main() -> ExitCode {
    let arguments: Arguments = terminal::parse();
    terminal::begin(arguments.verbosity);
    terminal::end_when_interrupted("the same command goes on with what has come");
    terminal::end(run(arguments), |_| ExitCode::FAILURE)
}

fn run(arguments: Arguments) -> anyhow::Result<String> {
    let Some(publication) = arguments.name.as_deref().and_then(Publication::named) else {
        return Ok(format!("{}\n", Publication::table()));
    };
    let url = arguments.url.unwrap_or_else(|| publication.url.to_owned());
    let order = Order { publication, url, folder: arguments.dir, now: SystemTime::now() };
    let progress = terminal::bar("fetching", Unit::Bytes);
    let fetched = fetch(&order, &Patience::default(), &progress);
    progress.finish_and_clear();
    let fetched = fetched?;
    let mut said = format!("{fetched}\nlicence        {}\n", publication.licence);
    let out = order.folder.join(publication.name).with_extension("safetensors");
    let (file, weights) = (fetched.file.display(), out.display());
    let json = |weights, conversion| {
        let said = serde_json::json!({
            "fetched": fetched.to_json(),
            "license": publication.licence.to_string(),
            "weights": weights,
            "conversion": conversion,
        });
        format!("{said:#}\n")
    };
    if arguments.no_convert {
        if arguments.json {
            return Ok(json(None, None));
        }
        writeln!(said, "next           cargo xtask convert-weights {file} --out {weights}")?;
        return Ok(said);
    }
    let progress = terminal::bar("converting", Unit::Things("parameters"));
    terminal::break_off_when_interrupted(&progress);
    let conversion = convert(&Request::new(&fetched.file, &out), &progress);
    progress.finish_and_clear();
    // The file is there, whatever becomes of its conversion.
    let conversion =
        conversion.with_context(|| format!("{file} was fetched, but not converted"))?;
    conversion.findings.iter().for_each(|finding| tracing::warn!("{finding}"));
    if arguments.json {
        return Ok(json(Some(out.display().to_string()), Some(conversion.to_json())));
    }
    writeln!(said, "\n{conversion}")?;
    writeln!(
        said,
        "next           cargo xtask train --data data/lfw-224 --weights {weights} --out runs/lfw"
    )?;
    Ok(said)
}
