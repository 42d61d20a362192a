//! What a user should know of a set of faces before training on it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::FaceSet;
use crate::Result;
use crate::data::sizes;
use crate::text::{counted, listed};

/// Examples that a sentence gives.
const EXAMPLES: usize = 3;
/// Standard deviation of a pixel over the images, out of 255, below which they all show the same.
const ALIKE: f64 = 1.0;

impl FaceSet {
    /// Width and height of the image of medium size, where they are much larger than what the network sees and no crop is
    /// taken: the faces may be small in them. `None` otherwise, and for generated faces.
    pub fn much_larger_images(&self) -> Option<(u32, u32)> {
        sizes::much_larger(&self.paths, &self.preprocess)
    }

    /// Width and height of the image of medium size, where a crop is to be taken that is larger in both: nothing is cut off.
    pub fn smaller_than_crop(&self) -> Option<(u32, u32)> {
        sizes::smaller_than_crop(&self.paths, &self.preprocess)
    }

    /// Sentences about images that spoil training: equal ones under two people, and images that do not differ at all.
    /// Nothing where the pixels are not in memory.
    ///
    /// # Errors
    /// None where the pixels are in memory.
    pub fn remarks(&self) -> Result<Vec<String>> {
        if !self.is_in_memory() {
            return Ok(Vec::new());
        }
        if self.deviation()? < ALIKE {
            let message = "the images do not differ: all of them show the same; look at them before training";
            return Ok(vec![message.to_string()]);
        }
        let mut first: HashMap<u64, usize> = HashMap::new();
        let (mut within, mut across) = (0_usize, Vec::new());
        for image in 0..self.len() {
            let mut hasher = DefaultHasher::new();
            self.face(image)?.hash(&mut hasher);
            match first.get(&hasher.finish()) {
                None => drop(first.insert(hasher.finish(), image)),
                Some(&other) if self.face(other)? != self.face(image)? => {}
                Some(&other) if self.person_of(other) == self.person_of(image) => within += 1,
                Some(&other) => across.push((other, image)),
            }
        }
        let mut remarks = Vec::new();
        if !across.is_empty() {
            let name = |image: usize| match self.path(image) {
                Some(path) => {
                    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    format!("{}/{file}", self.people()[self.person_of(image)].name)
                }
                None => self.people()[self.person_of(image)].name.clone(),
            };
            let examples: Vec<String> =
                across.iter().take(EXAMPLES).map(|&(a, b)| format!("{} = {}", name(a), name(b))).collect();
            remarks.push(format!(
                "{} {} also under another person ({}); equal images cannot be told apart: remove one of each",
                counted(across.len(), "image"),
                if across.len() == 1 { "is" } else { "are" },
                examples.join(", ")
            ));
        }
        if within > 0 {
            let (images, verb) = (counted(within, "image"), if within == 1 { "is" } else { "are" });
            remarks.push(format!("{images} {verb} there twice under the same person"));
        }
        Ok(remarks)
    }

    /// Names of the people all of whose images were left out, as a sentence.
    pub fn lost_people(&self) -> Option<String> {
        let lost = &self.lost;
        let verb = if lost.len() == 1 { "person has" } else { "people have" };
        (!lost.is_empty()).then(|| format!("{} {verb} no image that can be used: {}", lost.len(), listed(lost)))
    }

    /// Standard deviation of a pixel over the images, on average over some pixels.
    fn deviation(&self) -> Result<f64> {
        const PIXELS: usize = 64;
        let len = self.preprocess().face_len();
        let places: Vec<usize> = (0..PIXELS).map(|i| i * len / PIXELS).collect();
        let (mut sums, mut squares) = ([0.0; PIXELS], [0.0; PIXELS]);
        for image in 0..self.len() {
            let face = self.face(image)?;
            for (i, &place) in places.iter().enumerate() {
                let x = f64::from(face[place]);
                (sums[i], squares[i]) = (sums[i] + x, squares[i] + x * x);
            }
        }
        let n = self.len().max(1) as f64;
        let deviation = |(sum, square): (&f64, &f64)| (square / n - (sum / n).powi(2)).max(0.0).sqrt();
        Ok(sums.iter().zip(&squares).map(deviation).sum::<f64>() / PIXELS as f64)
    }
}

#[cfg(test)]
mod tests {
    use crate::data::faces::FaceSet;
    use crate::data::preprocess::{Normalise, Preprocess};
    use crate::data::testing::noise_faces;

    fn set(people: Vec<(String, Vec<Vec<u8>>)>) -> FaceSet {
        FaceSet::from_images(
            &Preprocess { height: 8, width: 8, normalise: Normalise::Unit, crop: None, alignment: None },
            people,
        )
        .unwrap()
    }

    #[test]
    fn equal_images_of_two_people_are_named_and_those_of_one_person_counted() {
        let noise = noise_faces(&[4], 8);
        let face = |image: usize| noise.face(image).unwrap().into_owned();
        let people = vec![
            ("ada".to_string(), vec![face(0), face(1), face(1)]),
            ("bob".to_string(), vec![face(2), face(0)]),
            ("eve".to_string(), vec![face(3)]),
        ];
        let remarks = set(people).remarks().unwrap();
        assert!(remarks[0].starts_with("1 image is also under another person (ada = bob)"), "{remarks:?}");
        assert!(remarks[1].starts_with("1 image is there twice"), "{remarks:?}");
        assert_eq!(noise_faces(&[3, 3], 8).remarks().unwrap(), [""; 0]);
    }

    #[test]
    fn images_that_all_show_the_same_are_told() {
        let black = || vec![0; 192];
        let people = vec![("ada".to_string(), vec![black(), black()]), ("bob".to_string(), vec![black(), black()])];
        assert!(set(people).remarks().unwrap()[0].starts_with("the images do not differ"));
    }

    #[test]
    fn images_much_larger_than_what_the_network_sees_are_told_unless_a_crop_is_taken() {
        use crate::data::folder::FaceFolder;
        use crate::data::preprocess::Crop;

        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("ann")).unwrap();
        for (name, side) in [("a", 30), ("b", 90), ("c", 90)] {
            image::RgbImage::new(side, side).save(dir.path().join(format!("ann/{name}.png"))).unwrap();
        }
        let told = |input: u32, crop: Option<Crop>| {
            let preprocess =
                Preprocess { height: input, width: input, normalise: Normalise::Unit, crop, alignment: None };
            let folder = FaceFolder::scan(dir.path()).unwrap();
            FaceSet::load(&folder, &preprocess, u64::MAX, &|_, _| {}).unwrap().much_larger_images()
        };
        assert_eq!(told(32, None), Some((90, 90)));
        assert_eq!((told(40, None), told(32, Some(Crop { height: 60, width: 60 }))), (None, None));
        let crop = |side: u32| {
            let crop = Some(Crop { height: side, width: side });
            let preprocess = Preprocess { height: 32, width: 32, normalise: Normalise::Unit, crop, alignment: None };
            let folder = FaceFolder::scan(dir.path()).unwrap();
            FaceSet::load(&folder, &preprocess, u64::MAX, &|_, _| {}).unwrap().smaller_than_crop()
        };
        assert_eq!((crop(90), crop(91)), (None, Some((90, 90))));
    }
}
