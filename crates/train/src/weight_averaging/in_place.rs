//! Averages on the CPU, all threads together: no tensor as large as a parameter is made on the way.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Storage, Tensor, Var, bail};
use rayon::prelude::*;

use super::Share;

/// Values a task averages: enough to outweigh its start, few enough that all threads have work.
const TASK_LEN: usize = 1 << 16;

/// The variable's values.
pub(super) fn copied(variable: &Tensor) -> Result<Vec<f32>> {
    with_values(variable, <[f32]>::to_vec)
}

/// Takes the variable's values into their average.
pub(super) fn take_in(average: &mut [f32], variable: &Tensor, share: Share) -> Result<()> {
    with_values(variable, |weights| {
        check_lengths(average, weights)?;
        // By value: through a reference the shares would be read anew for each weight, in thrice the time.
        match share {
            Share::Blend { kept, taken } => {
                each(average, weights, move |average, weight| kept * average + taken * weight);
            }
            Share::Approach { share } => {
                each(average, weights, move |average, weight| average + (weight - average) * share);
            }
        }
        Ok(())
    })?
}

/// Exchanges the variable's values and their average.
pub(super) fn swap(average: &mut [f32], variable: &Var) -> Result<()> {
    variable.inplace_op1(&Swap(RefCell::new(average)))
}

fn each(average: &mut [f32], weights: &[f32], next: impl Fn(f32, f32) -> f32 + Sync) {
    let tasks = average.par_chunks_mut(TASK_LEN).zip(weights.par_chunks(TASK_LEN));
    tasks.for_each(|(averages, weights)| {
        for (average, &weight) in averages.iter_mut().zip(weights) {
            *average = next(*average, weight);
        }
    });
}

/// The operation as candle wants it: it may change its operand, and has no `&mut self` for the average.
struct Swap<'a>(RefCell<&'a mut [f32]>);

impl InplaceOp1 for Swap<'_> {
    fn name(&self) -> &'static str {
        "swap-average"
    }

    fn cpu_fwd(&self, variable: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(values), Some((start, end))) = (variable, layout.contiguous_offsets())
        else {
            bail!("a variable is not contiguous f32, expected it as it was made")
        };
        let mut average = self.0.borrow_mut();
        let weights = &mut values[start..end];
        check_lengths(&average, weights)?;
        let tasks = average.par_chunks_mut(TASK_LEN).zip(weights.par_chunks_mut(TASK_LEN));
        tasks.for_each(|(averages, weights)| averages.swap_with_slice(weights));
        Ok(())
    }
}

fn check_lengths(average: &[f32], weights: &[f32]) -> Result<()> {
    if average.len() != weights.len() {
        bail!("a variable has {} values, expected its average's {}", weights.len(), average.len());
    }
    Ok(())
}

fn with_values<T>(variable: &Tensor, work: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = variable.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(storage), Some((start, end))) => {
            Ok(work(&storage.as_slice::<f32>()?[start..end]))
        }
        _ => bail!("a variable is not contiguous on the CPU, expected it as it was made"),
    }
}
