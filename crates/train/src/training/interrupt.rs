//! Ctrl-C as a flag that the loop looks at between steps.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether the user wants to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// A flag that Ctrl-C and the termination signal raise; a second Ctrl-C ends the process at
    /// once.
    ///
    /// # Errors
    ///
    /// If the process has another handler already.
    pub fn on_signal() -> Result<Self, ctrlc::Error> {
        let interrupt = Self::default();
        let flag = interrupt.clone();
        ctrlc::set_handler(move || {
            if flag.is_raised() {
                // Nothing half-written has a final name, so this loses only what the last checkpoint lacks.
                terminal::clear();
                std::process::exit(1);
            }
            flag.raise();
            tracing::warn!("stopping after this step; Ctrl-C again to stop at once");
        })?;
        Ok(interrupt)
    }

    /// Asks the loop to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the loop is asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
