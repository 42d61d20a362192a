//! Charts and captioned contact sheets as PNG pictures, with a font of their own: a machine may have none.

mod captions;
mod font;
mod lines;
pub mod page;
pub mod verification;

pub use captions::captioned_rows;
pub use lines::{Chart, Series, Style};

use image::RgbImage;

use crate::{Error, Result};

/// Colours of lines, as red, green and blue.
pub mod colours {
    pub const BLUE: [u8; 3] = [0, 90, 160];
    pub const GREEN: [u8; 3] = [0, 130, 90];
    pub const ORANGE: [u8; 3] = [200, 110, 20];
    pub const RED: [u8; 3] = [190, 40, 60];
    pub const GREY: [u8; 3] = [110, 110, 110];
}

/// A picture as a PNG file.
///
/// # Errors
/// The picture cannot be encoded: it has no pixels.
pub fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut out = std::io::Cursor::new(Vec::new());
    let fail = |e: image::ImageError| Error::Data(format!("a picture cannot be encoded: {e}"));
    picture.write_to(&mut out, image::ImageFormat::Png).map_err(fail)?;
    Ok(out.into_inner())
}
