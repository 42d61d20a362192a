//! OpenFace's port to PyTorch (`openface/openfacenet.py`). It has only nn4.small2.v1; the scheme serves its siblings.
//!
//! | ours                          | there                                                          |
//! |-------------------------------|----------------------------------------------------------------|
//! | `conv1`                       | `conv1`, `bn1`                                                 |
//! | `inception_2/3x3_reduce`, `3x3` | `conv2`, `bn2`; `conv3`, `bn3`                               |
//! | `inception_3a/3x3_reduce`, `3x3` | `incept3a.branches.0`: convolutions 0 and 3, batch norms 1 and 4 |
//! | `inception_3a/5x5_reduce`, `5x5` | the next branch, if there is one: the same                  |
//! | `inception_3a/pool_proj`      | the next branch: pool 0, convolution 1, batch norm 2           |
//! | `inception_3a/1x1`            | the next branch: convolution 0, batch norm 1                   |
//! | `embedding`                   | `ln`                                                           |

use super::{batch_norm, weight_or_bias};

/// The name of `layer/part`, if there is such a tensor; `layers` are all layers of the network.
pub(super) fn name(layer: &str, part: &str, layers: &[&str]) -> Option<String> {
    let (convolution, norm) = match layer {
        "conv1" => ("conv1".to_string(), "bn1".to_string()),
        "inception_2/3x3_reduce" => ("conv2".to_string(), "bn2".to_string()),
        "inception_2/3x3" => ("conv3".to_string(), "bn3".to_string()),
        "embedding" => return Some(format!("ln.{}", weight_or_bias(part)?)),
        _ => {
            let (module, unit) = layer.strip_prefix("inception_")?.split_once('/')?;
            // A module without a projection still has its pool branch.
            let pool = 1 + usize::from(layers.contains(&format!("inception_{module}/5x5").as_str()));
            let (branch, at) = match unit {
                "3x3_reduce" => (0, 0),
                "3x3" => (0, 3),
                "5x5_reduce" => (1, 0),
                "5x5" => (1, 3),
                "pool_proj" => (pool, 1),
                "1x1" => (pool + 1, 0),
                _ => return None,
            };
            let step = |at: usize| format!("incept{module}.branches.{branch}.{at}");
            (step(at), step(at + 1))
        }
    };
    weight_or_bias(part)
        .map(|name| format!("{convolution}.{name}"))
        .or_else(|| batch_norm(part).map(|name| format!("{norm}.{name}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Family;
    use crate::plan::Shape;

    /// A row of the table of modules: name, channels in, 1x1, 3x3 and 5x5 with their reductions, projection; 0 is none.
    type Row = (&'static str, u32, u32, [u32; 2], [u32; 2], u32);

    /// nn4.small2.
    const SMALL2: [Row; 7] = [
        ("3a", 192, 64, [96, 128], [16, 32], 32),
        ("3b", 256, 64, [96, 128], [32, 64], 64),
        ("3c", 320, 0, [128, 256], [32, 64], 0),
        ("4a", 640, 256, [96, 192], [32, 64], 128),
        ("4e", 640, 0, [160, 256], [64, 128], 0),
        ("5a", 1024, 256, [96, 384], [0, 0], 96),
        ("5b", 736, 256, [96, 384], [0, 0], 96),
    ];

    /// Our list of the tensors of nn4.small2.
    fn network() -> Vec<(String, Shape)> {
        let mut list = Vec::new();
        let mut unit = |layer: String, k: u32, c_in: u32, c_out: u32| {
            if c_out > 0 {
                list.push((format!("{layer}/w"), Shape::new(&[k, k, c_in, c_out]).unwrap()));
                let vectors = ["b", "gamma", "beta", "mean", "var"].into_iter();
                list.extend(vectors.map(|part| (format!("{layer}/{part}"), Shape::vector(c_out))));
            }
        };
        unit("conv1".into(), 7, 3, 64);
        unit("inception_2/3x3_reduce".into(), 1, 64, 64);
        unit("inception_2/3x3".into(), 3, 64, 192);
        for (module, c_in, one, three, five, projection) in SMALL2 {
            let layer = |name: &str| format!("inception_{module}/{name}");
            unit(layer("1x1"), 1, c_in, one);
            unit(layer("3x3_reduce"), 1, c_in, three[0]);
            unit(layer("3x3"), 3, three[0], three[1]);
            unit(layer("5x5_reduce"), 1, c_in, five[0]);
            unit(layer("5x5"), 5, five[0], five[1]);
            unit(layer("pool_proj"), 1, c_in, projection);
        }
        list.push(("embedding/w".into(), Shape::new(&[736, 128]).unwrap()));
        list.push(("embedding/b".into(), Shape::vector(128)));
        list
    }

    #[test]
    fn every_tensor_of_nn4_small2_has_its_name_and_sizes() {
        let ours = network();
        let map = Family::OpenFace.map(&ours).unwrap();
        let names: BTreeSet<&str> = map.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names.len(), map.len(), "no name is used twice");
        let trained = map.iter().filter(|f| !f.name.contains(".running_"));
        assert_eq!(trained.map(|f| f.shape.iter().product::<usize>()).sum::<usize>(), 3_733_968);
        for (theirs, shape, own) in [
            ("conv1.weight", &[64, 3, 7, 7][..], "conv1/w"),
            ("bn2.running_mean", &[64], "inception_2/3x3_reduce/mean"),
            ("conv3.bias", &[192], "inception_2/3x3/b"),
            ("incept3a.branches.0.0.weight", &[96, 192, 1, 1], "inception_3a/3x3_reduce/w"),
            ("incept3a.branches.0.4.bias", &[128], "inception_3a/3x3/beta"),
            ("incept3a.branches.1.3.weight", &[32, 16, 5, 5], "inception_3a/5x5/w"),
            ("incept3a.branches.2.1.weight", &[32, 192, 1, 1], "inception_3a/pool_proj/w"),
            ("incept3a.branches.2.2.running_var", &[32], "inception_3a/pool_proj/var"),
            ("incept3a.branches.3.0.bias", &[64], "inception_3a/1x1/b"),
            ("incept3c.branches.1.1.weight", &[32], "inception_3c/5x5_reduce/gamma"),
            ("incept5a.branches.1.1.weight", &[96, 1024, 1, 1], "inception_5a/pool_proj/w"),
            ("incept5b.branches.2.0.weight", &[256, 736, 1, 1], "inception_5b/1x1/w"),
            ("ln.weight", &[128, 736], "embedding/w"),
        ] {
            let at = map.iter().position(|f| f.name == theirs).unwrap_or_else(|| panic!("{theirs}"));
            assert_eq!((map[at].shape.as_slice(), ours[at].0.as_str()), (shape, own), "{theirs}");
        }
    }
}
