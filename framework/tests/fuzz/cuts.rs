//! The ways in which an input is cut into pieces: what is made of it must not depend on that.

/// Into how many pieces an input is cut at most: more only cost time.
const PIECE_COUNT_MAX: usize = 100;
/// At how many places an input is cut in two.
const PLACES: u64 = 2;

/// Asserts that `play` makes the same of `input` however it is cut; returns what it makes of it.
pub(crate) fn agreed<T: PartialEq + std::fmt::Debug>(
    input: &[u8],
    play: impl Fn(&[&[u8]]) -> T,
) -> T {
    let whole = play(&[input]);
    let shown = || input.escape_ascii().to_string();
    let len = input.len() / PIECE_COUNT_MAX + 1;
    let pieces: Vec<_> = input.chunks(len).collect();
    assert_eq!(play(&pieces), whole, "{len} by {len}: {}", shown());
    for at in places(input) {
        let (front, back) = input.split_at(at);
        let halves = play(&[front, back]);
        assert_eq!(halves, whole, "cut at {at}: {}", shown());
    }
    whole
}

/// Some places of `input`, the same ones each time.
fn places(input: &[u8]) -> impl Iterator<Item = usize> {
    let len = input.len() as u64;
    let mut state = input.iter().fold(0xCBF2_9CE4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (0..if len > 1 { PLACES } else { 0 }).map(move |_| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        usize::try_from(1 + (state >> 33) % (len - 1)).expect("within the input")
    })
}
