//! Batches, each read while the one before is at work.

use std::{sync::mpsc::sync_channel, thread};

use candle_core::{Device, Tensor};

use super::Inputs;
use crate::Error;

/// Gives the batches to `work` in their order; a thread of its own reads the next one meanwhile.
///
/// # Errors
///
/// Those of [`Inputs::read`] and of `work`; no batch behind the first error is worked on.
pub(crate) fn for_each_batch<'b>(
    inputs: &Inputs<'_>,
    batches: impl Iterator<Item = &'b [usize]> + Send,
    epoch: usize,
    device: &Device,
    mut work: impl FnMut(&'b [usize], &Tensor) -> Result<(), Error>,
) -> Result<(), Error> {
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(0);
        scope.spawn(move || {
            for batch in batches {
                let read = inputs.read(batch, epoch, &Device::Cpu);
                let has_failed = read.is_err();
                if sender.send((batch, read)).is_err() || has_failed {
                    // Work has ended with an error, or will now: nobody waits for more.
                    return;
                }
            }
        });
        for (batch, read) in receiver {
            work(batch, &read?.to_device(device)?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::small_file;

    #[test]
    fn batches_come_in_order_until_the_first_error() {
        let (_folder, file) = small_file(1, &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let order = [8, 3, 1, 0, 7];
        let mut seen = Vec::new();
        let inputs = Inputs::Features(&file);
        let read = for_each_batch(&inputs, order.chunks(2), 1, &Device::Cpu, |batch, values| {
            seen.push((batch.to_vec(), values.flatten_all()?.to_vec1::<f32>()?));
            Ok(())
        });
        read.unwrap();
        let expected =
            [(vec![8, 3], vec![8.0, 3.0]), (vec![1, 0], vec![1.0, 0.0]), (vec![7], vec![7.0])];
        assert_eq!(seen, expected);

        let mut worked = 0;
        let stopped = for_each_batch(&inputs, order.chunks(1), 1, &Device::Cpu, |_, _| {
            worked += 1;
            if worked == 2 { Err(Error::InterruptedFeatures) } else { Ok(()) }
        });
        assert!(matches!(stopped, Err(Error::InterruptedFeatures)));
        assert_eq!(worked, 2);
    }
}
