//! Moving averages of parameters in the place of the parameters.

use std::collections::HashMap;

use crate::optim::AVERAGE;
use crate::plan::Role;
use crate::store::NamedTensor;

/// The parameter whose average a state of this name is, if it is one.
pub(super) fn averaged(state: &str) -> Option<&str> {
    state.strip_suffix(AVERAGE)?.strip_suffix('/')
}

/// `tensors` with each parameter's average in its place, where there is one, and without what optimisers remember.
pub(super) fn with_averages(tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let (states, mut tensors): (Vec<_>, Vec<_>) = tensors.into_iter().partition(|t| t.spec.role == Role::State);
    let averages = states.into_iter().filter_map(|t| Some((averaged(&t.spec.name)?.to_string(), t.data)));
    let mut averages: HashMap<String, Vec<f32>> = averages.collect();
    for tensor in &mut tensors {
        if let Some(average) = averages.remove(&tensor.spec.name) {
            tensor.data = average;
        }
    }
    tensors
}
