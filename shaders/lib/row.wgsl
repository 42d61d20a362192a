// One workgroup for each row: what is computed from the values of all its lanes.

// Lanes of a workgroup: a subgroup on most GPUs; and software adapters unroll a sum over 32 lanes, not one over 64 (four
// times slower).
const WIDTH = 32u;

var<workgroup> partial: array<f32, WIDTH>;
var<workgroup> candidate: array<f32, WIDTH>;

// The sum of every lane's value, in the order of the lanes. One barrier and a broadcast read per lane instead of a
// tree with a barrier per level: barriers are what software adapters pay most for, and GPUs read ahead. No lane may call it
// twice without a barrier between.
fn sum_of_lanes(lane: u32, value: f32) -> f32 {
    partial[lane] = value;
    workgroupBarrier();
    var sum = 0.0;
    for (var l = 0u; l < WIDTH; l++) {
        sum += partial[l];
    }
    return sum;
}

// The largest of every lane's values. No lane may call it twice without a barrier between.
fn most_of_lanes(lane: u32, value: f32) -> f32 {
    candidate[lane] = value;
    workgroupBarrier();
    var most = value;
    for (var l = 0u; l < WIDTH; l++) {
        most = max(most, candidate[l]);
    }
    return most;
}
