//! Activations that are computed again for backward instead of kept: an op marks the dispatches that cost little.

use std::collections::HashMap;

use super::{Buf, Plan, Role, Step};

impl Plan {
    /// Lets the steps from `start` on, which are backward and have no phase yet, compute again what earlier steps made
    /// [cheaply](Step::cheap), right before it is read. What was made before then lives until its last reader forward.
    ///
    /// A value is computed again if what it is made of is still there at that time, or is computed again itself. Values are
    /// the same, bit by bit.
    pub fn recompute(&mut self, start: usize) {
        let backward = self.steps.split_off(start);
        let mut pass = Pass::new(self, &backward);
        let mut steps = Vec::with_capacity(backward.len());
        for (at, mut step) in backward.iter().cloned().enumerate() {
            for buf in &step.buffers {
                if pass.again(*buf, at) {
                    pass.make(*buf, at, &mut steps);
                }
            }
            step.buffers.iter_mut().for_each(|buf| *buf = pass.now(*buf));
            steps.push(step);
        }
        self.steps.extend(steps);
    }
}

struct Pass<'p> {
    plan: &'p mut Plan,
    /// For each buffer the earlier steps that write it.
    writers: Vec<Vec<usize>>,
    /// For each buffer the first and the last of the backward steps that use it.
    used: Vec<Option<[usize; 2]>>,
    /// Buffers that a backward step writes.
    changed: Vec<bool>,
    /// What stands in the place of a buffer that was computed again.
    made: HashMap<Buf, Buf>,
}

impl<'p> Pass<'p> {
    fn new(plan: &'p mut Plan, backward: &[Step]) -> Self {
        let count = plan.buffers.len();
        let (mut writers, mut used, mut changed) = (vec![Vec::new(); count], vec![None; count], vec![false; count]);
        for (at, step) in plan.steps.iter().enumerate() {
            step.written().iter().for_each(|buf| writers[buf.index()].push(at));
        }
        for (at, step) in backward.iter().enumerate() {
            step.buffers.iter().for_each(|buf| used[buf.index()].get_or_insert([at, at])[1] = at);
            step.written().iter().for_each(|buf| changed[buf.index()] = true);
        }
        Self { plan, writers, used, changed, made: HashMap::new() }
    }

    /// What a backward step reads for a buffer.
    fn now(&self, buf: Buf) -> Buf {
        self.made.get(&buf).copied().unwrap_or(buf)
    }

    /// Whether a buffer is to be computed for backward step number `at`.
    fn again(&self, buf: Buf, at: usize) -> bool {
        let steps = &self.writers[buf.index()];
        let cheap = |&step: &usize| self.plan.steps[step].cheap && self.plan.steps[step].written() == [buf];
        let sources = || steps.iter().flat_map(|&step| &self.plan.steps[step].buffers).filter(|source| **source != buf);
        self.plan.spec(buf).role == Role::Temporary
            && !self.made.contains_key(&buf)
            && !self.changed[buf.index()]
            && !steps.is_empty()
            && steps.iter().all(cheap)
            && sources().all(|&source| self.there(source, at) || self.again(source, at))
    }

    /// Whether a buffer has its value, without being kept for that, before backward step number `at`.
    fn there(&self, buf: Buf, at: usize) -> bool {
        let kept =
            self.plan.spec(buf).role != Role::Temporary || self.used[buf.index()].is_some_and(|[_, last]| last >= at);
        !self.changed[buf.index()] && (kept || self.made.contains_key(&buf))
    }

    /// Adds the steps that compute a buffer again, and those for what it is made of.
    fn make(&mut self, buf: Buf, at: usize, steps: &mut Vec<Step>) {
        let mut again: Vec<Step> =
            self.writers[buf.index()].iter().map(|&step| self.plan.steps[step].clone()).collect();
        for source in again.iter().flat_map(|step| step.buffers.clone()).filter(|source| *source != buf) {
            if self.again(source, at) {
                self.make(source, at, steps);
            }
        }
        let spec = self.plan.spec(buf).clone();
        let copy = self.plan.buffer(format!("{} again", spec.name), spec.shape, spec.ty, Role::Temporary);
        self.made.insert(buf, copy);
        for step in &mut again {
            step.buffers.iter_mut().for_each(|buf| *buf = self.now(*buf));
        }
        steps.extend(again);
    }
}
