use image::RgbImage;

use super::dice::Dice;
use super::*;

#[test]
fn the_same_inputs_give_the_same_bytes() {
    for size in [64, 40] {
        let [once, again] = [0, 1].map(|_| draw(&Identity::new(3, 5), 2, size));
        assert_eq!(once, again);
        assert_eq!(once.dimensions(), (size, size));
    }
}

#[test]
fn person_image_and_seed_each_change_the_picture() {
    let picture = |seed, person, image| draw(&Identity::new(seed, person), image, 64);
    let first = picture(1, 1, 1);
    assert_ne!(first, picture(2, 1, 1));
    assert_ne!(first, picture(1, 2, 1));
    assert_ne!(first, picture(1, 1, 2));
}

#[test]
fn people_use_the_whole_range_of_every_parameter() {
    let people: Vec<Identity> = (0..300).map(|person| Identity::new(9, person)).collect();
    let readings: [fn(&Identity) -> f32; 12] = [
        |person| person.skin[1],
        |person| person.head.width,
        |person| person.head.jaw,
        |person| person.hair.colour[0],
        |person| person.hair.volume,
        |person| person.eyes.spacing,
        |person| person.eyes.opening,
        |person| person.brows.thickness,
        |person| person.nose.tip,
        |person| person.nose.width,
        |person| person.mouth.width,
        |person| person.mouth.lower,
    ];
    for (number, reading) in readings.iter().enumerate() {
        let values: Vec<f32> = people.iter().map(reading).collect();
        let mean = values.iter().sum::<f32>() / 300.0;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 300.0).sqrt();
        assert!(deviation > 0.06 * mean.abs(), "parameter {number}: {deviation} around {mean}");
    }
    let distinct = |of: fn(&Identity) -> String| people.iter().map(of).collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(distinct(|person| format!("{:?}", person.hair.front)), 10);
    assert_eq!(distinct(|person| format!("{:?}", person.hair.back)), 7);
    assert_eq!(distinct(|person| format!("{:?}", person.beard.style)), 5);
}

fn squared_distance(a: &RgbImage, b: &RgbImage) -> f64 {
    a.as_raw().iter().zip(b.as_raw()).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

/// Balanced pairs of some people: the distance and whether both images show the same person.
fn pairs(dice: &mut Dice, people: &[Vec<RgbImage>]) -> Vec<(f64, bool)> {
    let some = |dice: &mut Dice, count: usize| {
        let choices: Vec<(f32, usize)> = (0..count).map(|index| (1.0, index)).collect();
        dice.weighted(&choices)
    };
    let mut found = Vec::new();
    while found.len() < 4000 {
        let same = found.len() % 2 == 0;
        let first = some(dice, people.len());
        let second = if same { first } else { some(dice, people.len()) };
        let [a, b] = [0, 1].map(|_| some(dice, people[0].len()));
        if (first == second) == same && (first, a) != (second, b) {
            found.push((squared_distance(&people[first][a], &people[second][b]), same));
        }
    }
    found
}

fn accuracy(pairs: &[(f64, bool)], threshold: f64) -> f64 {
    let right = pairs.iter().filter(|(distance, same)| (*distance < threshold) == *same).count();
    right as f64 / pairs.len() as f64
}

#[test]
fn raw_pixels_cannot_tell_people_apart() {
    let people: Vec<Vec<RgbImage>> = (0..100)
        .map(|person| {
            let identity = Identity::new(11, person);
            (0..10).map(|image| draw(&identity, image, 64)).collect()
        })
        .collect();
    let mut dice = Dice::of_person(0, 0);
    let [known, unknown] = [&people[..50], &people[50..]].map(|half| pairs(&mut dice, half));
    let best = known
        .iter()
        .map(|(distance, _)| *distance)
        .max_by(|a, b| accuracy(&known, *a).total_cmp(&accuracy(&known, *b)))
        .unwrap();
    let score = accuracy(&unknown, best);
    println!("raw pixels verify {:.1} % of the pairs of unknown people", 100.0 * score);
    assert!(score < 0.70, "raw pixels reach {score}");
}

#[test]
fn a_folder_is_written_whole_and_never_over_another() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("new/faces");
    let last = std::sync::atomic::AtomicUsize::new(0);
    let progress = |count| {
        last.fetch_max(count, std::sync::atomic::Ordering::Relaxed);
        true
    };
    write_folder(&out, 3, 2, 5, 32, &progress).unwrap();
    assert_eq!(last.into_inner(), 6);
    let image = image::open(out.join("person_0003/0002.png")).unwrap().to_rgb8();
    assert_eq!(image, draw(&Identity::new(5, 2), 1, 32));
    assert_eq!(std::fs::read_dir(place.path().join("new")).unwrap().count(), 1, "nothing temporary is left behind");

    let refusal = write_folder(&out, 1, 1, 5, 32, &|_| true).unwrap_err().to_string();
    assert!(refusal.contains("already holds files") && refusal.contains("faces"), "{refusal}");
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    write_folder(&empty, 1, 1, 5, 32, &|_| true).unwrap();
    let file = out.join("person_0001/0001.png");
    assert!(write_folder(&file, 1, 1, 5, 32, &|_| true).unwrap_err().to_string().contains("is a file"));

    let stopped = place.path().join("stopped/faces");
    let refusal = write_folder(&stopped, 3, 2, 5, 32, &|count| count < 2).unwrap_err();
    assert!(matches!(refusal, crate::Error::Interrupted(_)), "{refusal}");
    assert_eq!(std::fs::read_dir(place.path().join("stopped")).unwrap().count(), 0, "nothing is left behind");
}
