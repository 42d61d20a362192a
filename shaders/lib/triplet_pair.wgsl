// A pair has one triplet: what it adds to the sums of its anchor and to the matrix of pulls.
//
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: SLOTS, TRIPLET_*

// No image.
const NONE: u32 = 0xffffffffu;

// Adds the triplet of anchor `a`, image `i` at distance `near` and image `n` at distance `far`, which was chosen among so many
// candidates. If `i` is the anchor itself, it adds nothing; if `n` is NONE, it counts a pair without a triplet.
fn add_pair(
    sums: ptr<function, array<f32, SLOTS>>,
    a: u32, i: u32, n: u32, near: f32, far: f32, candidates: u32, pivot: f32,
) {
    if i != a {
        (*sums)[TRIPLET_POSSIBLE] += 1.0;
        if n != NONE {
            let apart = far - pivot;
            (*sums)[TRIPLET_LOSS] += p.margin - (far - near);
            (*sums)[TRIPLET_COUNT] += 1.0;
            (*sums)[TRIPLET_CANDIDATES] += f32(candidates);
            (*sums)[TRIPLET_DISTANCE] += apart;
            (*sums)[TRIPLET_SQUARES] += apart * apart;
            (*sums)[TRIPLET_PAIRS] += 1.0;
            atomicAdd(&pull[a * p.b + i], 1);
            atomicAdd(&pull[a * p.b + n], -1);
        }
    }
}
