// One workgroup for each long row, for GPUs: what is computed from the values of all its lanes.

const WIDTH = 256u;

var<workgroup> partial: array<f32, WIDTH>;

// The sum of every lane's value: halves are added, so results repeat bit for bit.
fn sum_of_lanes(lane: u32, value: f32) -> f32 {
    workgroupBarrier(); // what was computed before has been read
    partial[lane] = value;
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    workgroupBarrier();
    return partial[0];
}

// The largest of every lane's values.
fn most_of_lanes(lane: u32, value: f32) -> f32 {
    workgroupBarrier(); // what was computed before has been read
    partial[lane] = value;
    for (var half = WIDTH / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] = max(partial[lane], partial[lane + half]);
        }
    }
    workgroupBarrier();
    return partial[0];
}
