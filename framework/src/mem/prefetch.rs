//! [`prefetch`]: has the processor fetch memory that is needed soon.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the instruction takes an address")
)]

/// Asks the processor to bring the cache line with the first byte of `place` near, and goes on.
///
/// Worth it where the address is known well before the value is needed, and the value is seldom in
/// the cache: in a table of megabytes, for instance. Nothing else changes. Processors other than
/// `x86_64` are not asked.
///
/// # Examples
/// ```
/// let table = vec![1_u64; 1 << 20];
/// let entry = &table[77_777];
/// sunstar::mem::prefetch(entry);
/// // Here is what can be done without the entry; then it is near.
/// assert_eq!(*entry, 1);
/// ```
#[inline]
pub fn prefetch<T: ?Sized>(place: &T) {
    let place = std::ptr::from_ref(place).cast();
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place);
    }
    // Others have the address for nothing.
    let _: *const i8 = place;
}
