// A draw from a pair's candidates.
//
// uses       philox.wgsl: philox

// Which of so many candidates the pair of anchor `a` and image `i` takes.
fn drawn(a: u32, i: u32, candidates: u32) -> u32 {
    return philox(vec4(a, i, 0u, 1u), vec2(seed[0], seed[1])).x % candidates;
}
