//! Whether a plan fits in memory, asked before it is allocated: an operating system that promises more than it has would
//! end the program in the middle of a step.

use sysinfo::System;

use crate::plan::{Plan, Role, Slots};
use crate::{Error, Result};

/// Bytes that can still be allocated: what the machine has free, or less where a container has a limit.
pub(crate) fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(limit)
}

/// Checks that all allocations of a plan, in elements of `size` bytes, fit in `available` bytes.
pub(super) fn check(plan: &Plan, slots: &Slots, size: usize, available: u64) -> Result<()> {
    let mut sum = 0;
    for (slot, bytes) in slots.bytes.iter().enumerate() {
        sum += bytes / 4 * size as u64;
        if sum > available {
            return Err(exhausted(plan, slots, slot));
        }
    }
    Ok(())
}

/// The error for the allocation that does not fit: it names the largest tensor in it.
pub(super) fn exhausted(plan: &Plan, slots: &Slots, slot: usize) -> Error {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let tenants = plan.buffers.iter().zip(&slots.of).filter(|(_, of)| **of == Some(slot));
    let (spec, _) = tenants.max_by_key(|(spec, _)| spec.bytes()).expect("every slot belongs to a buffer");
    let kind = if spec.role == Role::Temporary { "activation" } else { "tensor" };
    Error::Memory(format!(
        "out of memory: the {kind} {} {} of {:.1} MiB does not fit any more (all tensors need {:.1} MiB)",
        spec.name,
        spec.shape,
        mib(spec.bytes()),
        mib(slots.bytes.iter().sum())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Shape, Type, assign_slots};

    #[test]
    fn a_plan_that_does_not_fit_is_refused_with_the_tensor_and_its_size() {
        let mut plan = Plan::default();
        plan.buffer("images", Shape::vector(1 << 18), Type::F32, Role::Input);
        plan.buffer("conv1", Shape::vector(1 << 20), Type::F32, Role::Output);
        let slots = assign_slots(&plan, true);
        assert!(check(&plan, &slots, 4, 5 << 20).is_ok());
        let message = check(&plan, &slots, 4, 4 << 20).unwrap_err().to_string();
        assert!(message.contains("conv1 [1048576] of 4.0 MiB") && message.contains("need 5.0 MiB"), "{message}");
        assert!(check(&plan, &slots, 8, 5 << 20).is_err(), "f64 needs twice as much");
    }
}
