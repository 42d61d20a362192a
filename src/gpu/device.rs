//! An open GPU: device, queue, and the pipelines compiled so far.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use wgpu::{BindGroupLayoutEntry, BindingType, BufferBindingType, BufferUsages, Features, ShaderStages};

use super::Precision;
use super::adapter::{self, AdapterChoice, AdapterInfo};
use crate::plan::reflect::{Access, interface};
use crate::plan::{Family, Step, Variant};
use crate::{Error, Result};

/// An open GPU. Cheap to clone; clones share the device and its compiled pipelines.
#[derive(Debug, Clone)]
pub struct Gpu {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: AdapterInfo,
    pipelines: Mutex<HashMap<PipelineKey, Pipeline>>,
    failure: Arc<Mutex<Option<String>>>,
}

/// Text, entry point, overrides.
type PipelineKey = (&'static str, &'static str, String);

/// A compiled kernel with the layout of its bind group.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

impl Gpu {
    /// Opens an adapter without blocking.
    ///
    /// # Errors
    /// There is no adapter, none matches, or none has the limits that the engine needs; the message says what to do.
    pub async fn open_async(choice: &AdapterChoice) -> Result<Self> {
        Self::open_with_async(choice, Precision::F32).await
    }

    /// Opens an adapter for a precision without blocking.
    ///
    /// # Errors
    /// As [`open_async`](Self::open_async), or no adapter that matches can compute with it.
    pub async fn open_with_async(choice: &AdapterChoice, precision: Precision) -> Result<Self> {
        let (adapter, info) = adapter::choose(choice, precision).await?;
        let info = AdapterInfo { precision, ..info };
        let wanted = Features::SUBGROUP | Features::TIMESTAMP_QUERY;
        let (matrices, experimental_features) = experimental(&info);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("facenet-gpu"),
            required_features: adapter.features() & wanted | precision.features() | matrices,
            experimental_features,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) =
            opened.map_err(|e| Error::Device(format!("cannot open {}: {e}; try another `device`", info.name)))?;
        let failure: Arc<Mutex<Option<String>>> = Arc::default();
        let (lost, uncaptured) = (failure.clone(), failure.clone());
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                note(&lost, format!("the device was lost ({message}); run again, with a smaller batch if it repeats"));
            }
        });
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| note(&uncaptured, e.to_string())));
        Ok(Self::with(device, queue, info, failure))
    }

    /// Adopts a device and queue of the caller. `info` describes the adapter that they were opened from; the caller
    /// keeps its own error and device-lost handlers.
    pub fn from_device(device: wgpu::Device, queue: wgpu::Queue, adapter: &wgpu::Adapter) -> Self {
        let mut info = AdapterInfo::from(adapter);
        let (limits, features) = (device.limits(), device.features());
        info.max_binding = limits.max_storage_buffer_binding_size;
        info.max_buffer = limits.max_buffer_size;
        info.subgroup = info.subgroup.filter(|_| features.contains(Features::SUBGROUP));
        info.timestamps = features.contains(Features::TIMESTAMP_QUERY);
        info.f16 = features.contains(Features::SHADER_F16);
        info.matrices &= features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        Self::with(device, queue, info, Arc::default())
    }

    fn with(device: wgpu::Device, queue: wgpu::Queue, info: AdapterInfo, failure: Arc<Mutex<Option<String>>>) -> Self {
        Self { inner: Arc::new(Inner { device, queue, info, pipelines: Mutex::default(), failure }) }
    }

    /// The same device for a precision: for devices of the caller, which need wgpu's feature `SHADER_F16` for
    /// [`Precision::F16`].
    ///
    /// # Errors
    /// The device was opened without that feature.
    pub fn with_precision(&self, precision: Precision) -> Result<Self> {
        if !self.inner.device.features().contains(precision.features()) {
            return Err(Error::Device(format!(
                "{} was opened without 16-bit floats: open it with the feature SHADER_F16, or use `precision` f32",
                self.inner.info.name
            )));
        }
        Ok(self.described(AdapterInfo { precision, ..self.inner.info.clone() }))
    }

    /// The same device, whose cooperative matrices have stood their test.
    pub(crate) fn trusting_matrices(&self) -> Self {
        self.described(AdapterInfo { proven: true, ..self.inner.info.clone() })
    }

    /// The same device, held to one family, which it must be able to run, and to portable kernels where there are none of it,
    /// whatever the sizes: for tests and for comparing families.
    #[must_use]
    pub fn with_family(&self, family: Family) -> Self {
        self.described(AdapterInfo { only: Some(family), ..self.inner.info.clone() })
    }

    fn described(&self, info: AdapterInfo) -> Self {
        Self::with(self.inner.device.clone(), self.inner.queue.clone(), info, self.inner.failure.clone())
    }

    /// The adapter behind this device.
    pub fn info(&self) -> &AdapterInfo {
        &self.inner.info
    }

    pub(super) fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(super) fn queue(&self) -> &wgpu::Queue {
        &self.inner.queue
    }

    /// Turns what the driver complained about since the last call into an error.
    pub(super) fn check(&self) -> Result<()> {
        match guard(&self.inner.failure).take() {
            None => Ok(()),
            Some(message) => Err(Error::Device(format!("{}: {message}", self.inner.info.name))),
        }
    }

    /// The variants of a step's kernel that this device may take: those that suit the sizes in the order of the kernel, then the
    /// others. The first is the one that it takes where nothing is measured.
    pub(crate) fn candidates(&self, step: &Step) -> Vec<&'static Variant> {
        let info = &self.inner.info;
        let families = info.families();
        let mine = step.kernel.variants.iter().filter(|v| families.contains(&v.family));
        if info.only.is_some() {
            return mine.take(1).collect();
        }
        let (mut suited, others): (Vec<_>, Vec<_>) = mine.partition(|v| v.suits(&step.params));
        suited.extend(others);
        suited
    }

    /// The variant of a step's kernel that this device takes: the chosen one if it can run it, else the first.
    pub(super) fn variant(&self, step: &Step) -> &'static Variant {
        let candidates = self.candidates(step);
        let chosen = candidates.iter().find(|variant| step.choice == Some(variant.name));
        chosen.or(candidates.first()).expect("the last variant of every kernel is portable")
    }

    /// Compiles a variant with its overrides; compiled pipelines are kept.
    pub(super) async fn pipeline(&self, variant: &Variant, overrides: &[(&'static str, f64)]) -> Result<Pipeline> {
        let key = (variant.source, variant.entry, format!("{overrides:?}"));
        if let Some(found) = guard(&self.inner.pipelines).get(&key) {
            return Ok(found.clone());
        }
        let interface = interface(variant)?;
        let device = &self.inner.device;
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let entries: Vec<BindGroupLayoutEntry> = interface
            .bindings
            .iter()
            .map(|b| BindGroupLayoutEntry {
                binding: b.number,
                visibility: ShaderStages::COMPUTE,
                ty: BindingType::Buffer {
                    ty: match b.access {
                        Access::Uniform => BufferBindingType::Uniform,
                        Access::Read => BufferBindingType::Storage { read_only: true },
                        Access::ReadWrite => BufferBindingType::Storage { read_only: false },
                    },
                    has_dynamic_offset: b.access == Access::Uniform,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let label = Some(variant.entry);
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(variant.file),
            source: wgpu::ShaderSource::Wgsl(Cow::Borrowed(variant.source)),
        };
        // A counter that would end an endless loop is put into every loop otherwise. It keeps Mesa's software driver
        // from unrolling loops cleanly (benches/README.md has the numbers). Bounds checks stay.
        let checks = wgpu::ShaderRuntimeChecks { force_loop_bounding: false, ..wgpu::ShaderRuntimeChecks::checked() };
        // SAFETY: the only check that is left out is the one against endless loops. The kernels are this crate's own,
        // and every loop in them counts up to a size.
        let module = unsafe { device.create_shader_module_trusted(descriptor, checks) };
        // A file may declare overrides that this kernel's other variant lacks; unknown names are not passed on.
        let known = |name: &str| interface.overrides.iter().any(|o| o == name);
        let constants: Vec<(&str, f64)> = overrides.iter().filter(|(n, _)| known(n)).copied().collect();
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: label,
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        if let Some(e) = scope.pop().await {
            return Err(Error::Kernel { kernel: variant.entry.to_string(), message: e.to_string() });
        }
        let compiled = Pipeline { pipeline, layout };
        guard(&self.inner.pipelines).insert(key, compiled.clone());
        Ok(compiled)
    }

    /// Allocates a buffer of `bytes` bytes for the tensor `name`.
    pub(super) async fn buffer_async(&self, name: &str, bytes: u64, usage: BufferUsages) -> Result<wgpu::Buffer> {
        let mib = |b: u64| b as f64 / f64::from(1 << 20);
        let info = &self.inner.info;
        if usage.contains(BufferUsages::STORAGE) && bytes > info.max_binding.min(info.max_buffer) {
            return Err(Error::Memory(format!(
                "the tensor {name} needs {:.1} MiB, but {} binds at most {:.1} MiB",
                mib(bytes),
                info.name,
                mib(info.max_binding.min(info.max_buffer))
            )));
        }
        let scope = self.inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.inner.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: bytes,
            usage,
            mapped_at_creation: false,
        });
        match scope.pop().await {
            None => Ok(buffer),
            Some(_) => Err(Error::Memory(format!(
                "{} is out of memory: the tensor {name} needs {:.1} MiB",
                info.name,
                mib(bytes)
            ))),
        }
    }
}

/// What a device needs for cooperative matrices, where they may be used, and the leave to ask for it.
fn experimental(info: &AdapterInfo) -> (Features, wgpu::ExperimentalFeatures) {
    if info.precision == Precision::F32 || !info.matrices {
        return (Features::empty(), wgpu::ExperimentalFeatures::disabled());
    }
    // SAFETY: it means to know that wgpu's code for this feature may have bugs. It is asked for only with a precision that is off by
    // default, the only kernels that use it are this crate's own, and they are tried before anything relies on them
    // (`Engine::with_matrices`).
    (Features::EXPERIMENTAL_COOPERATIVE_MATRIX, unsafe { wgpu::ExperimentalFeatures::enabled() })
}

impl Precision {
    /// What a device needs for it.
    fn features(self) -> Features {
        match self {
            Self::F32 => Features::empty(),
            Self::F16 => Features::SHADER_F16,
        }
    }
}

impl From<&wgpu::Adapter> for AdapterInfo {
    fn from(adapter: &wgpu::Adapter) -> Self {
        Self::of(adapter)
    }
}

fn note(failure: &Mutex<Option<String>>, message: String) {
    guard(failure).get_or_insert(message);
}

/// Locks, also after another thread panicked: what these mutexes hold stays valid.
fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
