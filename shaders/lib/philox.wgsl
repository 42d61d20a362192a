// Random words from a counter: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011), the generator of PyTorch's dropout on GPUs. Integers only, so every device finds the same words.

// The upper halves of the products a * b, from products of 16 bits.
fn high_halves(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = (a & vec2(0xFFFFu)) * (b & vec2(0xFFFFu));
    let left = (a >> vec2(16u)) * (b & vec2(0xFFFFu)) + (low >> vec2(16u));
    let right = (a & vec2(0xFFFFu)) * (b >> vec2(16u)) + (left & vec2(0xFFFFu));
    return (a >> vec2(16u)) * (b >> vec2(16u)) + (left >> vec2(16u)) + (right >> vec2(16u));
}

// Four random words, the same ones whenever counter and key are the same.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let multipliers = vec2(0xD2511F53u, 0xCD9E8D57u);
    var words = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let high = high_halves(multipliers, words.xz);
        let low = multipliers * words.xz;
        words = vec4(high.y ^ words.y ^ k.x, low.y, high.x ^ words.w ^ k.y, low.x);
        k += vec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return words;
}
