//! What the machine can do at most, the marks that kernels are measured against; and what memory a process took.

use std::time::Instant;

use rayon::prelude::*;

use crate::lanes::for_each_cpu;

/// Independent sums, at most: as many as fit into the registers hide the latency of an addition.
const CHAINS: usize = 28;

/// Products of a lane in a measurement: some tens of milliseconds.
const TERMS: usize = 60_000_000;

/// Floats of each array that is passed over; far more than a cache holds.
const STREAM_LEN: usize = 32 << 20;

/// Times that each is measured; the best counts.
const REPETITIONS: usize = 5;

/// Multiplications and additions of f32 a second, all threads together, as the kernels of this crate do them: in registers,
/// with nothing read or written.
pub fn multiply_add_peak() -> f64 {
    let threads = rayon::current_num_threads();
    let seconds = least_seconds(REPETITIONS, || {
        let sums: Vec<f32> = (0..threads)
            .into_par_iter()
            .with_max_len(1)
            .map(|_| {
                let mut sum = 0.0;
                // SAFETY: nothing is asked for.
                unsafe { multiply_add(&mut sum) };
                sum
            })
            .collect();
        std::hint::black_box(sums);
    });
    let lanes = crate::lanes::LANES * TERMS * threads;
    2.0 * lanes as f64 / seconds
}

/// Bytes a second between memory and all threads together, two thirds read and one third written.
pub fn memory_bandwidth() -> f64 {
    let from = vec![1.0_f32; STREAM_LEN];
    let mut to = vec![2.0_f32; STREAM_LEN];
    let part = STREAM_LEN.div_ceil(rayon::current_num_threads());
    let seconds = least_seconds(REPETITIONS, || {
        to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| {
            for (to, from) in to.iter_mut().zip(from) {
                *to = 0.5 * *to + from;
            }
        });
    });
    (3 * size_of::<f32>() * STREAM_LEN) as f64 / seconds
}

/// The most memory that this process has held so far, or since [`reset_peak_memory`], in bytes; 0 where the
/// system does not say.
///
/// On Linux from `/proc`: what `getrusage` says begins, in a process that another has started, with the most that that
/// one had held.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map_or(0, |kib: u64| kib * 1024)
}

/// Lets [`peak_memory`] begin anew with what the process holds now, where the system can: on Linux.
pub fn reset_peak_memory() {
    // Where it cannot be reset, the peak is that of the process so far, as documented.
    let _denied = std::fs::write("/proc/self/clear_refs", "5");
}

/// The shortest of some times, in seconds, that work takes once it is warm.
pub fn least_seconds(repetitions: usize, mut work: impl FnMut()) -> f64 {
    work();
    let time = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..repetitions).map(time).fold(f64::INFINITY, f64::min)
}

for_each_cpu! {
    unsafe fn multiply_add<L: Lanes>(sum: &mut f32) {
        // SAFETY: the features are there by the caller's word.
        unsafe {
            let (factor, term) = (L::splat(0.999), L::splat(1e-3));
            let mut sums = [L::splat(0.5); CHAINS];
            let mut start = 0.5;
            for sum in &mut sums {
                // Different, so that none is computed for another.
                *sum = L::splat(start);
                start += 0.01;
            }
            for _ in 0..TERMS / (L::TILES * L::BLOCKS) {
                for sum in &mut sums[..L::TILES * L::BLOCKS] {
                    *sum = sum.mul_add(factor, term);
                }
            }
            let mut lanes = [0.0; crate::lanes::LANES];
            for values in sums {
                values.store(lanes.as_mut_ptr());
                *sum += lanes.iter().sum::<f32>();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_are_those_of_a_machine_that_computes() {
        // A single scalar product a nanosecond and a byte likewise: any machine does more.
        assert!(multiply_add_peak() > 1e9);
        assert!(memory_bandwidth() > 1e8);
        assert!(cfg!(not(target_os = "linux")) || peak_memory() > 1 << 20);
    }
}
