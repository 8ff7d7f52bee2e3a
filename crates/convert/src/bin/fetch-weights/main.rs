//! `fetch-weights`: a published file of VGG16's weights, fetched, checked and converted.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program's result and errors")]

mod arguments;

use std::process::ExitCode;
use std::time::SystemTime;

use arguments::Arguments;
use clap::Parser;
use convert::fetch::{Order, Patience, Publication, fetch};
use convert::{Request, convert, terminal};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    terminal::show_events();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Some(publication) = arguments.name.as_deref().and_then(Publication::named) else {
        println!("{}", Publication::table());
        return Ok(());
    };
    let url = arguments.url.unwrap_or_else(|| publication.url.to_owned());
    let order = Order { publication, url, folder: arguments.dir, now: SystemTime::now() };
    let progress = terminal::bytes_bar();
    let fetched = fetch(&order, &Patience::default(), &progress);
    progress.finish_and_clear();
    let fetched = fetched?;
    println!("{fetched}\nlicence        {}", publication.licence);
    let out = order.folder.join(publication.name).with_extension("safetensors");
    let (file, weights) = (fetched.file.display(), out.display());
    if arguments.no_convert {
        println!("next           cargo xtask convert-weights {file} --out {weights}");
        return Ok(());
    }
    let progress = terminal::parameters_bar();
    let conversion = convert(&Request::new(&fetched.file, &out), &progress);
    progress.finish_and_clear();
    let conversion = conversion?;
    println!("\n{conversion}");
    conversion.findings.iter().for_each(|finding| tracing::warn!("{finding}"));
    println!(
        "next           cargo xtask train --data data/lfw-224 --weights {weights} --out runs/lfw"
    );
    Ok(())
}
