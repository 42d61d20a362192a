//! The part of an image that a network sees.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A rectangle of so many pixels in the middle of an image that stands upright; of a smaller image all that there is.
/// Written `center:150`, or `center:150x120` (height and width).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Crop {
    /// Height in pixels of the image.
    pub height: u32,
    /// Width in pixels of the image.
    pub width: u32,
}

impl Crop {
    /// Left, top, width and height of what is taken of an image of `width` x `height` pixels.
    pub(crate) fn of(self, width: u32, height: u32) -> [u32; 4] {
        let (w, h) = (self.width.min(width), self.height.min(height));
        [(width - w) / 2, (height - h) / 2, w, h]
    }
}

impl fmt::Display for Crop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "center:{}x{}", self.height, self.width)
    }
}

impl FromStr for Crop {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.strip_prefix("center:").or_else(|| text.strip_prefix("centre:"));
        let side = |text: &str| text.parse::<u32>().ok().filter(|&side| side >= super::decode::MIN_SIDE);
        let both = size.and_then(|size| match size.split_once('x') {
            Some((height, width)) => Some((side(height)?, side(width)?)),
            None => side(size).map(|side| (side, side)),
        });
        let (height, width) = both.ok_or_else(|| {
            format!(
                "expected center:N or center:HxW in pixels, such as center:150, each {} or more",
                super::decode::MIN_SIDE
            )
        })?;
        Ok(Self { height, width })
    }
}

impl TryFrom<String> for Crop {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Crop> for String {
    fn from(crop: Crop) -> Self {
        crop.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_is_a_number_or_two_and_lies_in_the_middle() {
        let crop: Crop = "center:150x120".parse().unwrap();
        assert_eq!(crop.of(250, 250), [65, 50, 120, 150]);
        assert_eq!(crop.of(100, 160), [0, 5, 100, 150], "a smaller image is taken as far as it goes");
        assert_eq!("center:144".parse::<Crop>().unwrap().to_string(), "center:144x144");
        for wrong in
            ["144", "center:", "center:0", "center:7", "center:-5", "center:1x", "left:150", "center:9999999999"]
        {
            assert!(wrong.parse::<Crop>().unwrap_err().contains("such as center:150"), "{wrong}");
        }
    }
}
