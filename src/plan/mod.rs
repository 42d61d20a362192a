//! A plan: every buffer and every kernel dispatch of a step, decided once. Plain data that any device can run and that
//! prints as documentation (`facenet-gpu train --plan`).

mod call;
mod kept;
mod kernel;
mod memory;
mod phase;
pub mod reflect;
mod shape;
mod way;
mod wide;

use std::fmt;
use std::ops::Range;

use crate::{Error, Result};

pub(crate) use call::put;
pub use call::{Arg, Call, Float};
pub use kept::Kept;
pub use kernel::{Family, Field, Kernel, Params, Twin, Variant, grid};
pub use memory::{Slots, assign_slots, assign_slots_except};
pub use phase::Phase;
pub use shape::Shape;
pub use way::{Asked, Way};
pub use wide::{Declared, Wide};

/// Number of a buffer in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buf(pub u32);

impl Buf {
    /// Position in [`Plan::buffers`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Element type of a buffer. The `f64` oracle keeps `F32` buffers in `f64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Floats.
    F32,
    /// Unsigned integers: labels, indices, counts.
    U32,
}

/// Why a buffer exists, and with it how long its content lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Written by the caller before a run: images, labels, the learning rate. An op may overwrite it.
    Input,
    /// Written by the caller once and read by every run, such as the gradient that backward starts from. A plan in which
    /// a step writes it is refused.
    Constant,
    /// A trained tensor: written by the caller once, by the optimiser at every step.
    Param,
    /// What an optimiser remembers between steps; starts at zero.
    State,
    /// A running statistic: kept in weights files like a trained tensor, but without a gradient; the update changes it.
    Statistic,
    /// Computed from parameters and statistics for inference, such as batch normalisation folded into a convolution:
    /// written by a plan of its own whenever they have changed.
    Derived,
    /// Read by the caller, or by phases that are run later, after a run.
    Output,
    /// Lives from its first to its last step in the plan's order; may share memory with others whose lives do not
    /// overlap. Phases may be run out of order only where nothing that lives in one is needed after the other.
    Temporary,
}

impl Role {
    /// Whether a weights file holds such tensors.
    pub fn is_weight(self) -> bool {
        matches!(self, Self::Param | Self::Statistic)
    }

    /// Whether the tensor outlives a run and may be shared by several plans: see [`Store`](crate::store::Store).
    pub fn is_persistent(self) -> bool {
        matches!(self, Self::Param | Self::Statistic | Self::State | Self::Derived)
    }
}

/// One buffer of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferSpec {
    /// Layer and tensor, such as `conv1/w` or `d conv1`.
    pub name: String,
    /// Sizes.
    pub shape: Shape,
    /// Element type.
    pub ty: Type,
    /// What it is for.
    pub role: Role,
}

impl BufferSpec {
    /// Bytes on a device (four per element).
    pub fn bytes(&self) -> u64 {
        self.shape.len() as u64 * 4
    }
}

/// One dispatch of a kernel.
#[derive(Debug, Clone)]
pub struct Step {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// The layer that it works for, for the profile and for messages.
    pub layer: String,
    /// Its parameter struct.
    pub params: Vec<u8>,
    /// Values of its `override` constants.
    pub overrides: Vec<(&'static str, f64)>,
    /// Its buffers in binding order (binding 1 and up; binding 0 holds the parameters).
    pub buffers: Vec<Buf>,
    /// Multiply-adds that it computes; 0 where they are not worth counting.
    pub macs: u64,
    /// Name of the variant, or of the way on the CPU, that was chosen by measurement; without one, the device takes the first
    /// that suits.
    pub choice: Option<&'static str>,
}

impl Step {
    /// The buffers that it writes, in binding order.
    pub fn written(&self) -> Vec<Buf> {
        let interface = self.kernel.interface();
        let storage = interface.bindings[1..].iter().zip(&self.buffers);
        let written = storage.filter(|(binding, _)| binding.access == reflect::Access::ReadWrite);
        written.map(|(_, &buf)| buf).collect()
    }
}

/// Every buffer and every dispatch of a step.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The buffers.
    pub buffers: Vec<BufferSpec>,
    /// The dispatches, in order.
    pub steps: Vec<Step>,
    /// Ranges of steps, in order.
    pub phases: Vec<(Phase, Range<usize>)>,
    /// Ranges of steps that stand in for earlier ones of the same number, and where those begin: see
    /// [`repeat`](Self::repeat).
    pub repeats: Vec<(Range<usize>, usize)>,
}

impl Plan {
    /// Adds a buffer.
    pub fn buffer(&mut self, name: impl Into<String>, shape: Shape, ty: Type, role: Role) -> Buf {
        self.buffers.push(BufferSpec { name: name.into(), shape, ty, role });
        Buf(u32::try_from(self.buffers.len() - 1).expect("a plan has far fewer than 2^32 buffers"))
    }

    /// The buffer's description.
    pub fn spec(&self, buf: Buf) -> &BufferSpec {
        &self.buffers[buf.index()]
    }

    /// The buffer of that name.
    pub fn find(&self, name: &str) -> Option<Buf> {
        let index = self.buffers.iter().position(|b| b.name == name)?;
        u32::try_from(index).ok().map(Buf)
    }

    /// Buffers of one role with their numbers.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = (Buf, &BufferSpec)> {
        (0u32..).map(Buf).zip(&self.buffers).filter(move |(_, spec)| spec.role == role)
    }

    /// The buffers that a weights file holds, with their numbers: trained tensors and running statistics.
    pub fn weights(&self) -> impl Iterator<Item = (Buf, &BufferSpec)> {
        (0u32..).map(Buf).zip(&self.buffers).filter(|(_, spec)| spec.role.is_weight())
    }

    /// Steps of a phase; `None` if the plan has no such phase.
    pub fn phase(&self, phase: Phase) -> Option<Range<usize>> {
        self.phases.iter().find(|(p, _)| *p == phase).map(|(_, range)| range.clone())
    }

    /// Ends a phase: it holds all steps since the last one.
    pub fn end_phase(&mut self, phase: Phase) {
        let start = self.phases.last().map_or(0, |(_, range)| range.end);
        self.phases.push((phase, start..self.steps.len()));
    }

    /// Adds the phase `phase`: the steps of the phase `of` once more, on the same buffers, each changed by `change`. It is
    /// run in the place of the other, so that neither keeps memory from the other.
    ///
    /// # Panics
    /// If the plan has no phase `of`.
    pub fn repeat(&mut self, of: Phase, phase: Phase, change: impl FnMut(&mut Step)) {
        let original = self.phase(of).expect("the phase to repeat was recorded before");
        let start = self.steps.len();
        let mut steps = self.steps[original.clone()].to_vec();
        steps.iter_mut().for_each(change);
        self.steps.extend(steps);
        self.repeats.push((start..self.steps.len(), original.start));
        self.phases.push((phase, start..self.steps.len()));
    }

    /// Checks what holds for every plan whatever device runs it: no step writes a [`Role::Constant`], and the WGSL declares
    /// every override that a step sets.
    ///
    /// # Errors
    /// A step does otherwise; the message names it. A bug of the op that recorded it.
    pub fn check(&self) -> Result<()> {
        for step in &self.steps {
            let interface = step.kernel.interface();
            if let Some((name, _)) =
                step.overrides.iter().find(|(name, _)| !interface.overrides.iter().any(|o| o == name))
            {
                let message = format!("has no override {name}, which the layer {} sets", step.layer);
                return Err(Error::Kernel { kernel: step.kernel.name.to_string(), message });
            }
            for buf in step.written() {
                if self.spec(buf).role == Role::Constant {
                    let name = &self.spec(buf).name;
                    let message = format!("writes {name}, which is constant, in the layer {}", step.layer);
                    return Err(Error::Kernel { kernel: step.kernel.name.to_string(), message });
                }
            }
        }
        Ok(())
    }

    /// What a [`Way`] is asked about each step.
    pub fn asked(&self) -> Vec<Asked<'_>> {
        let mut written = vec![false; self.buffers.len()];
        self.steps.iter().flat_map(Step::written).for_each(|buf| written[buf.index()] = true);
        let of = |step: &'_ Step| {
            let mut weights = step.buffers.iter().filter(|&&buf| self.spec(buf).role.is_persistent()).peekable();
            weights.peek().is_some() && weights.all(|buf| !written[buf.index()])
        };
        let asked = self.steps.iter().map(|step| (step, of(step)));
        asked.map(|(step, fixed)| Asked { params: &step.params, overrides: &step.overrides, fixed }).collect()
    }

    /// When a step is run, as a position in the plan: its own, or that of the step that it stands in for.
    fn time(&self, at: usize) -> usize {
        let repeat = self.repeats.iter().find(|(range, _)| range.contains(&at));
        repeat.map_or(at, |(range, original)| original + (at - range.start))
    }

    /// Checks that `len` elements of type `ty` are what a buffer holds.
    ///
    /// # Errors
    /// They are not; the message names the buffer.
    pub fn check_len(&self, buf: Buf, ty: Type, len: usize) -> Result<()> {
        let spec = self.spec(buf);
        if spec.ty != ty || spec.shape.len() != len {
            return Err(Error::shape(
                &spec.name,
                format!("holds {:?} {} ({} elements), not {ty:?} x {len}", spec.ty, spec.shape, spec.shape.len()),
            ));
        }
        Ok(())
    }

    /// Bytes that a device allocates for this plan, with temporaries sharing memory.
    pub fn bytes(&self) -> u64 {
        assign_slots(self, true).bytes.iter().sum()
    }
}

/// The plan as a table: buffers, then steps by phase.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "buffers")?;
        let width = self.buffers.iter().map(|b| b.name.len()).max().unwrap_or(0);
        for (i, b) in self.buffers.iter().enumerate() {
            let role = format!("{:?}", b.role).to_lowercase();
            let ty = if b.ty == Type::F32 { "f32" } else { "u32" };
            writeln!(f, "{i:>5}  {:<width$}  {ty} {:<20} {role}", b.name, b.shape.to_string())?;
        }
        for (phase, range) in &self.phases {
            writeln!(f, "{phase}")?;
            for (i, step) in self.steps[range.clone()].iter().enumerate() {
                let buffers: Vec<_> = step.buffers.iter().map(|b| self.spec(*b).name.as_str()).collect();
                let overrides: String = step.overrides.iter().map(|(n, v)| format!(" {n}={v}")).collect();
                let overrides = overrides + &step.choice.map_or_else(String::new, |choice| format!(" ({choice})"));
                let (name, at) = (step.kernel.name, range.start + i);
                writeln!(f, "{at:>5}  {name:<22}{overrides}  {}", buffers.join(", "))?;
            }
        }
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let all = self.bytes();
        let of = |role| self.with_role(role).map(|(_, spec)| spec.bytes()).sum::<u64>();
        let (weights, state) = (of(Role::Param) + of(Role::Statistic), of(Role::State));
        writeln!(f, "weights {:>9.1} MiB, held once and shared with every other plan of the run", mib(weights))?;
        writeln!(f, "state   {:>9.1} MiB of the optimiser", mib(state))?;
        writeln!(f, "step    {:>9.1} MiB of activations, gradients and inputs", mib(all - weights - state))?;
        write!(f, "memory  {:>9.1} MiB", mib(all))
    }
}
