// Index arithmetic that several kernels share.

// The number of this workgroup in a grid that `grid::fold` has folded into rows. May lie past the last one: check it.
fn group_index(workgroup: vec3<u32>, groups: vec3<u32>) -> u32 {
    return workgroup.y * groups.x + workgroup.x;
}

// Invocations of a workgroup in kernels with one invocation per item.
const ITEMS = 256u;

struct Invocation {
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
}

// The number of an invocation's item. May lie past the last one: check it.
fn item_index(invocation: Invocation) -> u32 {
    return group_index(invocation.workgroup, invocation.groups) * ITEMS + invocation.lane;
}

// The first of `rows` rows in part t of `splits`; part `splits` would start behind the last row. Parts differ by one row
// at most.
fn part_start(t: u32, rows: u32, splits: u32) -> u32 {
    return t * (rows / splits) + min(t, rows % splits);
}
