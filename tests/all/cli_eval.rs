//! Measuring weights on lists of pairs, as a stranger meets it. See `cli.rs` for the rest.

use std::fs;
use std::path::Path;

use crate::support::program::*;
use predicates::prelude::*;
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// Images in LFW's layout, and a list of pairs of them.
fn lfw(dir: &Path) {
    for (person, shade) in [("Ada", 40u8), ("Grace", 120), ("Mary_Ann", 220)] {
        fs::create_dir_all(dir.join("lfw").join(person)).unwrap();
        for number in 1..=2u8 {
            let image = image::RgbImage::from_pixel(32, 32, image::Rgb([shade, shade / 2, shade + 3 * number]));
            image.save(dir.join("lfw").join(person).join(format!("{person}_000{number}.jpg"))).unwrap();
        }
    }
    let pairs =
        "3\nAda\t1\t2\nGrace\t1\t2\nMary_Ann\t1\t2\nAda\t1\tGrace\t1\nAda\t2\tMary_Ann\t1\nGrace\t2\tMary_Ann\t2\n";
    fs::write(dir.join("pairs.txt"), pairs).unwrap();
}

#[test]
fn eval_measures_weights_on_a_list_of_pairs() {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    lfw(dir.path());
    let eval = "eval pairs w.safetensors --device cpu --data lfw --pairs pairs.txt";
    let said = run(dir.path(), eval).success().stderr("");
    said.stdout(predicate::str::contains("6 of 6").and(predicate::str::contains("accuracy")));
    fs::remove_file(dir.path().join("lfw/Ada/Ada_0002.jpg")).unwrap();
    let said = run(dir.path(), eval).success().stderr(predicate::str::contains("1 of 6 images cannot be used"));
    said.stdout(predicate::str::contains("4 of 6"));
    let other = |from: &str, to: &str| run(dir.path(), &eval.replace(from, to));
    refused(other("--data lfw", "--data none"), 1, &["none is no folder", "--data"]);
    fs::create_dir(dir.path().join("other")).unwrap();
    refused(other("--data lfw", "--data other"), 1, &["none of the 6 images", "can be used in other"]);
    refused(other("pairs.txt", "w.safetensors"), 1, &["w.safetensors"]);
    refused(other("pairs.txt", "none.txt"), 1, &["cannot read none.txt"]);
    refused(other("pairs w", "pairs v"), 1, &["cannot read v.safetensors"]);
}

/// A folder with weights, images and a list of pairs.
fn prepared() -> TempDir {
    let dir = tempdir().unwrap();
    run(dir.path(), TINY).success();
    fs::rename(dir.path().join("runs/train/run/weights/best.safetensors"), dir.path().join("w.safetensors")).unwrap();
    lfw(dir.path());
    dir
}

const EVAL: &str = "eval pairs w.safetensors --device cpu --data lfw --pairs";

#[test]
fn figures_are_one_json_object_and_distances_a_table_from_which_they_follow() {
    let dir = prepared();
    let said =
        run(dir.path(), &format!("{EVAL} pairs.txt --json --distances d.csv")).success().get_output().stdout.clone();
    let told: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!((told["pairs"].as_u64(), told["protocol"].as_str()), (Some(6), Some("halves")));
    let rows = fs::read_to_string(dir.path().join("d.csv")).unwrap();
    let rows: Vec<Vec<&str>> = rows.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 6);
    assert_eq!((rows[0][1], rows[0][2], rows[0][3]), ("Ada 1", "Ada 2", "1"));
    // The area under the curve is the part of pairs of pairs in the right order.
    let of =
        |same: &str| rows.iter().filter(|row| row[3] == same).map(|row| row[4].parse().unwrap()).collect::<Vec<f64>>();
    let (same, different) = (of("1"), of("0"));
    let order = |a: f64, b: f64| {
        if a < b {
            1.0
        } else if a == b {
            0.5
        } else {
            0.0
        }
    };
    let right: f64 = same.iter().flat_map(|&a| different.iter().map(move |&b| order(a, b))).sum();
    assert!((told["auc"].as_f64().unwrap() - right / 9.0).abs() < 1e-9, "{told}");
    assert_eq!(told["val_at_far"], Value::Array(vec![]), "three pairs of different people show no rate of a tenth");
}

#[test]
fn lists_of_files_and_other_names_of_images_are_taken_and_missing_ones_leave_an_unbalanced_rest() {
    let dir = prepared();
    fs::rename(dir.path().join("lfw/Ada/Ada_0001.jpg"), dir.path().join("lfw/Ada/Ada_1.JPG")).unwrap();
    fs::rename(dir.path().join("lfw/Grace/Grace_0002.jpg"), dir.path().join("lfw/Grace/Grace_0002_0.jpeg")).unwrap();
    run(dir.path(), &format!("{EVAL} pairs.txt")).success().stderr("").stdout(predicate::str::contains("6 of 6"));
    let files = "a,b,same\nAda/Ada_1.JPG,Ada/Ada_0002.jpg,1\nGrace/Grace_0001.jpg,Grace/Grace_0002_0.jpeg,1\n\
                 Ada/Ada_1.JPG,Grace/Grace_0001.jpg,0\nAda/Ada_0002.jpg,Mary_Ann/Mary_Ann_0001.jpg,0\n";
    fs::write(dir.path().join("files.csv"), files).unwrap();
    run(dir.path(), &format!("{EVAL} files.csv")).success().stderr("").stdout(predicate::str::contains("4 of 4"));
    fs::write(
        dir.path().join("more.csv"),
        format!("{files}Ada/none.jpg,Grace/Grace_0001.jpg,0\nAda/Ada_1.JPG,Mary_Ann/Mary_Ann_0002.jpg,0\n"),
    )
    .unwrap();
    let said = run(dir.path(), &format!("{EVAL} more.csv")).success();
    said.stderr(predicate::str::contains("not balanced").and(predicate::str::contains("1 of 7 images")));
    fs::write(dir.path().join("out.csv"), "../w.safetensors,Ada/Ada_1.JPG,0\n").unwrap();
    refused(run(dir.path(), &format!("{EVAL} out.csv")), 1, &["line 1", "leaves the folder"]);
}

#[test]
fn a_set_without_images_is_left_out_and_named() {
    let dir = prepared();
    let set = |a: &str, b: &str| format!("{a}\t1\t2\n{b}\t1\t2\n{a}\t1\t{b}\t1\n{a}\t2\t{b}\t2\n");
    let list = format!("3\t2\n{}{}{}", set("Ada", "Grace"), set("Nobody", "None"), set("Mary_Ann", "Grace"));
    fs::write(dir.path().join("three.txt"), list).unwrap();
    let said = run(dir.path(), &format!("{EVAL} three.txt")).success();
    said.stderr(predicate::str::contains("no pair of set 2 can be used"))
        .stdout(predicate::str::contains("each of 2 sets").and(predicate::str::contains("thresholds")));
}

#[test]
fn lfw_stands_beside_what_others_have_published_and_says_how_it_was_measured() {
    let dir = prepared();
    let said =
        run(dir.path(), &EVAL.replace("pairs w", "lfw w").replace("--pairs", "--pairs pairs.txt --flip --report r"));
    let said = said.success().stderr("");
    let sha = "SHA-256 ";
    said.stdout(
        predicate::str::contains("FaceNet 98.87 \u{b1}0.15 %")
            .and(predicate::str::contains("99.63").and(predicate::str::contains("97.35")))
            .and(predicate::str::contains("99.47").and(predicate::str::contains(sha)))
            .and(predicate::str::contains("mean with mirror images"))
            .and(predicate::str::contains("do not compare")),
    );
    let page = fs::read_to_string(dir.path().join("r/report.html")).unwrap();
    assert!(page.contains("98.87") && page.matches("data:image/png;base64,").count() >= 3 && !page.contains("http"));
    for picture in ["roc.png", "det.png", "histogram.png"] {
        assert!(image::open(dir.path().join("r").join(picture)).is_ok(), "{picture}");
    }
    let json = |more: &str| -> Value {
        let said = run(dir.path(), &format!("{EVAL} pairs.txt --json {more}")).success().get_output().stdout.clone();
        serde_json::from_slice(&said).unwrap()
    };
    let (plain, flipped, cropped) = (json(""), json("--flip"), json("--crop center:16 --metric angle"));
    assert_eq!(plain["conditions"]["pairs_sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&flipped["conditions"]["flip"], &plain["conditions"]["flip"]), (&true.into(), &false.into()));
    assert_eq!(cropped["conditions"]["crop"], "center:16x16");
    assert!(plain["threshold"].as_f64() != cropped["threshold"].as_f64(), "{plain} {cropped}");
    assert!(plain.get("published").is_none());
    refused(run(dir.path(), &format!("{EVAL} pairs.txt --subtract-mean")), 2, &["add --metric angle"]);
    refused(run(dir.path(), &format!("{EVAL} pairs.txt --subtract-mean --metric angle")), 2, &["one set"]);
    let said = run(dir.path(), &format!("{EVAL} pairs.txt --crop left:3")).code(2);
    said.stderr(predicate::str::contains("center:150"));
}

#[test]
fn several_sets_are_told_exactly_and_as_facenet_searches_them() {
    let dir = prepared();
    let set = |a: &str, b: &str| format!("{a}\t1\t2\n{b}\t1\t2\n{a}\t1\t{b}\t1\n{a}\t2\t{b}\t2\n");
    let list = format!("3\t2\n{}{}{}", set("Ada", "Grace"), set("Ada", "Mary_Ann"), set("Mary_Ann", "Grace"));
    fs::write(dir.path().join("three.txt"), list).unwrap();
    let eval = format!("{EVAL} three.txt --metric angle");
    let json = |more: &str| -> Value {
        let said = run(dir.path(), &format!("{eval} --json {more}")).success().get_output().stdout.clone();
        serde_json::from_slice(&said).unwrap()
    };
    let (plain, without_mean) = (json(""), json("--subtract-mean"));
    assert_eq!((plain["sets"].as_u64(), plain["lfw_py"]["thresholds"].as_array().unwrap().len()), (Some(3), 3));
    let steps = plain["lfw_py"]["thresholds"][0].as_f64().unwrap() / 0.01;
    assert!((steps - steps.round()).abs() < 1e-9, "{plain}");
    assert_ne!(plain["thresholds"], without_mean["thresholds"]);
    run(dir.path(), &eval)
        .success()
        .stdout(predicate::str::contains("lfw.py").and(predicate::str::contains("divisor n")));
}

#[test]
fn images_much_larger_than_the_networks_input_are_told_unless_they_are_cropped() {
    let dir = prepared();
    for person in ["Ada", "Grace", "Mary_Ann"] {
        for number in 1..=2 {
            let path = dir.path().join(format!("lfw/{person}/{person}_000{number}.jpg"));
            image::open(&path).unwrap().resize(200, 200, image::imageops::FilterType::Nearest).save(&path).unwrap();
        }
    }
    let hint = "about 200x200 pixels and the network sees 64x64";
    run(dir.path(), &format!("{EVAL} pairs.txt")).success().stderr(predicate::str::contains(hint));
    run(dir.path(), &format!("{EVAL} pairs.txt --crop center:120")).success().stderr("");
}

#[test]
fn all_pairs_of_a_folder_are_measured_and_images_of_the_training_are_told() {
    let dir = tempdir().unwrap();
    run(dir.path(), "synth --out faces --people 6 --images 3 --size 64").success();
    run(dir.path(), ON_FOLDER).success();
    let weights = "runs/train/run/weights/last.safetensors";
    let folder =
        |data: &str| run(dir.path(), &format!("eval folder {weights} --data {data} --device cpu --json --report r"));
    let said =
        folder("faces").success().stderr(predicate::str::contains("these are the images of the weights' training"));
    let told: Value = serde_json::from_slice(&said.get_output().stdout).unwrap();
    assert_eq!((told["pairs_same"].as_u64(), told["pairs_different"].as_u64()), (Some(18), Some(135)));
    assert_eq!(told["val_at_far"].as_array().unwrap().len(), 2, "135 pairs carry a hundredth and no thousandth");
    assert!(fs::read_to_string(dir.path().join("r/report.html")).unwrap().contains("All pairs of a folder"));
    // Some of them, under other names.
    fs::create_dir_all(dir.path().join("other/ann")).unwrap();
    for (person, number) in [(1, 1), (1, 2), (2, 1)] {
        let name = if person == 1 { "ann" } else { "bob" };
        fs::create_dir_all(dir.path().join("other").join(name)).unwrap();
        let from = dir.path().join(format!("faces/person_000{person}/000{number}.png"));
        fs::copy(from, dir.path().join(format!("other/{name}/{name}_{number}.png"))).unwrap();
    }
    let held_out = fs::read_to_string(dir.path().join("runs/train/run/data.csv")).unwrap();
    let trained = held_out.lines().filter(|line| {
        ["person_0001,0001.", "person_0001,0002.", "person_0002,0001."].iter().any(|image| line.starts_with(image))
            && line.ends_with("false")
    });
    let trained = trained.count();
    let said = folder("other").success();
    if trained > 0 {
        said.stderr(predicate::str::contains(format!("trained on {trained} of these 3 images")));
    }
    // Without the run beside them, the name of the data set is what is left.
    fs::copy(dir.path().join(weights), dir.path().join("w.safetensors")).unwrap();
    fs::create_dir(dir.path().join("new")).unwrap();
    fs::rename(dir.path().join("other"), dir.path().join("new/faces")).unwrap();
    let said = run(dir.path(), "eval folder w.safetensors --data new/faces --device cpu").success();
    said.stderr(predicate::str::contains("a data set called faces"));
    fs::remove_dir_all(dir.path().join("new/faces/bob")).unwrap();
    let one = run(dir.path(), "eval folder w.safetensors --data new/faces --device cpu");
    let text = String::from_utf8(one.code(1).get_output().stderr.clone()).unwrap();
    assert!(text.contains("shows one person"), "{text}");
}

/// Videos of three frames, in the layout of aligned pictures, and a list in two sets; one video is missing.
fn videos(dir: &Path) {
    for (person, shade) in [("Ann", 30u8), ("Bob", 110), ("Eve", 170), ("Ian", 240)] {
        for video in 0..2u8 {
            let folder = dir.join(format!("aligned_images_DB/{person}/{video}"));
            fs::create_dir_all(&folder).unwrap();
            for frame in [8, 9, 10u8] {
                let pixel = image::Rgb([shade, 255 - shade, 10 * video + frame]);
                let path = folder.join(format!("aligned_detect_{video}.{frame}.png"));
                image::RgbImage::from_pixel(40, 40, pixel).save(path).unwrap();
            }
        }
    }
    let set = |set: u8, a: &str, b: &str| {
        format!(
            "{set}, 1, {a}/0, {a}/1, 1\r\n{set}, 2, {b}/0, {b}/1, 1\r\n{set}, 3, {a}/0, {b}/1, 0\r\n{set}, 4, {b}/0, {a}/1, 0\r\n"
        )
    };
    let missing = "2, 5, Ann/7, Bob/0, 0\r\n";
    fs::write(dir.join("splits.txt"), format!("{}{}{missing}", set(1, "Ann", "Bob"), set(2, "Eve", "Ian"))).unwrap();
}

#[test]
fn videos_are_compared_by_all_their_frames_and_those_that_are_done_are_kept() {
    let dir = prepared();
    videos(dir.path());
    let eval = "eval ytf w.safetensors --device cpu --data . --splits splits.txt --cache c.json";
    let said = run(dir.path(), &format!("{eval} --frames 2 --json")).success();
    let said = said.stderr(predicate::str::contains("1 of 9 videos cannot be used"));
    let told: Value = serde_json::from_slice(&said.get_output().stdout).unwrap();
    assert_eq!((told["pairs"].as_u64(), told["sets"].as_u64()), (Some(8), Some(2)));
    assert_eq!((&told["conditions"]["pairs_left_out"], &told["conditions"]["videos"]), (&1.into(), &8.into()));
    let kept = fs::read_to_string(dir.path().join("c.json")).unwrap();
    assert_eq!(kept.matches("\"frames\":2").count(), 8, "{kept}");
    // What is kept is not read again, unless its frames change.
    let frame = |at: &str| dir.path().join("aligned_images_DB/Ann/0").join(at);
    for name in names(&frame("")) {
        let found = fs::metadata(frame(&name)).unwrap();
        fs::write(frame(&name), vec![0; usize::try_from(found.len()).unwrap()]).unwrap();
        fs::File::options().write(true).open(frame(&name)).unwrap().set_modified(found.modified().unwrap()).unwrap();
    }
    let again = run(dir.path(), &format!("{eval} --frames 2")).success();
    let again = again.stderr(predicate::str::contains("1 of 9 videos cannot be used"));
    again.stdout(
        predicate::str::contains("8 of 9 are done already")
            .and(predicate::str::contains("8 of 9 in 2 sets"))
            .and(predicate::str::contains("FaceNet 95.12 \u{b1}0.39 %")),
    );
    names(&frame("")).iter().for_each(|name| fs::write(frame(name), [0]).unwrap());
    let changed = run(dir.path(), &format!("{eval} --frames 2 --csv")).success();
    changed
        .stderr(predicate::str::contains("2 of 9 videos cannot be used"))
        .stdout(predicate::str::starts_with("figure,value\n").and(predicate::str::contains("\naccuracy,")));
    refused(run(dir.path(), &format!("{eval} --frames 3")), 1, &["c.json is of another evaluation", "--cache"]);
    refused(run(dir.path(), &eval.replace("--data .", "--data lfw")), 1, &["neither frame_images_DB"]);
    refused(run(dir.path(), &eval.replace("splits.txt", "pairs.txt")), 1, &["line 1", "Sadie_Frost"]);
}

#[test]
fn images_made_worse_are_a_table_with_a_row_a_change() {
    let dir = prepared();
    fs::copy(dir.path().join("w.safetensors"), dir.path().join("v.safetensors")).unwrap();
    let sweep = "eval sweep w.safetensors v.safetensors --device cpu --data lfw --pairs pairs.txt";
    let said = run(dir.path(), &format!("{sweep} --report r")).success().stdout(predicate::str::contains("JPEG 10"));
    said.stderr(predicate::str::contains("too small for the row of 40x40"));
    let rows = run(dir.path(), &format!("{sweep} --csv")).success().get_output().stdout.clone();
    let rows = String::from_utf8(rows).unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows[0], "weights,dimensions,condition,pairs,accuracy,far,val,auc");
    // As it is, six qualities and bytes, for either file; 32 pixels are shrunk to nothing.
    assert_eq!(rows.len(), 1 + 2 * 8);
    let plain = run(dir.path(), &format!("{EVAL} pairs.txt --json")).success().get_output().stdout.clone();
    let plain: Value = serde_json::from_slice(&plain).unwrap();
    let first: Vec<&str> = rows[1].split(',').collect();
    assert_eq!((first[2], first[3]), ("as it is", "6"));
    assert_eq!(first[4].parse::<f64>().unwrap(), plain["accuracy"].as_f64().unwrap());
    assert_eq!(first[7].parse::<f64>().unwrap(), plain["auc"].as_f64().unwrap());
    assert!(dir.path().join("r/jpeg.png").exists());
    let said = run(dir.path(), "eval sweep --data lfw --pairs pairs.txt").code(2);
    said.stderr(predicate::str::contains("no weights are given"));
}
