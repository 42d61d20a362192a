//! facenet-pytorch's `InceptionResnetV1`: our layers are its modules, with `/` for `.`.
//!
//! | ours                            | there                                             |
//! |---------------------------------|---------------------------------------------------|
//! | `X/w`                           | `X.conv.weight`                                   |
//! | `X/gamma`, `beta`, `mean`, `var`| `X.bn.weight`, `bias`, `running_mean`, `running_var` |
//! | `X/conv2d/w`, `b` (residual)    | `X.conv2d.weight`, `bias`                         |
//! | `embedding/w`                   | `last_linear.weight`                              |
//! | `embedding/gamma`, ...          | `last_bn.weight`, ...                             |

use super::{batch_norm, weight_or_bias};

/// The name of `layer/part`, if there is such a tensor.
pub(super) fn name(layer: &str, part: &str) -> Option<String> {
    let module = layer.replace('/', ".");
    let residual = layer.rsplit('/').next() == Some("conv2d");
    Some(match (layer, part) {
        ("embedding", "w") => "last_linear.weight".to_string(),
        ("embedding", part) => format!("last_bn.{}", batch_norm(part)?),
        (_, part) if residual => format!("{module}.{}", weight_or_bias(part)?),
        (_, "w") => format!("{module}.conv.weight"),
        (_, part) => format!("{module}.bn.{}", batch_norm(part)?),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::{Family, Foreign};
    use crate::plan::Shape;

    /// Our list of the tensors of the whole network, `inception-resnet-v1` with 512 dimensions.
    #[derive(Default)]
    struct List(Vec<(String, Shape)>);

    impl List {
        fn add(&mut self, name: String, dims: &[u32]) {
            self.0.push((name, Shape::new(dims).unwrap()));
        }

        fn norm(&mut self, layer: &str, channels: u32) {
            for part in ["gamma", "beta", "mean", "var"] {
                self.add(format!("{layer}/{part}"), &[channels]);
            }
        }

        /// A chain of units `layer/0`, `layer/1`, ..., or `layer` itself if it is one: kernel and channels of each.
        fn chain(&mut self, layer: &str, c_in: u32, units: &[([u32; 2], u32)]) {
            let mut c_in = c_in;
            for (i, &([k_h, k_w], c_out)) in units.iter().enumerate() {
                let layer = if units.len() == 1 { layer.to_string() } else { format!("{layer}/{i}") };
                self.add(format!("{layer}/w"), &[k_h, k_w, c_in, c_out]);
                self.norm(&layer, c_out);
                c_in = c_out;
            }
        }

        /// A residual block: branches, then a 1x1 convolution back to `c` channels.
        fn block(&mut self, layer: &str, c: u32, branches: &[&[([u32; 2], u32)]]) {
            for (i, units) in branches.iter().enumerate() {
                self.chain(&format!("{layer}/branch{i}"), c, units);
            }
            let all = branches.iter().map(|units| units[units.len() - 1].1).sum();
            self.add(format!("{layer}/conv2d/w"), &[1, 1, all, c]);
            self.add(format!("{layer}/conv2d/b"), &[c]);
        }
    }

    fn network() -> Vec<(String, Shape)> {
        const ONE: [u32; 2] = [1, 1];
        const THREE: [u32; 2] = [3, 3];
        let mut list = List::default();
        for (layer, k, c_in, c_out) in [
            ("1a", 3, 3, 32),
            ("2a", 3, 32, 32),
            ("2b", 3, 32, 64),
            ("3b", 1, 64, 80),
            ("4a", 3, 80, 192),
            ("4b", 3, 192, 256),
        ] {
            list.chain(&format!("conv2d_{layer}"), c_in, &[([k, k], c_out)]);
        }
        for i in 0..5 {
            let branches: [&[_]; 3] = [&[(ONE, 32)], &[(ONE, 32), (THREE, 32)], &[(ONE, 32), (THREE, 32), (THREE, 32)]];
            list.block(&format!("repeat_1/{i}"), 256, &branches);
        }
        list.chain("mixed_6a/branch0", 256, &[(THREE, 384)]);
        list.chain("mixed_6a/branch1", 256, &[(ONE, 192), (THREE, 192), (THREE, 256)]);
        for i in 0..10 {
            let branches: [&[_]; 2] = [&[(ONE, 128)], &[(ONE, 128), ([1, 7], 128), ([7, 1], 128)]];
            list.block(&format!("repeat_2/{i}"), 896, &branches);
        }
        list.chain("mixed_7a/branch0", 896, &[(ONE, 256), (THREE, 384)]);
        list.chain("mixed_7a/branch1", 896, &[(ONE, 256), (THREE, 256)]);
        list.chain("mixed_7a/branch2", 896, &[(ONE, 256), (THREE, 256), (THREE, 256)]);
        for layer in ["repeat_3/0", "repeat_3/1", "repeat_3/2", "repeat_3/3", "repeat_3/4", "block8"] {
            list.block(layer, 1792, &[&[(ONE, 192)], &[(ONE, 192), ([1, 3], 192), ([3, 1], 192)]]);
        }
        list.add("embedding/w".into(), &[1792, 512]);
        list.norm("embedding", 512);
        list.0
    }

    #[test]
    fn every_tensor_of_the_network_has_its_name_and_sizes() {
        let ours = network();
        let map = Family::FacenetPytorch.map(&ours).unwrap();
        let names: BTreeSet<&str> = map.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names.len(), map.len(), "no name is used twice");
        // Of facenet-pytorch's 716 tensors, two are `logits` and one for each batch normalisation is a counter.
        let counters = names.iter().filter(|name| name.ends_with(".running_var")).count();
        assert_eq!((map.len(), counters), (716 - 2 - 112, 112));
        let trained = map.iter().filter(|f| !f.name.contains(".running_"));
        assert_eq!(trained.map(|f| f.shape.iter().product::<usize>()).sum::<usize>(), 23_482_624);
        let find = |name: &str| map.iter().position(|f| f.name == name).unwrap_or_else(|| panic!("{name}"));
        for (theirs, shape, own) in [
            ("conv2d_1a.conv.weight", &[32, 3, 3, 3][..], "conv2d_1a/w"),
            ("conv2d_4b.bn.running_var", &[256], "conv2d_4b/var"),
            ("repeat_1.4.branch2.1.conv.weight", &[32, 32, 3, 3], "repeat_1/4/branch2/1/w"),
            ("repeat_1.0.conv2d.bias", &[256], "repeat_1/0/conv2d/b"),
            ("mixed_6a.branch0.bn.weight", &[384], "mixed_6a/branch0/gamma"),
            ("repeat_2.9.branch1.1.conv.weight", &[128, 128, 1, 7], "repeat_2/9/branch1/1/w"),
            ("block8.branch1.2.conv.weight", &[192, 192, 3, 1], "block8/branch1/2/w"),
            ("block8.conv2d.weight", &[1792, 384, 1, 1], "block8/conv2d/w"),
            ("last_linear.weight", &[512, 1792], "embedding/w"),
            ("last_bn.bias", &[512], "embedding/beta"),
        ] {
            let at = find(theirs);
            assert_eq!((map[at].shape.as_slice(), ours[at].0.as_str()), (shape, own), "{theirs}");
        }
        assert_eq!(
            map[0],
            Foreign { name: "conv2d_1a.conv.weight".into(), shape: vec![32, 3, 3, 3], order: &[3, 2, 0, 1] }
        );
    }
}
