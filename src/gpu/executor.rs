//! Runs a plan on the GPU: a loop over pipelines and bind groups that knows no op.

use std::ops::Range;
use std::time::Instant;

use wgpu::{BindGroupEntry, BindingResource, BufferBinding, BufferUsages, PollType};

use super::Gpu;
use super::readback::Readback;
use crate::executor::{Executor, Options, Pending};
use crate::plan::{Buf, Plan, Slots, Type, assign_slots};
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
    slots: Slots,
    buffers: Vec<wgpu::Buffer>,
    dispatches: Vec<Dispatch>,
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
        let slots = assign_slots(&plan, options.share);
        let storage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let guard = if options.guard { GUARD_WORDS as u64 * 4 } else { 0 };
        let mut buffers = Vec::with_capacity(slots.bytes.len());
        for (slot, &bytes) in slots.bytes.iter().enumerate() {
            let tenants = plan.buffers.iter().zip(&slots.of).filter(|(_, s)| **s == slot);
            let largest = tenants.max_by_key(|(spec, _)| spec.bytes()).map(|(spec, _)| spec);
            let largest = largest.expect("every slot belongs to a buffer");
            let buffer = gpu.buffer(&format!("{} {}", largest.name, largest.shape), bytes + guard, storage)?;
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
            buffers.push(buffer);
        }
        let dispatches = prepare(gpu, &plan, &slots, &buffers)?;
        gpu.check()?;
        Ok(Self { gpu: gpu.clone(), plan, slots, buffers, dispatches, guarded: options.guard })
    }

    fn wgpu_buffer(&self, buf: Buf) -> &wgpu::Buffer {
        &self.buffers[self.slots.of[buf.index()]]
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>, at: usize) {
        let d = &self.dispatches[at];
        pass.set_pipeline(&d.pipeline);
        pass.set_bind_group(0, &d.bind_group, &[d.offset]);
        pass.dispatch_workgroups(d.grid[0], d.grid[1], d.grid[2]);
    }

    fn submit(&self, steps: Range<usize>, timestamps: Option<&wgpu::QuerySet>) {
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

    fn read_words<W: bytemuck::Pod>(&self, buf: Buf, ty: Type) -> Result<Vec<W>> {
        let spec = self.plan.spec(buf);
        self.plan.check_len(buf, ty, spec.shape.len())?;
        let bytes = Readback::start(&self.gpu, self.wgpu_buffer(buf), 0..spec.bytes())?.wait()?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    fn write_words<W: bytemuck::Pod>(&self, buf: Buf, ty: Type, data: &[W]) -> Result<()> {
        self.plan.check_len(buf, ty, data.len())?;
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

    fn read(&mut self, buf: Buf) -> Result<Vec<f32>> {
        self.read_words(buf, Type::F32)
    }

    fn read_u32(&mut self, buf: Buf) -> Result<Vec<u32>> {
        self.read_words(buf, Type::U32)
    }

    fn read_later(&mut self, buf: Buf) -> Result<Pending> {
        let spec = self.plan.spec(buf);
        self.plan.check_len(buf, Type::F32, spec.shape.len())?;
        let readback = Readback::start(&self.gpu, self.wgpu_buffer(buf), 0..spec.bytes())?;
        Ok(Pending::new(move |wait| Ok(readback.poll(wait)?.map(|bytes| bytemuck::pod_collect_to_vec(&bytes)))))
    }

    fn run(&mut self, steps: Range<usize>) -> Result<()> {
        self.submit(steps, None);
        // Polling gives finished staging memory back; the result says only whether anything is still under way.
        let polled = self.gpu.device().poll(PollType::Poll);
        self.gpu.check()?;
        polled.map(drop).map_err(|e| Error::Device(format!("{}: {e}", self.gpu.info().name)))
    }

    fn time(&mut self, steps: Range<usize>) -> Result<Vec<f64>> {
        if self.gpu.info().timestamps { self.time_on_device(steps) } else { self.time_from_outside(steps) }
    }

    fn check_guards(&mut self) -> Result<Vec<String>> {
        let mut broken = Vec::new();
        for (spec, &slot) in self.plan.buffers.iter().zip(&self.slots.of).filter(|_| self.guarded) {
            let end = self.slots.bytes[slot];
            let zone = Readback::start(&self.gpu, &self.buffers[slot], end..end + GUARD_WORDS as u64 * 4)?.wait()?;
            if bytemuck::pod_collect_to_vec::<u8, u32>(&zone).iter().any(|&word| word != GUARD) {
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
            let bytes = Readback::start(&self.gpu, &resolved, 0..u64::from(queries) * 8)?.wait()?;
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
            seconds.extend(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * period));
            start = end;
        }
        Ok(seconds)
    }

    fn time_from_outside(&self, steps: Range<usize>) -> Result<Vec<f64>> {
        let wait = || self.gpu.device().poll(PollType::wait_indefinitely());
        let mut seconds = Vec::with_capacity(steps.len());
        for at in steps {
            let failed = |e| Error::Device(format!("{}: {e}", self.gpu.info().name));
            wait().map_err(failed)?;
            let start = Instant::now();
            self.submit(at..at + 1, None);
            wait().map_err(failed)?;
            seconds.push(start.elapsed().as_secs_f64());
            self.gpu.check()?;
        }
        Ok(seconds)
    }
}

/// Compiles every step's kernel and binds its buffers. The parameters of all steps lie in one uniform buffer.
fn prepare(gpu: &Gpu, plan: &Plan, slots: &Slots, buffers: &[wgpu::Buffer]) -> Result<Vec<Dispatch>> {
    let align = gpu.device().limits().min_uniform_buffer_offset_alignment as usize;
    let mut packed: Vec<u8> = Vec::new();
    let mut offsets = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        offsets.push(packed.len());
        packed.extend(&step.params);
        packed.resize(packed.len().next_multiple_of(align.max(16)), 0);
    }
    let uniform = gpu.buffer("params", packed.len().max(16) as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST)?;
    gpu.queue().write_buffer(&uniform, 0, &packed);
    let mut dispatches = Vec::with_capacity(plan.steps.len());
    for (step, offset) in plan.steps.iter().zip(offsets) {
        let variant = gpu.variant(step.kernel);
        let compiled = gpu.pipeline(variant, &step.overrides)?;
        let size = std::num::NonZeroU64::new(step.params.len().next_multiple_of(16) as u64);
        let params = BindingResource::Buffer(BufferBinding { buffer: &uniform, offset: 0, size });
        let mut entries = vec![BindGroupEntry { binding: 0, resource: params }];
        for (number, buf) in (1u32..).zip(&step.buffers) {
            let resource = buffers[slots.of[buf.index()]].as_entire_binding();
            entries.push(BindGroupEntry { binding: number, resource });
        }
        let scope = gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let bind_group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(step.kernel.name),
            layout: &compiled.layout,
            entries: &entries,
        });
        if let Some(e) = pollster::block_on(scope.pop()) {
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
