//! The threads that share the kernels' work.

/// Does some work on one of the threads that share the kernels' tasks.
///
/// Every kernel that is called from elsewhere wakes them anew; from one of them, its neighbors are awake as a rule. A
/// training step of VGG16 calls some hundred kernels and takes a tenth less time so.
pub fn on_workers<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}
