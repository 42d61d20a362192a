// Index arithmetic that several kernels share.

// The number of this workgroup in a grid that `grid::fold` has folded into rows. May lie past the last one: check it.
fn group_index(workgroup: vec3<u32>, groups: vec3<u32>) -> u32 {
    return workgroup.y * groups.x + workgroup.x;
}
