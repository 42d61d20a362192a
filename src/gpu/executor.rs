//! Runs a plan on the GPU: a loop over pipelines and bind groups that knows no op.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use wgpu::{BindGroupEntry, BindingResource, BufferBinding, BufferUsages};

use super::Gpu;
use super::download::{Download, fence};
use super::store::{GpuShelf, STORAGE};
use crate::executor::{Drive, Executor, Options, Pending, Place, find_in, places};
use crate::plan::{Buf, Plan, Type};
use crate::{Error, Result};

/// Floats behind each buffer that no kernel may touch, and what they hold.
const GUARD_WORDS: usize = 64;
const GUARD: u32 = 0xDEAD_BEEF;
/// Bit pattern of the NaN that poisons unwritten buffers.
const POISON: u32 = 0x7FC0_0BAD;

/// A plan with its memory and pipelines on a GPU.
#[derive(Debug)]
pub struct GpuExecutor {
    gpu: Gpu,
    plan: Plan,
    /// For each buffer of the plan its memory, and where that lies.
    buffers: Vec<(wgpu::Buffer, Place)>,
    /// Bytes of each allocation of the plan's own.
    bytes: Vec<u64>,
    dispatches: Vec<Dispatch>,
    /// The stores that the plan writes.
    written: Vec<Arc<GpuShelf>>,
    stores: Vec<Arc<GpuShelf>>,
    guarded: bool,
}

#[derive(Debug)]
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    offset: u32,
    grid: [u32; 3],
}

impl GpuExecutor {
    /// Allocates a plan's buffers and compiles its kernels.
    ///
    /// # Errors
    /// A tensor is larger than the device can bind, memory runs out, or a kernel does not compile.
    pub fn new(gpu: &Gpu, plan: Plan, options: &Options) -> Result<Self> {
        Self::bound(gpu, plan, options, Vec::new())
    }

    /// Allocates a plan's buffers but for the persistent ones, which `stores` hold, and compiles its kernels.
    ///
    /// # Errors
    /// As [`new`](Self::new), or a tensor is in no store or has other sizes there.
    pub(super) async fn bound_async(
        gpu: &Gpu,
        plan: Plan,
        options: &Options,
        stores: Vec<Arc<GpuShelf>>,
    ) -> Result<Self> {
        plan.check()?;
        let shelves = || stores.iter().map(|store| &**store);
        let (places, slots) = places(&plan, options.share, |spec| find_in(shelves(), spec))?;
        let guard = if options.guard { GUARD_WORDS as u64 * 4 } else { 0 };
        let mut own = Vec::with_capacity(slots.bytes.len());
        for (slot, &bytes) in slots.bytes.iter().enumerate() {
            let tenants = plan.buffers.iter().zip(&slots.of).filter(|(_, s)| **s == Some(slot));
            let largest = tenants.max_by_key(|(spec, _)| spec.bytes()).map(|(spec, _)| spec);
            let largest = largest.expect("every slot belongs to a buffer");
            let name = format!("{} {}", largest.name, largest.shape);
            let buffer = gpu.buffer_async(&name, bytes + guard, STORAGE).await?;
            if options.poison || options.guard {
                let word = if !options.poison {
                    0
                } else if largest.ty == Type::F32 {
                    POISON
                } else {
                    u32::MAX
                };
                let mut words = vec![word; usize::try_from(bytes / 4).expect("a buffer fits in memory")];
                words.resize(words.len() + usize::try_from(guard / 4).unwrap_or(0), GUARD);
                gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&words));
            }
            own.push(buffer);
        }
        let memory = |place: &Place| match *place {
            Place::Own(slot) => own[slot].clone(),
            Place::Shared { store, tensor } => stores[store].read().memory[tensor].clone(),
        };
        let buffers: Vec<_> = places.iter().map(|place| (memory(place), *place)).collect();
        let dispatches = prepare(gpu, &plan, &buffers).await?;
        gpu.check()?;
        let mut writes = vec![false; stores.len()];
        for step in &plan.steps {
            for buf in step.written() {
                if let Place::Shared { store, .. } = places[buf.index()] {
                    writes[store] = true;
                }
            }
        }
        let written = stores.iter().zip(writes).filter(|(_, write)| *write).map(|(store, _)| store.clone()).collect();
        let (gpu, bytes, guarded) = (gpu.clone(), slots.bytes, options.guard);
        Ok(Self { gpu, plan, buffers, bytes, dispatches, written, stores, guarded })
    }

    fn wgpu_buffer(&self, buf: Buf) -> &wgpu::Buffer {
        &self.buffers[buf.index()].0
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>, at: usize) {
        let d = &self.dispatches[at];
        pass.set_pipeline(&d.pipeline);
        pass.set_bind_group(0, &d.bind_group, &[d.offset]);
        pass.dispatch_workgroups(d.grid[0], d.grid[1], d.grid[2]);
    }

    fn submit(&self, steps: Range<usize>, timestamps: Option<&wgpu::QuerySet>) {
        self.written.iter().for_each(|store| store.touch());
        let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if let Some(query_set) = timestamps {
            for (at, query) in steps.zip((0u32..).step_by(2)) {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                    label: Some(self.plan.steps[at].kernel.name),
                    timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                        query_set,
                        beginning_of_pass_write_index: Some(query),
                        end_of_pass_write_index: Some(query + 1),
                    }),
                });
                self.record(&mut pass, at);
            }
        } else {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            steps.for_each(|at| self.record(&mut pass, at));
        }
        self.gpu.queue().submit([encoder.finish()]);
    }

    fn download_words<W: bytemuck::Pod + Send>(&self, buf: Buf, ty: Type) -> Result<Pending<Vec<W>>> {
        let spec = self.plan.spec(buf);
        self.plan.check_len(buf, ty, spec.shape.len())?;
        let download = Download::start(&self.gpu, &[(self.wgpu_buffer(buf), 0..spec.bytes())])?;
        Ok(Pending::new(Arc::new(self.gpu.clone()), download).map(|bytes| bytemuck::pod_collect_to_vec(&bytes[0])))
    }

    fn write_words<W: bytemuck::Pod>(&self, buf: Buf, ty: Type, data: &[W]) -> Result<()> {
        self.plan.check_len(buf, ty, data.len())?;
        if let Place::Shared { store, .. } = self.buffers[buf.index()].1 {
            self.stores[store].touch();
        }
        self.gpu.queue().write_buffer(self.wgpu_buffer(buf), 0, bytemuck::cast_slice(data));
        self.gpu.check()
    }
}

impl Executor for GpuExecutor {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write(&mut self, buf: Buf, data: &[f32]) -> Result<()> {
        self.write_words(buf, Type::F32, data)
    }

    fn write_u32(&mut self, buf: Buf, data: &[u32]) -> Result<()> {
        self.write_words(buf, Type::U32, data)
    }

    fn run(&mut self, steps: Range<usize>) -> Result<()> {
        self.submit(steps, None);
        // Polling gives finished staging memory back.
        self.gpu.advance(false)
    }

    fn download(&mut self, buf: Buf) -> Result<Pending<Vec<f32>>> {
        self.download_words(buf, Type::F32)
    }

    fn download_u32(&mut self, buf: Buf) -> Result<Pending<Vec<u32>>> {
        self.download_words(buf, Type::U32)
    }

    fn fence(&mut self) -> Result<Pending<()>> {
        Ok(Pending::new(Arc::new(self.gpu.clone()), fence(&self.gpu)))
    }

    fn time(&mut self, steps: Range<usize>) -> Result<Vec<f64>> {
        if self.gpu.info().timestamps { self.time_on_device(steps) } else { self.time_from_outside(steps) }
    }

    fn check_guards(&mut self) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        for (spec, (buffer, place)) in self.plan.buffers.iter().zip(&self.buffers).filter(|_| self.guarded) {
            let Place::Own(slot) = *place else { continue };
            let end = self.bytes[slot];
            let zone = Download::start(&self.gpu, &[(buffer, end..end + GUARD_WORDS as u64 * 4)])?;
            let zone = Pending::new(Arc::new(self.gpu.clone()), zone).wait()?;
            if bytemuck::pod_collect_to_vec::<u8, u32>(&zone[0]).iter().any(|&word| word != GUARD) {
                broken.push(spec.name.clone());
            }
        }
        Ok(broken)
    }
}

impl GpuExecutor {
    fn time_on_device(&self, steps: Range<usize>) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(steps.len());
        let period = f64::from(self.gpu.queue().get_timestamp_period()) * 1e-9;
        let mut start = steps.start;
        while start < steps.end {
            let end = steps.end.min(start + wgpu::QUERY_SET_MAX_QUERIES as usize / 2);
            let queries = u32::try_from(2 * (end - start)).expect("a query set is small");
            let query_set = self.gpu.device().create_query_set(&wgpu::QuerySetDescriptor {
                label: None,
                ty: wgpu::QueryType::Timestamp,
                count: queries,
            });
            let usage = BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC;
            let resolved = self.gpu.buffer("timestamps", u64::from(queries) * 8, usage)?;
            self.submit(start..end, Some(&query_set));
            let mut encoder = self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.resolve_query_set(&query_set, 0..queries, &resolved, 0);
            self.gpu.queue().submit([encoder.finish()]);
            let download = Download::start(&self.gpu, &[(&resolved, 0..u64::from(queries) * 8)])?;
            let bytes = Pending::new(Arc::new(self.gpu.clone()), download).wait()?;
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes[0]);
            seconds.extend(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period));
            start = end;
        }
        Ok(seconds)
    }

    fn time_from_outside(&self, steps: Range<usize>) -> Result<Vec<f64>> {
        let mut seconds = Vec::with_capacity(steps.len());
        for at in steps {
            self.gpu.advance(true)?;
            let start = Instant::now();
            self.submit(at..at + 1, None);
            self.gpu.advance(true)?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        Ok(seconds)
    }
}

/// Compiles every step's kernel and binds its buffers. The parameters of all steps lie in one uniform buffer.
async fn prepare(gpu: &Gpu, plan: &Plan, buffers: &[(wgpu::Buffer, Place)]) -> Result<Vec<Dispatch>> {
    let align = gpu.device().limits().min_uniform_buffer_offset_alignment as usize;
    let mut packed: Vec<u8> = Vec::new();
    let mut offsets = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        offsets.push(packed.len());
        packed.extend(&step.params);
        packed.resize(packed.len().next_multiple_of(align.max(16)), 0);
    }
    let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
    let uniform = gpu.buffer_async("params", packed.len().max(16) as u64, usage).await?;
    gpu.queue().write_buffer(&uniform, 0, &packed);
    let mut dispatches = Vec::with_capacity(plan.steps.len());
    for (step, offset) in plan.steps.iter().zip(offsets) {
        let variant = gpu.variant(step);
        let compiled = gpu.pipeline(variant, &step.overrides).await?;
        let size = std::num::NonZeroU64::new(step.params.len().next_multiple_of(16) as u64);
        let params = BindingResource::Buffer(BufferBinding { buffer: &uniform, offset: 0, size });
        let mut entries = vec![BindGroupEntry { binding: 0, resource: params }];
        for (number, buf) in (1u32..).zip(&step.buffers) {
            let resource = buffers[buf.index()].0.as_entire_binding();
            entries.push(BindGroupEntry { binding: number, resource });
        }
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(step.kernel.name),
            layout: &compiled.layout,
            entries: &entries,
        });
        if let Some(e) = scope.pop().await {
            return Err(Error::Kernel {
                kernel: format!("{} in {}", variant.entry, step.layer),
                message: e.to_string(),
            });
        }
        dispatches.push(Dispatch {
            pipeline: compiled.pipeline,
            bind_group,
            offset: u32::try_from(offset).expect("parameters are small"),
            grid: variant.workgroups(&step.params)?,
        });
    }
    Ok(dispatches)
}
