//! Tensors that lie on a device longer than any plan: parameters, running statistics, what an optimiser remembers. A store
//! owns them once, and any number of plans bind to it: the training step, the inference of its evaluation, plans for other
//! batch and image sizes.

use std::sync::Arc;

use crate::cpu::{self, CpuShelf};
use crate::executor::{Executor, Options, Pending};
use crate::gpu::{self, Gpu, GpuShelf};
use crate::plan::{BufferSpec, Plan, Role};
use crate::tune::Tuner;
use crate::{Engine, Error, Result};

/// Named tensors of floats on a device. Cheap to clone; clones are the same store.
///
/// A plan that writes to a store has it for itself while it runs, so that a store must not be trained and read from two
/// threads of one `rayon` pool at a time.
#[derive(Debug, Clone)]
pub struct Store {
    memory: Memory,
    /// What names the kernels of plans that are bound to it.
    tuner: Option<Tuner>,
}

#[derive(Debug, Clone)]
enum Memory {
    Gpu(Gpu, Arc<GpuShelf>),
    Cpu(Arc<CpuShelf<f32>>),
    CpuF64(Arc<CpuShelf<f64>>),
}

/// A tensor of a store with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Name, sizes and role.
    pub spec: BufferSpec,
    /// Values, row-major.
    pub data: Vec<f32>,
}

impl Store {
    /// An empty store on a device.
    pub fn new(engine: &Engine) -> Self {
        let memory = match engine {
            Engine::Gpu(gpu) => Memory::Gpu(gpu.clone(), Arc::default()),
            Engine::Cpu => Memory::Cpu(Arc::default()),
            Engine::CpuF64 => Memory::CpuF64(Arc::default()),
            Engine::Tuned(tuned) => {
                return Self { tuner: Some(tuned.tuner().clone()), ..Self::new(engine.device()) };
            }
        };
        Self { memory, tuner: None }
    }

    /// Adds those of `specs` that are not there yet, all zero.
    ///
    /// # Errors
    /// The device lacks memory, or a tensor of that name has other sizes.
    pub fn add(&self, specs: impl IntoIterator<Item = BufferSpec>) -> Result<()> {
        let specs: Vec<BufferSpec> = specs.into_iter().collect();
        match &self.memory {
            Memory::Gpu(gpu, shelf) => gpu::add(gpu, shelf, specs),
            Memory::Cpu(shelf) => cpu::add(shelf, specs),
            Memory::CpuF64(shelf) => cpu::add(shelf, specs),
        }
    }

    /// Adds the tensors of a plan that are of these roles.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_from(&self, plan: &Plan, roles: &[Role]) -> Result<()> {
        self.add(plan.buffers.iter().filter(|spec| roles.contains(&spec.role)).cloned())
    }

    /// Every tensor, in the order in which they were added.
    pub fn specs(&self) -> Vec<BufferSpec> {
        match &self.memory {
            Memory::Gpu(_, shelf) => shelf.read().specs().to_vec(),
            Memory::Cpu(shelf) => shelf.read().specs().to_vec(),
            Memory::CpuF64(shelf) => shelf.read().specs().to_vec(),
        }
    }

    /// Bytes of all tensors on the device.
    pub fn bytes(&self) -> u64 {
        let width = if matches!(self.memory, Memory::CpuF64(_)) { 2 } else { 1 };
        self.specs().iter().map(BufferSpec::bytes).sum::<u64>() * width
    }

    /// A number that grows with every change of any tensor.
    pub fn version(&self) -> u64 {
        match &self.memory {
            Memory::Gpu(_, shelf) => shelf.version(),
            Memory::Cpu(shelf) => shelf.version(),
            Memory::CpuF64(shelf) => shelf.version(),
        }
    }

    fn position(&self, name: &str) -> Option<usize> {
        match &self.memory {
            Memory::Gpu(_, shelf) => shelf.read().position(name),
            Memory::Cpu(shelf) => shelf.read().position(name),
            Memory::CpuF64(shelf) => shelf.read().position(name),
        }
    }

    /// Uploads a tensor.
    ///
    /// # Errors
    /// There is no such tensor, it holds another number of floats, or the device is lost.
    pub fn write(&self, name: &str, data: &[f32]) -> Result<()> {
        let at = self.position(name).ok_or_else(|| Error::shape(name, "no tensor of the store has this name"))?;
        let spec = &self.specs()[at];
        if spec.shape.len() != data.len() {
            let message = format!("holds {} ({} floats), not {}", spec.shape, spec.shape.len(), data.len());
            return Err(Error::shape(name, message));
        }
        match &self.memory {
            Memory::Gpu(gpu, shelf) => gpu::upload(gpu, shelf, at, data),
            Memory::Cpu(shelf) => {
                cpu::upload(shelf, at, data);
                Ok(())
            }
            Memory::CpuF64(shelf) => {
                cpu::upload(shelf, at, data);
                Ok(())
            }
        }
    }

    /// Sets every tensor of a role to zero.
    ///
    /// # Errors
    /// The device is lost.
    pub fn clear(&self, role: Role) -> Result<()> {
        for spec in self.specs().iter().filter(|spec| spec.role == role) {
            self.write(&spec.name, &vec![0.0; spec.shape.len()])?;
        }
        Ok(())
    }

    /// Downloads every tensor of these roles as it is after everything submitted so far: one submission, and one wait, if
    /// any, when the tensors are taken. What is submitted meanwhile goes on.
    ///
    /// # Errors
    /// The device is lost or lacks memory for the copy.
    pub fn download(&self, roles: &[Role]) -> Result<Pending<Vec<NamedTensor>>> {
        self.download_those(|spec| roles.contains(&spec.role))
    }

    /// The same for the tensors that `wanted` names.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub fn download_those(&self, wanted: impl Fn(&BufferSpec) -> bool) -> Result<Pending<Vec<NamedTensor>>> {
        let specs = self.specs();
        let at: Vec<usize> = (0..specs.len()).filter(|&at| wanted(&specs[at])).collect();
        let wanted: Vec<BufferSpec> = at.iter().map(|&at| specs[at].clone()).collect();
        let values = match &self.memory {
            Memory::Gpu(gpu, shelf) => gpu::download(gpu, shelf, &at)?,
            Memory::Cpu(shelf) => Pending::ready(cpu::download(shelf, &at)),
            Memory::CpuF64(shelf) => Pending::ready(cpu::download(shelf, &at)),
        };
        let tensors = move |values: Vec<Vec<f32>>| {
            wanted.into_iter().zip(values).map(|(spec, data)| NamedTensor { spec, data }).collect()
        };
        Ok(values.map(tensors))
    }

    /// Puts a plan on the store's device. Its persistent buffers (see [`Role::is_persistent`]) are those of `stores`, which
    /// are all on one device; the others are its own.
    ///
    /// # Errors
    /// A tensor is in none of the stores or has other sizes there, the device lacks memory, or a kernel does not compile.
    ///
    /// # Panics
    /// If there is no store, or they are on different kinds of devices.
    pub fn executor(stores: &[&Self], mut plan: Plan, options: &Options) -> Result<Box<dyn Executor>> {
        macro_rules! shelves {
            ($pattern:pat => $shelf:expr) => {
                stores
                    .iter()
                    .map(|store| match &store.memory {
                        $pattern => $shelf.clone(),
                        _ => panic!("the stores of a plan are on one device"),
                    })
                    .collect()
            };
        }
        if let Some(tuner) = stores.iter().find_map(|store| store.tuner.as_ref()) {
            tuner.choose(&mut plan)?;
        }
        Ok(match &stores[0].memory {
            Memory::Gpu(gpu, _) => {
                let shelves = shelves!(Memory::Gpu(_, shelf) => shelf);
                Box::new(gpu::GpuExecutor::bound(gpu, plan, options, shelves)?)
            }
            Memory::Cpu(_) => Box::new(cpu::CpuExecutor::bound(plan, options, shelves!(Memory::Cpu(shelf) => shelf))?),
            Memory::CpuF64(_) => {
                Box::new(cpu::CpuExecutor::bound(plan, options, shelves!(Memory::CpuF64(shelf) => shelf))?)
            }
        })
    }
}
