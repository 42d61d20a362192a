//! The plans that a session has made so far, one for each input shape, all on the same parameters.

use crate::executor::{Executor, Options};
use crate::graph::{Purpose, Recording};
use crate::model::{Fold, Model, derive_plan};
use crate::plan::{Buf, Role, Shape, assign_slots_except};
use crate::store::Store;
use crate::{Engine, Error, Result};

/// Images of a batch, their height and width.
pub(crate) type InputShape = (u32, [u32; 2]);

/// Inference for one input shape.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) executor: Box<dyn Executor>,
    pub(crate) images: Buf,
    /// Names, buffers and sizes of the outputs.
    pub(crate) outputs: Vec<(String, Buf, Shape)>,
    /// Of its memory on the device, that of the stores apart, in `f32`.
    bytes: u64,
}

/// Plans by input shape, the one that was used last at the end.
#[derive(Debug)]
pub(crate) struct Plans {
    kept: Vec<(InputShape, Plan)>,
    most: usize,
    most_bytes: u64,
}

/// Tensors that inference derives from the parameters, and the plan that computes them.
#[derive(Debug)]
pub(crate) struct Derived {
    store: Store,
    executor: Box<dyn Executor>,
    /// Of the parameters that the tensors were computed from.
    version: Option<u64>,
}

impl Derived {
    /// What `folds` ask for; `None` if that is nothing.
    pub(crate) fn new(engine: &Engine, parameters: &Store, folds: &[Fold]) -> Result<Option<Self>> {
        if folds.is_empty() {
            return Ok(None);
        }
        let plan = derive_plan(folds);
        let store = Store::new(engine);
        store.add_from(&plan, &[Role::Derived])?;
        let executor = Store::executor(&[parameters, &store], plan, &Options::default())?;
        Ok(Some(Self { store, executor, version: None }))
    }

    /// Computes the tensors anew if the parameters have changed.
    pub(crate) fn refresh(&mut self, parameters: &Store) -> Result<()> {
        let version = Some(parameters.version());
        if self.version != version {
            self.executor.run_all()?;
            self.version = version;
        }
        Ok(())
    }

    /// Bytes on the device.
    pub(crate) fn bytes(&self) -> u64 {
        self.store.bytes()
    }
}

impl Plans {
    /// Keeps at most `most` plans, and no more than have `most_bytes` together unless it is one.
    pub(crate) fn new(most: usize, most_bytes: u64) -> Self {
        Self { kept: Vec::new(), most, most_bytes }
    }

    /// Bytes of the plans that are kept.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept.iter().map(|(_, plan)| plan.bytes).sum()
    }

    /// Input shapes of the plans that are kept, the one that was used last at the end.
    pub(crate) fn shapes(&self) -> Vec<InputShape> {
        self.kept.iter().map(|(shape, _)| *shape).collect()
    }

    /// The plan for an input shape, made now if it is not kept.
    ///
    /// # Errors
    /// The model cannot take such images; or the device lacks memory: [`Error::Memory`], also where it has less free than
    /// the plan needs by its own account and the batch has more than one image.
    pub(crate) fn get(
        &mut self,
        engine: &Engine,
        model: &Model,
        parameters: &Store,
        derived: Option<&Derived>,
        shape: InputShape,
    ) -> Result<&mut Plan> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == shape) {
            let found = self.kept.remove(at);
            self.kept.push(found);
        } else {
            let (batch, input) = shape;
            let built = model.instance(batch, input, Purpose::Inference)?;
            let outputs: Vec<_> = built.graph.outputs().map(|(_, tensor)| tensor).collect();
            let recording = Recording::forward(&built.graph, &outputs);
            let names = built.graph.outputs();
            let outputs = names.map(|(name, t)| (name.to_string(), recording.value(t), built.graph.shape(t))).collect();
            let images = recording.value(built.images);
            let plan = recording.finish();
            if batch > 1 && !engine.memory_budget().holds(&plan, true) {
                return Err(Error::Memory(format!("the device lacks memory for {batch} images at a time")));
            }
            let persistent = |buf| plan.spec(buf).role.is_persistent();
            let bytes: u64 = assign_slots_except(&plan, true, persistent).bytes.iter().sum();
            while self.kept.len() >= self.most || (!self.kept.is_empty() && self.bytes() + bytes > self.most_bytes) {
                self.kept.remove(0);
            }
            let stores: Vec<&Store> = [parameters].into_iter().chain(derived.map(|d| &d.store)).collect();
            let executor = Store::executor(&stores, plan, &Options::default())?;
            self.kept.push((shape, Plan { executor, images, outputs, bytes }));
        }
        Ok(&mut self.kept.last_mut().expect("it was just put there").1)
    }
}
