//! Which buffers of a plan may share memory: temporaries whose lives do not overlap.

use super::{Buf, Plan, Role, Type};

/// Physical allocations of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// For each buffer of the plan the allocation that holds it; `None` for one that is held elsewhere.
    pub of: Vec<Option<usize>>,
    /// Bytes of each allocation.
    pub bytes: Vec<u64>,
}

/// Gives every buffer an allocation. With `share`, temporaries reuse allocations whose content is dead: best fit, in
/// order of first use. Whole buffers only, because devices track and order whole buffers. An allocation keeps one
/// element type, because the CPU device stores floats and integers apart.
pub fn assign_slots(plan: &Plan, share: bool) -> Slots {
    assign_slots_except(plan, share, |_| false)
}

/// The same without the buffers that are `elsewhere`: those that a store holds.
pub fn assign_slots_except(plan: &Plan, share: bool, elsewhere: impl Fn(Buf) -> bool) -> Slots {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        let at = plan.time(at);
        for &Buf(b) in &step.buffers {
            let life = lives[b as usize].get_or_insert((at, at));
            life.1 = life.1.max(at);
        }
    }
    let mut slots = Slots { of: vec![None; plan.buffers.len()], bytes: Vec::new() };
    let mut waiting: Vec<usize> = Vec::new();
    for (buf, (b, spec)) in (0u32..).map(Buf).zip(plan.buffers.iter().enumerate()) {
        if elsewhere(buf) {
            continue;
        }
        if share && spec.role == Role::Temporary && lives[b].is_some() {
            waiting.push(b);
        } else {
            slots.of[b] = Some(slots.bytes.len());
            slots.bytes.push(spec.bytes());
        }
    }
    waiting.sort_by_key(|&b| lives[b]);
    let mut busy_until: Vec<(usize, Type, usize)> = Vec::new(); // (slot, element type, last step that uses it)
    for b in waiting {
        let (first, last) = lives[b].expect("only buffers in use wait for a slot");
        let need = plan.buffers[b].bytes();
        let ty = plan.buffers[b].ty;
        let free = busy_until.iter_mut().filter(|(_, slot_ty, until)| *slot_ty == ty && *until < first);
        // The smallest one that is large enough, else the largest, which grows.
        let best = free.min_by_key(|(slot, ..)| {
            let have = slots.bytes[*slot];
            if have >= need { (0, have - need) } else { (1, need - have) }
        });
        let slot = match best {
            Some(entry) => {
                entry.2 = last;
                entry.0
            }
            None => {
                slots.bytes.push(0);
                busy_until.push((slots.bytes.len() - 1, ty, last));
                slots.bytes.len() - 1
            }
        };
        slots.bytes[slot] = slots.bytes[slot].max(need);
        slots.of[b] = Some(slot);
    }
    slots
}
