//! Plain loops, compiled for the vectors of this processor.

/// Runs `work` compiled for AVX2 where the processor has it. The crate itself is compiled for any x86-64 processor, whose vectors
/// are half as long. Results are the same: the compiler does not join multiplications and additions of its own accord.
///
/// What `work` calls must be inlined into it to gain anything.
#[inline(always)]
pub(crate) fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        if super::tile::tiles().lanes > 4 {
            // SAFETY: every set of tiles with more lanes than four needs a processor with AVX2.
            return unsafe { avx2(work) };
        }
    }
    work()
}
