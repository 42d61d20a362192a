use super::*;
use crate::data::augment::Preset;

/// Settings of which none has its default.
fn all_changed() -> Config {
    Config {
        network: "nn4".to_string(),
        input: Some([96, 80]),
        embedding: Some(64),
        normalise: Some(Normalise::Unit),
        crop: Some(Crop { height: 150, width: 120 }),
        init: Some("start.safetensors".into()),
        people: 45,
        images: 40,
        negatives: Some(7),
        layout: Layout::Leaf,
        batch: Some(1900),
        epochs: 3,
        time: Some(Seconds(5400)),
        patience: Some(4),
        save_every: Some(50),
        loss: LossKind::ArcFace,
        loss_scale: 20.0,
        angular_margin: 0.3,
        classes: 0,
        margin: 0.1,
        mining: Mining::RandomViolating,
        positives: Some(Positives::Hardest),
        optimiser: Some(OptimiserKind::Sgd),
        learning_rate: Some(0.037),
        warm_up: Some(30),
        schedule: Schedule::Constant,
        rates: vec![RateFrom { epoch: 0, rate: 0.1 }, RateFrom { epoch: 7, rate: 0.01 }],
        decay: 0.5,
        decay_every: 3,
        momentum: Some(0.7),
        nesterov: true,
        betas: [0.8, 0.99],
        weight_decay: 1e-4,
        clip_norm: Some(2.0),
        ema: 0.99,
        freeze: vec!["conv1".to_string()],
        rate_of: vec!["fc=0.1".to_string()],
        dropout: 0.3,
        held_out: 0.1,
        eval_pairs: Some("pairs.txt".into()),
        eval_data: Some("lfw".into()),
        augment: Augment {
            no_flip: true,
            shift: Some(7),
            rotate: Some(1),
            zoom: Some(2),
            light: Some(3),
            blur: Some(4),
            jpeg: Some(5),
            erase: Some(6),
            grey: Some(8),
            ..Augment::preset(Preset::Strong)
        },
        seed: u64::MAX,
        chunk: Some(32),
        frozen_statistics: true,
        on_collapse: OnCollapse::BackOff,
        offline: Some(Offline { share: 0.3, hardest: true, ..Offline::every(200) }),
        compatible_with: Some("old \"one\".safetensors".into()),
        dataset: Some("LFW, # not a comment".to_string()),
        license: Some("MIT".to_string()),
    }
}

#[test]
fn every_setting_survives_being_written_and_read() {
    let (default, changed) = (Config::default(), all_changed());
    let tables = [&default, &changed].map(|config| serde_json::to_value(config).unwrap());
    for (key, value) in tables[1].as_object().unwrap() {
        assert_ne!(tables[0].get(key), Some(value), "{key} still has its default");
    }
    for config in [default, changed] {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(Config::from_toml(&text).unwrap(), config, "{text}");
        let of_a_run = format!("version = \"0.1.0\"\ndevice = \"CPU\"\ndata = \"faces\"\n{text}");
        assert_eq!(Config::from_toml(&of_a_run).unwrap(), config);
    }
}

#[test]
fn a_file_of_a_few_settings_leaves_the_others_at_their_defaults() {
    let read = Config::from_toml("margin = 0.3\nmining = \"batch-all\"").unwrap();
    assert_eq!(read, Config::default().with(|c| (c.margin, c.mining) = (0.3, Mining::BatchAll)));
}

#[test]
fn what_is_no_setting_is_refused_with_the_nearest_one() {
    for (text, parts) in [
        ("marign = 0.3", ["line 1: there is no setting \"marign\"", "nearest is \"margin\""]),
        ("optimizer = \"sgd\"", ["no setting \"optimizer\"", "nearest is \"optimiser\""]),
        ("[augment]\nshifts = 3", ["line 2: there is no setting \"augment.shifts\"", "nearest is \"augment.shift\""]),
        ("[offline]\nevry = 3", ["no setting \"offline.evry\"", "nearest is \"offline.every\""]),
        ("margin = \"wide\"", ["expected f32", "line 1: \"margin\": "]),
        ("seed = 1\npeople = -1", ["-1", "line 2: \"people\": "]),
        ("mining = \"easy\"", ["line 1: \"mining\": ", "semi-hard"]),
        ("[offline]\nevery = 3", ["missing field", "subset"]),
        ("seed = 1\nmargin = = 2", ["line 2: ", ""]),
    ] {
        let error = Config::from_toml(text).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)) && error.lines().count() == 1, "{text}: {error}");
    }
    assert!(Config::load("no/such/args.toml").unwrap_err().to_string().contains("cannot read no/such/args.toml"));
}
