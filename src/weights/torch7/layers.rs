//! The layers of OpenFace's networks in Torch, under the names of its port to PyTorch, which has the same tree: a sequence with
//! convolutions, batch normalisations and inception modules, each of which holds branches side by side.

use std::collections::BTreeMap;

use super::super::entry::{Entry, Meaning};
use super::super::layout::contiguous;
use super::object::{Objects, Value};
use crate::text::shown;

/// Names of the inception modules of OpenFace's networks, by their number.
const MODULES: [&[&str]; 3] = [
    &["3a", "3b", "3c", "4a", "4e", "5a", "5b"],
    &["3a", "3b", "3c", "4a", "4b", "4e", "5a", "5b"],
    &["3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "5a", "5b"],
];

/// Deepest nesting of containers.
const DEEPEST: usize = 4;
/// Most parts of a container, and most that are looked through for the branches of a module: containers may share their parts, and
/// hold each other.
const MOST_PARTS: usize = 128;
const MOST_LOOKED_AT: usize = 1024;

type Result<T> = std::result::Result<T, String>;

/// Every tensor of the network.
///
/// # Errors
/// There is no network, or it is made of other layers than OpenFace's; the sentence follows the file's name.
pub(super) fn entries(objects: &Objects) -> Result<BTreeMap<String, Entry>> {
    let Some((class, pairs)) = objects.table(&objects.root) else {
        return Err("holds a tensor of Torch, not a network; give OpenFace's nn4.small2.v1.t7".into());
    };
    // A network may lie in a table, beside other things.
    let network = match class {
        "" => pairs.iter().map(|(_, value)| value).find(|value| !modules(objects, value).is_empty()),
        _ => Some(&objects.root),
    };
    let mut network = network.ok_or("holds no network of Torch; give OpenFace's nn4.small2.v1.t7")?;
    // A decorator, or a sequence of one.
    for _ in 0..DEEPEST {
        match modules(objects, network)[..] {
            [inside] if !modules(objects, inside).is_empty() => network = inside,
            _ => break,
        }
    }
    let mut found = BTreeMap::new();
    let (mut convolutions, mut norms, mut inceptions) = (0, 0, Vec::new());
    for layer in modules(objects, network) {
        match kind(objects, layer) {
            "SpatialConvolution" | "SpatialConvolutionMM" => {
                convolutions += 1;
                tensors(objects, layer, &format!("conv{convolutions}"), &mut found)?;
            }
            "SpatialBatchNormalization" => {
                norms += 1;
                tensors(objects, layer, &format!("bn{norms}"), &mut found)?;
            }
            "Linear" => tensors(objects, layer, "ln", &mut found)?,
            "Inception" | "DepthConcat" => inceptions.push(layer),
            _ => {}
        }
    }
    let Some(names) = MODULES.iter().find(|names| names.len() == inceptions.len()) else {
        let count = inceptions.len();
        return Err(format!(
            "holds a network of Torch with {count} inception modules, and OpenFace's have 7, 8 or 10; give a network of OpenFace"
        ));
    };
    for (module, name) in inceptions.into_iter().zip(*names) {
        let branches = concat(objects, module, DEEPEST, &mut 0).map(|concat| modules(objects, concat));
        for (b, branch) in branches.unwrap_or_default().into_iter().enumerate() {
            for (i, layer) in modules(objects, branch).into_iter().enumerate() {
                tensors(objects, layer, &format!("incept{name}.branches.{b}.{i}"), &mut found)?;
            }
        }
    }
    Ok(found)
}

/// What a container holds, in order; nothing if that is more than a network has.
fn modules<'o>(objects: &'o Objects, container: &'o Value) -> Vec<&'o Value> {
    objects.field(container, "modules").and_then(|list| objects.list(list, MOST_PARTS)).unwrap_or_default()
}

/// What has the branches of an inception module, which may lie in a decorator or in a sequence.
fn concat<'o>(objects: &'o Objects, module: &'o Value, deepest: usize, looked: &mut usize) -> Option<&'o Value> {
    *looked += 1;
    if deepest == 0 || *looked > MOST_LOOKED_AT {
        return None;
    }
    if kind(objects, module) == "DepthConcat" {
        return Some(module);
    }
    let inside = objects.field(module, "module").into_iter().chain(modules(objects, module));
    inside.into_iter().find_map(|inside| concat(objects, inside, deepest - 1, looked))
}

/// The class of a layer without its package, which is `nn` or `cudnn`.
fn kind<'o>(objects: &'o Objects, layer: &Value) -> &'o str {
    objects.table(layer).and_then(|(class, _)| class.rsplit('.').next()).unwrap_or_default()
}

/// The tensors of one layer. Convolutions may be matrices there, `[c_out, c_in * k_h * k_w]`.
fn tensors(objects: &Objects, layer: &Value, name: &str, found: &mut BTreeMap<String, Entry>) -> Result<()> {
    for part in ["weight", "bias", "running_mean", "running_var"] {
        if let Some(entry) = objects.tensor(layer, part) {
            found.insert(format!("{name}.{part}"), entry.clone());
        }
    }
    // Until 2015 batch normalisation kept one over the deviation, with the small number in it.
    if let Some(entry) = objects.tensor(layer, "running_std") {
        let eps = objects.number(layer, "eps").unwrap_or(1e-5);
        let entry = Entry { meaning: Meaning::InverseDeviation { eps }, ..entry.clone() };
        found.insert(format!("{name}.running_var"), entry);
    }
    if !kind(objects, layer).starts_with("SpatialConvolution") {
        return Ok(());
    }
    let size = |field: &str| {
        let number = objects.number(layer, field).filter(|n| (1.0..=65536.0).contains(n) && n.fract() == 0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number up to 65536")]
        let number = number.map(|n| n as usize);
        number.ok_or_else(|| format!("has the convolution {} without a {field}; it is damaged", shown(name)))
    };
    let shape = vec![size("nOutputPlane")?, size("nInputPlane")?, size("kH")?, size("kW")?];
    if let Some(entry) = found.get_mut(&format!("{name}.weight"))
        && entry.shape.iter().product::<usize>() == shape.iter().product::<usize>()
        && entry.strides == contiguous(&entry.shape)
    {
        entry.strides = contiguous(&shape);
        entry.shape = shape;
    }
    Ok(())
}
