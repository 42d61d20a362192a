//! The plan of a training step: the whole batch at once, or a chunk of it at a time.

use std::ops::Range;

use super::{Config, LossKind};
use crate::graph::{Graph, Init, Recording, Tensor};
use crate::model::{Instance, Model};
use crate::op::{
    Add, ConcatRows, Linear, MarginCrossEntropy, NormalizeColumns, TripletLoss, TripletMarginLoss, active_rows,
    gather_rows, scatter_rows,
};
use crate::plan::{Buf, Phase, Plan, Role, Shape, Type};
use crate::session::OF_THE_LOSS;
use crate::{Error, Result};

/// A plan with what the trainer writes, reads and runs.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) plan: Plan,
    pub(super) buffers: Buffers,
    /// How the plan's phases are run where a batch has several chunks; a plan for whole batches is run from its first
    /// step to its last.
    pub(super) chunks: Option<Chunks>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Buffers {
    /// Those of a chunk.
    pub(super) images: Buf,
    pub(super) labels: Buf,
    pub(super) old: Option<Old>,
    /// Statistics of triplets, where the loss is one over classes.
    pub(super) watched: Option<Buf>,
    pub(super) triplets: Option<Buf>,
    pub(super) seed: Option<Buf>,
    pub(super) mining_seed: Option<Buf>,
    pub(super) loss: Buf,
    pub(super) rate: Buf,
    /// The gradient that backward starts from, which is the same in every step.
    pub(super) dloss: Buf,
}

/// What a step needs of an old network that the new one must stay comparable with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Old {
    /// Its embeddings of the batch's images.
    pub(super) embeddings: Buf,
    /// The labels of one version.
    pub(super) labels: Buf,
    /// Statistics of the new embeddings alone.
    pub(super) statistics: Buf,
}

impl Old {
    fn of(recording: &Recording<'_>, [embeddings, labels, statistics]: [Tensor; 3]) -> Self {
        let [embeddings, labels, statistics] = [embeddings, labels, statistics].map(|t| recording.value(t));
        Self { embeddings, labels, statistics }
    }
}

/// The phases of a step in chunks, and the buffers that join them.
#[derive(Debug, Clone)]
pub(super) struct Chunks {
    /// Place in the batch of each image of the chunk, or [`NOWHERE`].
    pub(super) rows: Buf,
    /// For each image of the batch, whether its embedding has a gradient.
    pub(super) active: Buf,
    /// An image's embedding depends on its chunk, so that the second pass must run the very chunks of the first.
    pub(super) same: bool,
    /// Images to embeddings.
    pub(super) forward: Range<usize>,
    /// Embeddings of the chunk into those of the batch.
    pub(super) collect: Range<usize>,
    /// Loss and gradients of the batch's embeddings.
    pub(super) loss: Range<usize>,
    /// Gradients of the batch's embeddings into those of the chunk.
    pub(super) gather: Range<usize>,
    /// Gradients of the parameters, set.
    pub(super) backward: Range<usize>,
    /// The same, added.
    pub(super) backward_more: Range<usize>,
    /// Running statistics, from what the chunk left.
    pub(super) statistics: Range<usize>,
    /// New parameters.
    pub(super) update: Range<usize>,
}

/// The place of an image that only fills a chunk up: its embedding goes nowhere, and its gradient is zero.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Plans a step for batches of `batch` images, in chunks if `config` wants smaller ones.
pub(super) fn plan(model: &Model, config: &Config, batch: u32) -> Result<Step> {
    config.check()?;
    model.dimensions()?;
    if !model.unit_length() {
        return Err(Error::Setting(format!(
            "the network {} gives embeddings of any length, and the losses are those of embeddings of unit length; train \
             another network",
            model.name()
        )));
    }
    let chunk = config.chunk.map_or(batch, |chunk| chunk.min(batch));
    let model = &model.clone().with_frozen(config.frozen(model.graph())?);
    let net = model.sized(chunk, config.purpose())?;
    if config.dropout > 0.0 && net.seed.is_none() {
        return Err(Error::Setting(format!("the network {} has no dropout; leave `dropout` out", model.name())));
    }
    if config.frozen_statistics && !model.has_statistics() {
        let name = model.name();
        let message = format!("the network {name} has no batch normalisation; leave `frozen_statistics` out");
        return Err(Error::Setting(message));
    }
    let frozen = model.frozen();
    if chunk == batch { whole(net, config, batch, frozen) } else { in_chunks(net, config, batch, frozen) }
}

/// What the loss adds to a network.
struct Loss {
    labels: Tensor,
    /// Embeddings of the same images by an old network, labels of one version, statistics of the new embeddings alone.
    old: Option<[Tensor; 3]>,
    /// Triplets that were chosen before.
    triplets: Option<Tensor>,
    mining_seed: Option<Tensor>,
    loss: Tensor,
    /// Of a loss over classes: the triplets' statistics, which nothing minimises, and the classes' weights.
    classes: Option<[Tensor; 2]>,
}

impl Loss {
    /// What the step's plan puts out.
    fn outputs(&self) -> Vec<Tensor> {
        let watched = self.old.map(|[.., watched]| watched).or(self.classes.map(|[watched, _]| watched));
        [self.loss].into_iter().chain(watched).collect()
    }
}

/// The loss over the people as classes: cosines of the embeddings with a weight vector of each person, of unit length.
fn add_class_loss(graph: &mut Graph, config: &Config, embeddings: Tensor, batch: u32) -> Result<Loss> {
    let margin = if config.loss == LossKind::ArcFace { config.angular_margin } else { 0.0 };
    let class_loss = MarginCrossEntropy::new(config.loss_scale, margin)?;
    let fan_in = graph.shape(embeddings).channels();
    let labels = graph.input_u32("labels", Shape::new(&[batch])?);
    let mining_seed = config.mining.is_random().then(|| graph.input_u32("mining seed", Shape::vector(2)));
    let inputs: Vec<Tensor> = [embeddings, labels].into_iter().chain(mining_seed).collect();
    let watched = graph.op("triplet_loss", config.triplet_loss()?, &inputs)?;
    let shape = Shape::new(&[fan_in, config.classes.max(1)])?;
    let weights = graph.param(format!("{OF_THE_LOSS}classes"), shape, Init::LecunNormal { fan_in }, true);
    let directions = graph.op("directions", NormalizeColumns, &[weights])?;
    let cosines = graph.op("cosines", Linear::new(), &[embeddings, directions])?;
    let loss = graph.op("margin_cross_entropy", class_loss, &[cosines, labels])?;
    Ok(Loss { labels, old: None, triplets: None, mining_seed, loss, classes: Some([watched, weights]) })
}

/// Labels and loss of the embeddings `[batch, dim]`. If they are to stay comparable with an old network's, the triplets
/// are drawn from both together: old embeddings are anchors, positives and negatives like new ones, but have no gradient.
fn add_loss(graph: &mut Graph, config: &Config, embeddings: Tensor, batch: u32) -> Result<Loss> {
    if config.loss != LossKind::Triplet {
        return add_class_loss(graph, config, embeddings, batch);
    }
    let shape = graph.shape(embeddings);
    let (mut all, mut count, mut old) = (embeddings, batch, None);
    if config.compatible_with.is_some() {
        let embedded = graph.input("old embeddings", shape);
        let labels = graph.input_u32("labels of one version", Shape::new(&[batch])?);
        // Of both versions together a collapse could not be told: the old one stays where it is.
        let watched = graph.op("new version", TripletLoss::new(config.margin)?, &[embeddings, labels])?;
        (all, count) = (graph.op("both versions", ConcatRows, &[embeddings, embedded])?, 2 * batch);
        old = Some([embedded, labels, watched]);
    }
    let labels = graph.input_u32("labels", Shape::new(&[count])?);
    let mining_seed = config.mining.is_random().then(|| graph.input_u32("mining seed", Shape::vector(2)));
    let inputs: Vec<Tensor> = [all, labels].into_iter().chain(mining_seed).collect();
    let mut loss = graph.op("triplet_loss", config.triplet_loss()?, &inputs)?;
    let mut triplets = None;
    if config.offline.is_some() {
        // A step has triplets of one kind only; of the other there are none, which adds nothing to the loss.
        let given = graph.input_u32("triplets", Shape::new(&[batch, 3])?);
        let offline = graph.op("triplet_margin_loss", TripletMarginLoss::new(config.margin)?, &[all, given])?;
        loss = graph.op("loss", Add::new(), &[loss, offline])?;
        triplets = Some(given);
    }
    Ok(Loss { labels, old, triplets, mining_seed, loss, classes: None })
}

/// The step for a network that takes the whole batch.
pub(super) fn whole(mut net: Instance, config: &Config, batch: u32, frozen: &[String]) -> Result<Step> {
    let embeddings = net.embeddings();
    let added = add_loss(&mut net.graph, config, embeddings, batch)?;
    let outputs = added.outputs();
    let Loss { labels, old, triplets, mining_seed, loss, classes } = added;
    let updating = config.updating(&net.graph)?;
    let mut recording = Recording::forward(&net.graph, &outputs).freezing(frozen);
    let dloss = recording.seed(loss, Role::Constant);
    recording.backward_from(loss, dloss, &[]);
    recording.end_phase(Phase::Backward);
    let rate = recording.update(loss, config.optimiser().as_ref(), &updating);
    let buffers = Buffers {
        images: recording.value(net.images),
        labels: recording.value(labels),
        old: old.map(|old| Old::of(&recording, old)),
        watched: classes.map(|[watched, _]| recording.value(watched)),
        triplets: triplets.map(|triplets| recording.value(triplets)),
        seed: net.seed.map(|seed| recording.value(seed)),
        mining_seed: mining_seed.map(|seed| recording.value(seed)),
        loss: recording.value(loss),
        rate,
        dloss,
    };
    Ok(Step { plan: recording.finish(), buffers, chunks: None })
}

/// The step for a network that takes a part of the batch. What one phase leaves for another that is run after further
/// chunks have gone through the network is an input or an output of the plan, and so shares memory with nothing.
pub(super) fn in_chunks(mut net: Instance, config: &Config, batch: u32, frozen: &[String]) -> Result<Step> {
    let same = net.graph.depends_on_batch();
    let embeddings = net.embeddings();
    let (chunk, dim) = (net.graph.shape(embeddings).batch(), net.graph.shape(embeddings).channels());
    let params: Vec<Tensor> = net.graph.params().map(|(t, _)| t).collect();
    let collected = net.graph.input("batch embeddings", Shape::new(&[batch, dim])?);
    let added = add_loss(&mut net.graph, config, collected, batch)?;
    let outputs = added.outputs();
    let Loss { labels, old, triplets, mining_seed, loss, classes } = added;

    let updating = config.updating(&net.graph)?;
    let mut recording = Recording::new(&net.graph).freezing(frozen);
    recording.forward_to(embeddings, &[loss]);
    recording.end_phase(Phase::Forward);

    recording.forward_to(collected, &[loss]);
    let rows = recording.buffer("rows", Shape::new(&[chunk])?, Type::U32, Role::Input);
    let (from, to) = (recording.value(embeddings), recording.value(collected));
    recording.record("collect", |r| scatter_rows(r, from, rows, to));
    recording.end_phase(Phase::Collect);

    recording.forward_to(loss, &outputs);
    let dloss = recording.seed(loss, Role::Constant);
    // The gradient of the classes' weights waits for the update, while chunks go through the network.
    let wanted: Vec<Tensor> = [collected].into_iter().chain(classes.map(|[_, weights]| weights)).collect();
    recording.backward_from(loss, dloss, &wanted);
    let gradient = recording.gradient(collected).expect("the loss has a gradient for embeddings");
    let active = recording.buffer("active", Shape::new(&[batch])?, Type::U32, Role::Output);
    recording.record("active", |r| active_rows(r, gradient, active));
    recording.end_phase(Phase::Loss);

    let seed = recording.seed(embeddings, Role::Temporary);
    recording.record("gather", |r| gather_rows(r, gradient, rows, seed));
    recording.end_phase(Phase::Gather);

    recording.backward_from(embeddings, seed, &params);
    recording.end_phase(Phase::Backward);
    recording.repeat_adding(Phase::Backward, Phase::BackwardMore);

    recording.update_statistics(loss);
    recording.end_phase(Phase::Statistics);
    let rate = recording.update_params(loss, config.optimiser().as_ref(), &updating);
    recording.end_phase(Phase::Update);

    let buffers = Buffers {
        images: recording.value(net.images),
        labels: recording.value(labels),
        old: old.map(|old| Old::of(&recording, old)),
        watched: classes.map(|[watched, _]| recording.value(watched)),
        triplets: triplets.map(|triplets| recording.value(triplets)),
        seed: net.seed.map(|seed| recording.value(seed)),
        mining_seed: mining_seed.map(|seed| recording.value(seed)),
        loss: recording.value(loss),
        rate,
        dloss,
    };
    let plan = recording.finish();
    let steps = |phase| plan.phase(phase).expect("every phase was recorded above");
    let chunks = Chunks {
        rows,
        active,
        same,
        forward: steps(Phase::Forward),
        collect: steps(Phase::Collect),
        loss: steps(Phase::Loss),
        gather: steps(Phase::Gather),
        backward: steps(Phase::Backward),
        backward_more: steps(Phase::BackwardMore),
        statistics: steps(Phase::Statistics),
        update: steps(Phase::Update),
    };
    Ok(Step { plan, buffers, chunks: Some(chunks) })
}

#[cfg(test)]
mod tests;
