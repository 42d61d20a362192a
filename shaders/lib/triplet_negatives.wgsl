// Every triplet of an anchor, seen from its negatives.
//
// uses       triplet.wgsl: is_candidate, pivot_of
// uses       triplet_each.wgsl or triplet_shared.wgsl: POSITIVES
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE, SLOTS, TRIPLET_*

// Adds the triplets of the images from `lane` on, `lanes` apart, of which an invocation takes POSITIVES at a time, and notes how
// often each is pushed away.
fn add_negatives(sums: ptr<function, array<f32, SLOTS>>, a: u32, lane: u32, lanes: u32) {
    let row = a * p.b;
    let label = labels[a];
    let first = sorted[p.b + a];
    let count = sorted[2u * p.b + a];
    let pivot = pivot_of(a);
    for (var start = lane; start < p.b; start += lanes * POSITIVES) {
        var far: array<f32, POSITIVES>;
        var triplets: array<u32, POSITIVES>;
        var loss: array<f32, POSITIVES>;
        for (var q = 0u; q < POSITIVES; q++) {
            let n = min(start + q * lanes, p.b - 1u);
            // Nothing is so far that this is a candidate: the image of a's own person, or behind the last.
            far[q] = select(HUGE, d[row + n], labels[n] != label && start + q * lanes < p.b);
        }
        for (var at = 0u; at < count; at++) {
            let i = sorted[first + at];
            if i != a {
                let near = d[row + i];
                for (var q = 0u; q < POSITIVES; q++) {
                    let fits = is_candidate(near, far[q]);
                    triplets[q] += u32(fits);
                    loss[q] += select(0.0, p.margin - (far[q] - near), fits);
                }
            }
        }
        for (var q = 0u; q < POSITIVES; q++) {
            if triplets[q] != 0u {
                let number = f32(triplets[q]);
                let apart = far[q] - pivot;
                (*sums)[TRIPLET_LOSS] += loss[q];
                (*sums)[TRIPLET_COUNT] += number;
                (*sums)[TRIPLET_CANDIDATES] += number;
                (*sums)[TRIPLET_DISTANCE] += number * apart;
                (*sums)[TRIPLET_SQUARES] += number * apart * apart;
                pull[row + start + q * lanes] = -i32(triplets[q]);
            }
        }
    }
}
