//! Which buffers of a plan may share memory: temporaries whose lives do not overlap.

use std::collections::BTreeMap;

use super::{Buf, Plan, Role, Type};

/// Physical allocations of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// For each buffer of the plan the allocation that holds it; `None` for one that is held elsewhere.
    pub of: Vec<Option<usize>>,
    /// Bytes of each allocation.
    pub bytes: Vec<u64>,
    /// Bytes of all buffers that are in use at the worst moment, those that share nothing included: no assignment needs less.
    pub live: u64,
}

/// Gives every buffer an allocation. With `share`, temporaries reuse allocations whose content is dead. Whole buffers
/// only, because devices track and order whole buffers. An allocation keeps one element type, because the CPU device
/// stores floats and integers apart.
pub fn assign_slots(plan: &Plan, share: bool) -> Slots {
    assign_slots_except(plan, share, |_| false)
}

/// The same without the buffers that are `elsewhere`: those that a store holds.
pub fn assign_slots_except(plan: &Plan, share: bool, elsewhere: impl Fn(Buf) -> bool) -> Slots {
    let lives = lives(plan);
    let mut slots = Slots { of: vec![None; plan.buffers.len()], bytes: Vec::new(), live: 0 };
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
    let life = |b: usize| lives[b].expect("only buffers in use wait for a slot");
    slots.live = slots.bytes.iter().sum::<u64>() + most_alive(plan, waiting.iter().map(|&b| (b, life(b))));
    let [by_size, by_time] = [by_size(plan, &waiting, life), by_time(plan, &waiting, life)];
    let total = |packed: &Packed| packed.bytes.iter().sum::<u64>();
    let packed = if total(&by_size) <= total(&by_time) { by_size } else { by_time };
    let first = slots.bytes.len();
    packed.of.iter().for_each(|&(b, slot)| slots.of[b] = Some(first + slot));
    slots.bytes.extend(packed.bytes);
    slots
}

/// Allocations of temporaries: for each its allocation, and their bytes.
struct Packed {
    of: Vec<(usize, usize)>,
    bytes: Vec<u64>,
}

/// First and last step that uses a temporary.
type Life = (usize, usize);

/// The largest first ("greedy by size for shared objects", Pisarchyk and Lee, 2020), each where it leaves the least time
/// unused around it: no allocation grows.
fn by_size(plan: &Plan, waiting: &[usize], life: impl Fn(usize) -> Life) -> Packed {
    let mut order = waiting.to_vec();
    order.sort_by_key(|&b| (std::cmp::Reverse(plan.buffers[b].bytes()), life(b), b));
    let mut packed = Packed { of: Vec::new(), bytes: Vec::new() };
    let mut shared: Vec<Shared> = Vec::new();
    for b in order {
        let (life, ty) = (life(b), plan.buffers[b].ty);
        let slots = shared.iter().enumerate().filter(|(_, slot)| slot.ty == ty);
        let best = slots.filter_map(|(number, slot)| Some((slot.gap(life)?, number))).min();
        let number = best.map_or(shared.len(), |(_, number)| number);
        if number == shared.len() {
            packed.bytes.push(plan.buffers[b].bytes());
            shared.push(Shared { ty, tenants: BTreeMap::new() });
        }
        shared[number].tenants.insert(life.0, life.1);
        packed.of.push((b, number));
    }
    packed
}

/// In order of first use: the smallest free allocation that is large enough, else the largest, which grows.
fn by_time(plan: &Plan, waiting: &[usize], life: impl Fn(usize) -> Life) -> Packed {
    let mut order = waiting.to_vec();
    order.sort_by_key(|&b| life(b));
    let mut packed = Packed { of: Vec::new(), bytes: Vec::new() };
    let mut busy: Vec<(Type, usize)> = Vec::new(); // element type, last step that uses it
    for b in order {
        let ((first, last), need, ty) = (life(b), plan.buffers[b].bytes(), plan.buffers[b].ty);
        let free = (0..busy.len()).filter(|&slot| busy[slot].0 == ty && busy[slot].1 < first);
        let best = free.min_by_key(|&slot| {
            let have = packed.bytes[slot];
            if have >= need { (0, have - need) } else { (1, need - have) }
        });
        let slot = best.unwrap_or(busy.len());
        if slot == busy.len() {
            packed.bytes.push(0);
            busy.push((ty, last));
        }
        busy[slot].1 = last;
        packed.bytes[slot] = packed.bytes[slot].max(need);
        packed.of.push((b, slot));
    }
    packed
}

/// An allocation that several temporaries hold in turn.
struct Shared {
    ty: Type,
    /// First and last step of each tenant.
    tenants: BTreeMap<usize, usize>,
}

impl Shared {
    /// Steps between a life and its neighbours; `None` if it overlaps with one.
    fn gap(&self, (first, last): Life) -> Option<usize> {
        let before = self.tenants.range(..=last).next_back();
        if before.is_some_and(|(_, &end)| end >= first) {
            return None;
        }
        let after = self.tenants.range(last..).next().map_or(0, |(&begin, _)| begin - last);
        Some(before.map_or(0, |(_, &end)| first - end) + after)
    }
}

/// First and last step that uses each buffer.
fn lives(plan: &Plan) -> Vec<Option<Life>> {
    let mut lives: Vec<Option<Life>> = vec![None; plan.buffers.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        let at = plan.time(at);
        for &Buf(b) in &step.buffers {
            let life = lives[b as usize].get_or_insert((at, at));
            life.1 = life.1.max(at);
        }
    }
    lives
}

/// Bytes that are in use at the worst step.
fn most_alive(plan: &Plan, lives: impl Iterator<Item = (usize, Life)>) -> u64 {
    let mut change = vec![0i128; plan.steps.len() + 1];
    for (b, (first, last)) in lives {
        let bytes = i128::from(plan.buffers[b].bytes());
        change[first] += bytes;
        change[last + 1] -= bytes;
    }
    let mut now = 0;
    let most = change.iter().map(|change| {
        now += change;
        now
    });
    u64::try_from(most.max().unwrap_or(0)).expect("no more is freed than was allocated")
}
