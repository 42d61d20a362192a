// A workgroup for RESULTS neighbouring columns of a matrix; PARTS invocations share the rows of each.
//
// uses       index.wgsl: Invocation, group_index
// uses       lanes1.wgsl or lanes4.wgsl: F

const RESULTS = 8u;
const PARTS = 32u;
const SHARED = 256u; // RESULTS * PARTS: invocation `lane` has column lane % RESULTS, and every PARTS-th row from lane / RESULTS on

// The number of the result that an invocation has a share in. It may lie behind the last one: such invocations take part in the
// barriers and write nothing.
fn result_of(invocation: Invocation) -> u32 {
    return group_index(invocation.workgroup, invocation.groups) * RESULTS + invocation.lane % RESULTS;
}

var<workgroup> column_sums: array<F, SHARED>;

// The sum of the values of a column's invocations, for each of them: halves are added, so results repeat bit for bit. Every
// invocation must come here: there are barriers.
fn sum_of_column(lane: u32, value: F) -> F {
    workgroupBarrier(); // an earlier sum has been read
    column_sums[lane] = value;
    for (var half = SHARED / 2u; half >= RESULTS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            column_sums[lane] += column_sums[lane + half];
        }
    }
    workgroupBarrier();
    return column_sums[lane % RESULTS];
}
