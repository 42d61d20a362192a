//! Runs a plan with the kernels' twins: a loop that knows no op.

use std::ops::Range;
use std::sync::{Arc, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use super::aligned::Aligned;
use super::memory;
use super::tensor::Tensor;
use crate::Result;
use crate::executor::{Executor, Options, Pending, Place, Shelf, Tensors, find_in, places};
use crate::plan::reflect::{Access, Interface};
use crate::plan::{Arg, Asked, Call, Float};
use crate::plan::{Buf, Plan, Step, Type};

/// The memory of one buffer.
#[derive(Debug)]
enum Content<T> {
    F(Tensor<T>),
    U(Vec<u32>),
}

/// A store on the CPU device.
pub(crate) type CpuShelf<T> = Shelf<Tensor<T>>;

/// A plan with its memory on the CPU.
#[derive(Debug)]
pub struct CpuExecutor<T> {
    plan: Plan,
    places: Vec<Place>,
    own: Vec<Content<T>>,
    stores: Vec<Arc<CpuShelf<T>>>,
    /// For each store whether the plan writes any of its tensors.
    writes: Vec<bool>,
    /// For each buffer whether it outlives a run and no step writes it.
    fixed: Vec<bool>,
    interfaces: Vec<Arc<Interface>>,
    /// For each step the function that computes it.
    twins: Vec<fn(Call<'_, T>)>,
}

/// The kernels' Rust implementations for a float type.
pub trait TwinOf: Float {
    /// The Rust implementation of a step for this type.
    fn twin(step: &Step, asked: &Asked<'_>) -> fn(Call<'_, Self>);
}

impl TwinOf for f32 {
    fn twin(step: &Step, asked: &Asked<'_>) -> fn(Call<'_, Self>) {
        step.kernel.way(step, asked).run
    }
}

impl TwinOf for f64 {
    fn twin(step: &Step, _: &Asked<'_>) -> fn(Call<'_, Self>) {
        step.kernel.twin.f64
    }
}

/// A store while a plan runs: locked for as long as that takes, for reading only where the plan writes none of its tensors,
/// so that two plans that only read may run at once.
enum Guard<'s, T> {
    Read(RwLockReadGuard<'s, Tensors<Tensor<T>>>),
    Write(RwLockWriteGuard<'s, Tensors<Tensor<T>>>),
}

/// What a guard lets through. Guards stay on their thread, and this goes to the pool's.
enum Tenants<'g, T> {
    Read(&'g [Tensor<T>]),
    Write(&'g mut [Tensor<T>]),
}

impl<T: TwinOf> CpuExecutor<T> {
    /// Allocates a plan's buffers.
    ///
    /// # Errors
    /// An allocation fails (the message names the tensor that does not fit), or a kernel's WGSL cannot be read.
    pub fn new(plan: Plan, options: &Options) -> Result<Self> {
        Self::bound(plan, options, Vec::new())
    }

    /// Allocates a plan's buffers but for the persistent ones, which `stores` hold.
    ///
    /// # Errors
    /// As [`new`](Self::new), or a tensor is in no store or has other sizes there.
    pub(crate) fn bound(plan: Plan, options: &Options, stores: Vec<Arc<CpuShelf<T>>>) -> Result<Self> {
        plan.check()?;
        let shelves = || stores.iter().map(|store| &**store);
        let (places, slots) = places(&plan, options.share, |spec| find_in(shelves(), spec))?;
        let mut types = vec![Type::F32; slots.bytes.len()];
        for (spec, slot) in plan.buffers.iter().zip(&slots.of) {
            slot.iter().for_each(|&slot| types[slot] = spec.ty);
        }
        memory::check(&plan, &slots, size_of::<T>(), memory::available())?;
        let fill = if options.poison { T::nan() } else { T::zero() };
        let mut own = Vec::with_capacity(types.len());
        for (&bytes, ty) in slots.bytes.iter().zip(types) {
            let len = usize::try_from(bytes / 4).expect("allocations are counted in memory");
            let content = match ty {
                Type::F32 => Aligned::new(len, fill).map(|floats| Content::F(Tensor::new(floats))),
                Type::U32 => allocate(len, if options.poison { u32::MAX } else { 0 }).map(Content::U),
            };
            own.push(content.ok_or_else(|| memory::exhausted(&plan, &slots, own.len()))?);
        }
        let mut interfaces = Vec::with_capacity(plan.steps.len());
        let mut writes = vec![false; stores.len()];
        let mut fixed: Vec<bool> = plan.buffers.iter().map(|spec| spec.role.is_persistent()).collect();
        for step in &plan.steps {
            interfaces.push(step.kernel.interface());
            for buf in step.written() {
                fixed[buf.index()] = false;
                if let Place::Shared { store, .. } = places[buf.index()] {
                    writes[store] = true;
                }
            }
        }
        let twins = plan.steps.iter().zip(plan.asked()).map(|(step, asked)| T::twin(step, &asked)).collect();
        Ok(Self { plan, places, own, stores, writes, fixed, interfaces, twins })
    }

    /// The floats of a buffer, with all their digits.
    ///
    /// # Panics
    /// If the buffer holds integers or lies in a store.
    pub fn floats(&self, buf: Buf) -> &[T] {
        match self.own_content(buf) {
            Some(Content::F(v)) => &v.floats()[..self.plan.spec(buf).shape.len()],
            _ => panic!("{} holds integers or lies in a store", self.plan.spec(buf).name),
        }
    }

    /// The floats of a buffer, to write.
    ///
    /// # Panics
    /// If the buffer holds integers or lies in a store.
    pub fn floats_mut(&mut self, buf: Buf) -> &mut [T] {
        let len = self.plan.spec(buf).shape.len();
        match self.places[buf.index()] {
            Place::Own(slot) => match &mut self.own[slot] {
                Content::F(v) => &mut v.floats_mut()[..len],
                Content::U(_) => panic!("{} holds integers", self.plan.spec(buf).name),
            },
            Place::Shared { .. } => panic!("{} lies in a store", self.plan.spec(buf).name),
        }
    }

    fn own_content(&self, buf: Buf) -> Option<&Content<T>> {
        match self.places[buf.index()] {
            Place::Own(slot) => Some(&self.own[slot]),
            Place::Shared { .. } => None,
        }
    }

    /// Calls `run` with the plan's stores locked, on a thread of the pool: one move there for all steps.
    fn on_the_pool<R: Send>(&mut self, run: impl FnOnce(&mut Bench<'_, T>) -> R + Send) -> R {
        self.stores.iter().zip(&self.writes).filter(|(_, write)| **write).for_each(|(store, _)| store.touch());
        let mut guards: Vec<Guard<'_, T>> = self
            .stores
            .iter()
            .zip(&self.writes)
            .map(|(store, &write)| if write { Guard::Write(store.write()) } else { Guard::Read(store.read()) })
            .collect();
        let stores = guards.iter_mut().map(|guard| match guard {
            Guard::Read(tensors) => Tenants::Read(&tensors.memory),
            Guard::Write(tensors) => Tenants::Write(&mut tensors.memory),
        });
        let stores = stores.collect();
        let Self { plan, places, own, fixed, interfaces, twins, .. } = self;
        let mut bench = Bench { plan, places, own, fixed, interfaces, twins, stores };
        rayon::scope(|_| run(&mut bench))
    }
}

/// Everything that a step needs, while the stores are locked.
struct Bench<'b, T> {
    plan: &'b Plan,
    places: &'b [Place],
    own: &'b mut [Content<T>],
    fixed: &'b [bool],
    interfaces: &'b [Arc<Interface>],
    twins: &'b [fn(Call<'_, T>)],
    stores: Vec<Tenants<'b, T>>,
}

impl<T: TwinOf> Bench<'_, T> {
    /// Takes a written buffer out of the table.
    fn take(&mut self, place: Place) -> Content<T> {
        match place {
            Place::Own(slot) => std::mem::replace(&mut self.own[slot], Content::U(Vec::new())),
            Place::Shared { store, tensor } => match &mut self.stores[store] {
                Tenants::Write(tensors) => Content::F(Tensor::new(std::mem::take(tensors[tensor].floats_mut()))),
                Tenants::Read(_) => unreachable!("a store that the plan writes is locked for writing"),
            },
        }
    }

    /// Puts it back.
    fn put_back(&mut self, place: Place, content: Content<T>) {
        match (place, content) {
            (Place::Own(slot), content) => self.own[slot] = content,
            (Place::Shared { store, tensor }, Content::F(floats)) => match &mut self.stores[store] {
                Tenants::Write(tensors) => tensors[tensor] = floats,
                Tenants::Read(_) => unreachable!("a store that the plan writes is locked for writing"),
            },
            (Place::Shared { .. }, Content::U(_)) => unreachable!("stores hold floats"),
        }
    }

    fn step(&mut self, at: usize) {
        let (plan, places) = (self.plan, self.places);
        let (step, interface) = (&plan.steps[at], self.interfaces[at].clone());
        let storage = &interface.bindings[1..];
        // Written buffers leave the table while the kernel runs, so that the others can be borrowed from it.
        let mut written: Vec<(Place, Content<T>)> = Vec::new();
        for (binding, buf) in storage.iter().zip(&step.buffers) {
            if binding.access == Access::ReadWrite {
                let place = places[buf.index()];
                written.push((place, self.take(place)));
            }
        }
        let mut writes = written.iter_mut();
        let mut args = Vec::with_capacity(storage.len());
        for (binding, &buf) in storage.iter().zip(&step.buffers) {
            let len = plan.spec(buf).shape.len();
            args.push(match (binding.access, places[buf.index()]) {
                (Access::ReadWrite, _) => match &mut writes.next().expect("one content per written binding").1 {
                    Content::F(v) => Arg::FMut(&mut v.floats_mut()[..len]),
                    Content::U(v) => Arg::UMut(&mut v[..len]),
                },
                (_, Place::Own(slot)) => match &self.own[slot] {
                    Content::F(v) if self.fixed[buf.index()] => Arg::Stored(&v.floats()[..len], v.kept()),
                    Content::F(v) => Arg::F(&v.floats()[..len]),
                    Content::U(v) => Arg::U(&v[..len]),
                },
                (_, Place::Shared { store, tensor }) => match &self.stores[store] {
                    Tenants::Read(tensors) => Arg::Stored(&tensors[tensor].floats()[..len], tensors[tensor].kept()),
                    Tenants::Write(tensors) => Arg::F(&tensors[tensor].floats()[..len]),
                },
            });
        }
        self.twins[at](Call { params: &step.params, overrides: &step.overrides, args });
        for (place, content) in written {
            self.put_back(place, content);
        }
    }
}

impl<T: TwinOf> Executor for CpuExecutor<T> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write(&mut self, buf: Buf, data: &[f32]) -> Result<()> {
        self.plan.check_len(buf, Type::F32, data.len())?;
        match self.places[buf.index()] {
            Place::Own(_) => put_f32(self.floats_mut(buf), data),
            Place::Shared { store, tensor } => {
                self.stores[store].touch();
                put_f32(self.stores[store].write().memory[tensor].floats_mut(), data);
            }
        }
        Ok(())
    }

    fn write_u32(&mut self, buf: Buf, data: &[u32]) -> Result<()> {
        self.plan.check_len(buf, Type::U32, data.len())?;
        if let Place::Own(slot) = self.places[buf.index()]
            && let Content::U(v) = &mut self.own[slot]
        {
            v[..data.len()].copy_from_slice(data);
        }
        Ok(())
    }

    fn download(&mut self, buf: Buf) -> Result<Pending<Vec<f32>>> {
        self.plan.check_len(buf, Type::F32, self.plan.spec(buf).shape.len())?;
        Ok(Pending::ready(match self.places[buf.index()] {
            Place::Own(_) => get_f32(self.floats(buf)),
            Place::Shared { store, tensor } => get_f32(self.stores[store].read().memory[tensor].floats()),
        }))
    }

    fn download_u32(&mut self, buf: Buf) -> Result<Pending<Vec<u32>>> {
        let len = self.plan.spec(buf).shape.len();
        self.plan.check_len(buf, Type::U32, len)?;
        match self.own_content(buf) {
            Some(Content::U(v)) => Ok(Pending::ready(v[..len].to_vec())),
            _ => unreachable!("the type was checked, and stores hold floats"),
        }
    }

    fn run(&mut self, steps: Range<usize>) -> Result<()> {
        self.on_the_pool(|bench| steps.for_each(|at| bench.step(at)));
        Ok(())
    }

    fn fence(&mut self) -> Result<Pending<()>> {
        // A run has ended when it returns.
        Ok(Pending::ready(()))
    }

    fn kept_bytes(&self) -> u64 {
        let of = |tensor: &Tensor<T>| tensor.kept().bytes();
        let own = self.own.iter().map(|content| match content {
            Content::F(tensor) => of(tensor),
            Content::U(_) => 0,
        });
        own.sum::<u64>() + self.stores.iter().map(|store| store.read().memory.iter().map(of).sum::<u64>()).sum::<u64>()
    }

    fn time(&mut self, steps: Range<usize>) -> Result<Vec<f64>> {
        Ok(self.on_the_pool(|bench| {
            let mut time = |at| {
                let start = Instant::now();
                bench.step(at);
                start.elapsed().as_secs_f64()
            };
            steps.map(&mut time).collect()
        }))
    }
}

/// Floats that come to the device.
pub(super) fn put_f32<T: Float>(to: &mut [T], from: &[f32]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = T::of(f64::from(from));
    }
}

/// Floats that leave the device.
#[expect(clippy::cast_possible_truncation, reason = "results leave the device as f32")]
pub(super) fn get_f32<T: Float>(from: &[T]) -> Vec<f32> {
    from.iter().map(|x| x.f64() as f32).collect()
}

/// A vector of `len` times `fill`; `None` if the allocation fails.
fn allocate<E: Clone>(len: usize, fill: E) -> Option<Vec<E>> {
    let mut v = Vec::new();
    v.try_reserve_exact(len).ok()?;
    v.resize(len, fill);
    Some(v)
}
