//! Runs a plan with the kernels' twins: a loop that knows no op.

use std::ops::Range;
use std::time::Instant;

use super::aligned::Aligned;
use super::memory;
use crate::Result;
use crate::executor::{Executor, Options, Pending};
use crate::plan::reflect::{Access, Interface, interface};
use crate::plan::{Arg, Call, Float};
use crate::plan::{Buf, Kernel, Plan, Slots, Type, assign_slots};

#[derive(Debug)]
enum Store<T> {
    F(Aligned<T>),
    U(Vec<u32>),
}

/// A plan with its memory on the CPU.
#[derive(Debug)]
pub struct CpuExecutor<T> {
    plan: Plan,
    slots: Slots,
    stores: Vec<Store<T>>,
    interfaces: Vec<std::sync::Arc<Interface>>,
}

/// The twin of a kernel for a float type.
pub trait TwinOf: Float {
    /// The kernel's Rust implementation for this type.
    fn twin(kernel: &Kernel) -> fn(Call<'_, Self>);
}

impl TwinOf for f32 {
    fn twin(kernel: &Kernel) -> fn(Call<'_, Self>) {
        kernel.twin.f32
    }
}

impl TwinOf for f64 {
    fn twin(kernel: &Kernel) -> fn(Call<'_, Self>) {
        kernel.twin.f64
    }
}

impl<T: TwinOf> CpuExecutor<T> {
    /// Allocates a plan's buffers.
    ///
    /// # Errors
    /// The memory is not to be had (the message names the tensor that does not fit), or a kernel's WGSL cannot be read.
    pub fn new(plan: Plan, options: &Options) -> Result<Self> {
        let slots = assign_slots(&plan, options.share);
        let mut types = vec![Type::F32; slots.bytes.len()];
        for (spec, &slot) in plan.buffers.iter().zip(&slots.of) {
            types[slot] = spec.ty;
        }
        memory::check(&plan, &slots, size_of::<T>(), memory::available())?;
        let fill = if options.poison { T::nan() } else { T::zero() };
        let mut stores = Vec::with_capacity(types.len());
        for (&bytes, ty) in slots.bytes.iter().zip(types) {
            let len = usize::try_from(bytes / 4).expect("allocations are counted in memory");
            let store = match ty {
                Type::F32 => Aligned::new(len, fill).map(Store::F),
                Type::U32 => reserve(len).map(|mut v| {
                    v.resize(len, if options.poison { u32::MAX } else { 0 });
                    Store::U(v)
                }),
            };
            stores.push(store.ok_or_else(|| memory::exhausted(&plan, &slots, stores.len()))?);
        }
        let mut interfaces = Vec::with_capacity(plan.steps.len());
        for step in &plan.steps {
            let variant = step.kernel.variants.last().expect("every kernel has a portable variant");
            interfaces.push(interface(variant)?);
        }
        Ok(Self { plan, slots, stores, interfaces })
    }

    /// The floats of a buffer.
    ///
    /// # Panics
    /// If the buffer holds integers.
    pub fn floats(&self, buf: Buf) -> &[T] {
        match &self.stores[self.slots.of[buf.index()]] {
            Store::F(v) => &v[..self.plan.spec(buf).shape.len()],
            Store::U(_) => panic!("{} holds integers", self.plan.spec(buf).name),
        }
    }

    /// The floats of a buffer, to write.
    ///
    /// # Panics
    /// If the buffer holds integers.
    pub fn floats_mut(&mut self, buf: Buf) -> &mut [T] {
        match &mut self.stores[self.slots.of[buf.index()]] {
            Store::F(v) => &mut v[..self.plan.spec(buf).shape.len()],
            Store::U(_) => panic!("{} holds integers", self.plan.spec(buf).name),
        }
    }

    fn step(&mut self, at: usize) {
        let step = &self.plan.steps[at];
        let storage = &self.interfaces[at].bindings[1..];
        // Written buffers leave the table while the kernel runs, so that the others can be borrowed from it.
        let mut written: Vec<(usize, Store<T>)> = Vec::new();
        for (binding, buf) in storage.iter().zip(&step.buffers) {
            if binding.access == Access::ReadWrite {
                let slot = self.slots.of[buf.index()];
                written.push((slot, std::mem::replace(&mut self.stores[slot], Store::U(Vec::new()))));
            }
        }
        let mut writes = written.iter_mut();
        let mut args = Vec::with_capacity(storage.len());
        for (binding, &buf) in storage.iter().zip(&step.buffers) {
            let len = self.plan.spec(buf).shape.len();
            args.push(match binding.access {
                Access::ReadWrite => match &mut writes.next().expect("one store per written binding").1 {
                    Store::F(v) => Arg::FMut(&mut v[..len]),
                    Store::U(v) => Arg::UMut(&mut v[..len]),
                },
                _ => match &self.stores[self.slots.of[buf.index()]] {
                    Store::F(v) => Arg::F(&v[..len]),
                    Store::U(v) => Arg::U(&v[..len]),
                },
            });
        }
        T::twin(step.kernel)(Call { params: &step.params, overrides: &step.overrides, args });
        for (slot, store) in written {
            self.stores[slot] = store;
        }
    }
}

impl<T: TwinOf> Executor for CpuExecutor<T> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write(&mut self, buf: Buf, data: &[f32]) -> Result<()> {
        self.plan.check_len(buf, Type::F32, data.len())?;
        for (to, &from) in self.floats_mut(buf).iter_mut().zip(data) {
            *to = T::of(f64::from(from));
        }
        Ok(())
    }

    fn write_u32(&mut self, buf: Buf, data: &[u32]) -> Result<()> {
        self.plan.check_len(buf, Type::U32, data.len())?;
        if let Store::U(v) = &mut self.stores[self.slots.of[buf.index()]] {
            v[..data.len()].copy_from_slice(data);
        }
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "results leave the device as f32")]
    fn read(&mut self, buf: Buf) -> Result<Vec<f32>> {
        self.plan.check_len(buf, Type::F32, self.plan.spec(buf).shape.len())?;
        Ok(self.floats(buf).iter().map(|x| x.f64() as f32).collect())
    }

    fn read_u32(&mut self, buf: Buf) -> Result<Vec<u32>> {
        let len = self.plan.spec(buf).shape.len();
        self.plan.check_len(buf, Type::U32, len)?;
        match &self.stores[self.slots.of[buf.index()]] {
            Store::U(v) => Ok(v[..len].to_vec()),
            Store::F(_) => unreachable!("the type was checked"),
        }
    }

    fn read_later(&mut self, buf: Buf) -> Result<Pending> {
        Ok(Pending::ready(self.read(buf)?))
    }

    fn run(&mut self, steps: Range<usize>) -> Result<()> {
        // One move to the pool's threads for all steps instead of one for each.
        rayon::scope(|_| steps.for_each(|at| self.step(at)));
        Ok(())
    }

    fn time(&mut self, steps: Range<usize>) -> Result<Vec<f64>> {
        let mut time = |at| {
            let start = Instant::now();
            self.step(at);
            start.elapsed().as_secs_f64()
        };
        Ok(rayon::scope(|_| steps.map(&mut time).collect()))
    }
}

fn reserve<E>(len: usize) -> Option<Vec<E>> {
    let mut v = Vec::new();
    v.try_reserve_exact(len).ok()?;
    Some(v)
}
