//! The recipes that come with the program: ordinary TOML files, compiled in.

use crate::Error;

/// A built-in recipe.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its TOML, as `--show-recipe` prints it.
    pub text: &'static str,
}

/// Every built-in recipe, the default first.
pub const BUILTIN: &[Builtin] = &[
    Builtin { name: "two-stage", text: include_str!("../../recipes/two-stage.toml") },
    Builtin { name: "augmented", text: include_str!("../../recipes/augmented.toml") },
    Builtin { name: "low-rate", text: include_str!("../../recipes/low-rate.toml") },
    Builtin { name: "bottleneck", text: include_str!("../../recipes/bottleneck.toml") },
    Builtin { name: "linear-probe", text: include_str!("../../recipes/linear-probe.toml") },
    Builtin { name: "naive", text: include_str!("../../recipes/naive.toml") },
];

impl Builtin {
    /// The recipe of this name.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRecipe`] with the names that there are.
    pub fn find(name: &str) -> Result<&'static Self, Error> {
        BUILTIN.iter().find(|builtin| builtin.name == name).ok_or_else(|| Error::UnknownRecipe {
            name: name.to_owned(),
            known: BUILTIN.iter().map(|builtin| builtin.name).collect::<Vec<_>>().join(", "),
        })
    }
}
