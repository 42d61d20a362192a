// The closest candidates among some images.
//
// uses       triplet.wgsl: is_candidate
// uses       triplet_each.wgsl or triplet_shared.wgsl: POSITIVES
// uses       triplet_pair.wgsl: NONE
// uses       triplet_params.wgsl: p
// uses       triplet_sums.wgsl: HUGE

// For each positive, the distance of its closest candidate, its number, and how many candidates there are.
struct Closest {
    far: array<f32, POSITIVES>,
    choice: array<u32, POSITIVES>,
    candidates: array<u32, POSITIVES>,
}

// What there is for positives at a distance of `near` among the images from `first` on, `step` apart. Of equally close
// candidates the first wins.
fn closest_candidates(a: u32, near: ptr<function, array<f32, POSITIVES>>, first: u32, step: u32) -> Closest {
    let row = a * p.b;
    let label = labels[a];
    var found: Closest;
    for (var q = 0u; q < POSITIVES; q++) {
        found.far[q] = HUGE;
        found.choice[q] = NONE;
    }
    for (var n = first; n < p.b; n += step) {
        if labels[n] != label {
            let distance = d[row + n];
            for (var q = 0u; q < POSITIVES; q++) {
                let fits = is_candidate((*near)[q], distance);
                let better = fits && distance < found.far[q];
                found.candidates[q] += u32(fits);
                found.far[q] = select(found.far[q], distance, better);
                found.choice[q] = select(found.choice[q], n, better);
            }
        }
    }
    return found;
}
