use image::DynamicImage;

use super::*;
use crate::net;
use crate::plan::Role;

fn zf64() -> Model {
    net::find("zf64").unwrap().sized(None, Some(8)).unwrap()
}

fn weights() -> Weights {
    let model = zf64();
    initial_weights(&model, Metadata::of(&model).unwrap(), 3)
}

/// Fully convolutional up to its embedding, with batch normalisation that is folded.
fn convolutional() -> Model {
    let layers = |n: &mut net::Blocks<'_>, images| {
        n.batch_norm(1e-3, true);
        let x = n.conv("conv1", images, 8, 3, 2)?;
        let x = n.conv("conv2", x, 12, 3, 1)?;
        let x = n.avg_pool("pool", x)?;
        n.embedding(x)
    };
    net::model("mine", "", [16, 16], 4, layers).unwrap()
}

fn session(model: Model, seed: u64) -> Session {
    let weights = initial_weights(&model, Metadata::of(&model).unwrap(), seed);
    Session::new(&Engine::Cpu, model, &weights, "w").unwrap()
}

#[test]
fn good_weights_embed_and_any_number_of_images_gives_the_same_rows() {
    let mut session = Session::with_weights(&Engine::Cpu, &weights(), "w").unwrap().with_batch(4);
    let images: Vec<_> = (0..5).map(|i| DynamicImage::new_rgb8(30 + i, 40)).collect();
    let all = session.embed(&images).unwrap();
    assert_eq!((all.len(), all.dim()), (5, 8));
    assert_eq!(session.embed(&images[4..]).unwrap()[0], all[4]);
    assert!(session.embed(&[]).unwrap().is_empty());
    assert_eq!(
        session.plan_shapes(),
        [(4, [64, 64]), (1, [64, 64])],
        "one image does not go through with three others"
    );
}

#[test]
fn weights_that_do_not_fit_are_refused_before_they_reach_a_device() {
    let change = |change: fn(&mut Weights)| {
        let mut weights = weights();
        change(&mut weights);
        let text = Session::with_weights(&Engine::Cpu, &weights, "w.safetensors").unwrap_err().to_string();
        assert!(text.starts_with("w.safetensors: "), "{text}");
        text
    };
    for (text, part) in [
        (change(|w| w.metadata.network = "vgg".into()), "the network vgg, this version knows zf64, "),
        (change(|w| w.metadata.preprocess.height = 4_000_000_000), "has images of 4000000000x64"),
        (change(|w| w.metadata.preprocess.height = 48), "has the tensor fc1/w with sizes"),
        (change(|w| w.metadata.embedding = 0), "embeddings of 0 dimensions"),
        (change(|w| w.metadata.embedding = u32::MAX), "embeddings of 4294967295 dimensions"),
        (change(|w| w.metadata.embedding = 9), "has the tensor embedding/w with sizes"),
        (change(|w| drop(w.tensors.remove(0))), "lacks the tensor"),
        (change(|w| w.tensors[0].0 = "extra/w".into()), "lacks the tensor"),
        (change(|w| w.tensors.push(("extra/w".into(), w.tensors[0].1, Vec::new()))), "has the tensor extra/w, which"),
        (change(|w| w.tensors[0].2[0] = f32::NAN), "holds NaN or Inf"),
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_session_keeps_the_plans_it_used_last_and_all_read_the_same_parameters() {
    let mut session = session(convolutional(), 1);
    let pixels = |height: u32, width: u32| vec![0.25; (height * width * 3) as usize];
    let first = session.run(1, [16, 16], &pixels(16, 16)).unwrap();
    assert_eq!((first[0].name.as_str(), first[0].shape.dims()), (EMBEDDINGS, &[1, 4][..]));
    for side in 17..17 + u32::try_from(PLANS).unwrap() {
        session.run(1, [side, 20], &pixels(side, 20)).unwrap();
    }
    let shapes = session.plan_shapes();
    assert_eq!(shapes.len(), PLANS);
    assert!(!shapes.contains(&(1, [16, 16])), "the plan that was used least recently has gone: {shapes:?}");
    assert_eq!(session.run(1, [16, 16], &pixels(16, 16)).unwrap(), first, "and is made again");
    // New parameters reach every plan, and what is folded from them.
    let other = self::session(convolutional(), 2);
    for tensor in other.parameters().download(&WEIGHTS).unwrap().wait().unwrap() {
        session.parameters().write(&tensor.spec.name, &tensor.data).unwrap();
    }
    let mut other = other;
    let changed = session.run(1, [16, 16], &pixels(16, 16)).unwrap();
    assert_ne!(changed, first);
    assert_eq!(changed, other.run(1, [16, 16], &pixels(16, 16)).unwrap());
}

#[test]
fn folded_batch_normalisation_gives_what_the_ops_give_and_holds_the_weights_apart() {
    let model = convolutional();
    let mut weights = initial_weights(&model, Metadata::of(&model).unwrap(), 5);
    for (i, (name, _, data)) in weights.tensors.iter_mut().enumerate() {
        // Running statistics and biases that are not at their start.
        if !name.ends_with("/w") {
            data.iter_mut().zip(1u8..).for_each(|(x, j)| *x = 0.5 + 0.1 * f32::from(j) + 0.01 * i as f32);
        }
    }
    let pixels: Vec<f32> = (0..2 * 16 * 16 * 3).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
    let mut session = Session::new(&Engine::Cpu, model.clone(), &weights, "w").unwrap();
    let folded = session.run(2, [16, 16], &pixels).unwrap();
    assert!(session.derived_bytes() > 0);

    let frozen = model.sized(2, crate::graph::Purpose::Training { dropout: 0.0, frozen: true }).unwrap();
    let recording = crate::graph::Recording::forward(&frozen.graph, &[frozen.embeddings()]);
    let (images, embeddings) = (recording.value(frozen.images), recording.value(frozen.embeddings()));
    let plan = recording.finish();
    assert!(plan.with_role(Role::Derived).next().is_none());
    let mut executor = Store::executor(&[session.parameters()], plan, &crate::executor::Options::default()).unwrap();
    executor.write(images, &pixels).unwrap();
    executor.run_all().unwrap();
    for (f, e) in folded[0].data.iter().zip(executor.read(embeddings).unwrap()) {
        assert!((f - e).abs() < 1e-5, "{f} {e}");
    }
}

#[test]
fn embeddings_that_tell_nothing_are_an_error_that_names_the_cause() {
    let model = convolutional();
    let refusal = |value: f32, name: &str| {
        let mut weights = initial_weights(&model, Metadata::of(&model).unwrap(), 1);
        let tensors = weights.tensors.iter_mut().filter(|(n, ..)| n.contains(name));
        tensors.for_each(|(.., data)| data.fill(value));
        let mut session = Session::new(&Engine::Cpu, model.clone(), &weights, "w").unwrap();
        // White, because what black pixels make of huge weights is negative, and ReLU makes that zero.
        let white = image::RgbImage::from_pixel(40, 40, image::Rgb([255; 3]));
        session.embed(&[DynamicImage::ImageRgb8(white)]).unwrap_err().to_string()
    };
    let text = refusal(0.0, "");
    assert!(text.contains("image 0 has the length 0.000 instead of 1") && text.contains("all zero"), "{text}");
    let text = refusal(3e38, "/w");
    assert!(text.contains("image 0 holds NaN or Inf") && text.contains("overflows"), "{text}");
}

#[test]
fn faces_and_floats_of_a_wrong_length_are_refused_in_words() {
    let mut session = session(convolutional(), 1);
    let text = session.embed_faces(&[vec![0; 16 * 16 * 3], vec![0; 5]]).unwrap_err().to_string();
    assert!(text.contains("expected 768 bytes, 16x16 pixels of RGB, got 5 bytes"), "{text}");
    let text = session.embed_floats(&[0.0; 7]).unwrap_err().to_string();
    assert!(text.contains("whole images of 768 floats, got 7"), "{text}");
    let text = session.run(2, [16, 16], &[0.0; 7]).unwrap_err().to_string();
    assert!(text.contains("expected [2, 16, 16, 3], 1536 floats, got 7"), "{text}");
    assert!(session.run(0, [16, 16], &[]).is_err());
}

#[test]
fn a_model_with_a_fully_connected_layer_refuses_images_of_another_size() {
    let mut session = Session::with_weights(&Engine::Cpu, &weights(), "w").unwrap();
    let text = session.run(1, [48, 48], &[0.0; 48 * 48 * 3]).unwrap_err().to_string();
    assert!(text.contains("fc1"), "{text}");
}
