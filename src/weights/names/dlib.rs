//! dlib's face recognition network, whose layers have no names: the file's reader (`weights/dlib.rs`) numbers them from the
//! input on.
//!
//! | ours                                           | there                                                       |
//! |------------------------------------------------|-------------------------------------------------------------|
//! | the convolution number `i`: `w`, `b`           | `con<i>.filters`, `con<i>.biases`                           |
//! | its `gamma`, `beta`, `mean`, `var`             | `affine<i>.gamma`, `beta`, `mean` (0), `variance` (1)        |
//! | `embedding/w`                                  | `fc.weights`                                                |

/// The name of `layer/part`, if there is such a tensor; `layers` are all layers of the network, for each of its tensors.
pub(super) fn name(layer: &str, part: &str, layers: &[&str]) -> Option<String> {
    if layer == "embedding" {
        return (part == "w").then(|| "fc.weights".to_owned());
    }
    let mut before: Vec<&str> = layers.iter().copied().take_while(|other| *other != layer).collect();
    before.dedup();
    let number = before.len() + 1;
    Some(match part {
        "w" => format!("con{number}.filters"),
        "b" => format!("con{number}.biases"),
        "gamma" | "beta" | "mean" => format!("affine{number}.{part}"),
        "var" => format!("affine{number}.variance"),
        _ => return None,
    })
}
