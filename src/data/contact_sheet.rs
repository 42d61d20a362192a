//! Contact sheets: many small pictures on one, a row per person.

use image::{Rgb, RgbImage, imageops};

use crate::{Error, Result};

/// Lays out rows of images as a grid with `gap` light pixels between them. Rows may differ in length and images in
/// size: every cell is as large as the largest image, and smaller ones sit in the middle of theirs.
///
/// # Errors
///
/// Fails if there is no image at all or if the sheet would be larger than 32768 pixels in either direction.
pub fn contact_sheet(rows: &[Vec<RgbImage>], gap: u32) -> Result<RgbImage> {
    const LARGEST: u64 = 32_768;
    let images = || rows.iter().flatten();
    let width = images().map(RgbImage::width).max().unwrap_or(0);
    let height = images().map(RgbImage::height).max().unwrap_or(0);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u64;
    if width == 0 || height == 0 {
        return Err(Error::Data("a contact sheet needs at least one image".to_owned()));
    }
    let [step_x, step_y] = [width, height].map(|length| u64::from(length) + u64::from(gap));
    let [wide, high] = [columns * step_x + u64::from(gap), rows.len() as u64 * step_y + u64::from(gap)];
    if wide > LARGEST || high > LARGEST {
        return Err(Error::Data(format!(
            "a contact sheet of {wide} x {high} pixels is too large: show fewer or smaller images, at most {LARGEST} \
             pixels in either direction"
        )));
    }
    let [wide, high] = [wide, high].map(|length| u32::try_from(length).unwrap_or(u32::MAX));
    let mut sheet = RgbImage::from_pixel(wide, high, Rgb([244, 243, 240]));
    for (row, images) in (0_u64..).zip(rows) {
        for (column, image) in (0_u64..).zip(images) {
            let x = u64::from(gap) + column * step_x + u64::from((width - image.width()) / 2);
            let y = u64::from(gap) + row * step_y + u64::from((height - image.height()) / 2);
            imageops::replace(&mut sheet, image, x.cast_signed(), y.cast_signed());
        }
    }
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_found_in_its_cell() {
        let red = RgbImage::from_pixel(4, 4, Rgb([255, 0, 0]));
        let blue = RgbImage::from_pixel(2, 4, Rgb([0, 0, 255]));
        let sheet = contact_sheet(&[vec![red.clone(), red], vec![blue]], 1).unwrap();
        assert_eq!(sheet.dimensions(), (11, 11));
        assert_eq!(sheet.get_pixel(6, 1), &Rgb([255, 0, 0]));
        assert_eq!(sheet.get_pixel(2, 6), &Rgb([0, 0, 255]));
        assert_eq!(sheet.get_pixel(1, 6), &Rgb([244, 243, 240]));
    }

    #[test]
    fn a_sheet_of_nothing_and_a_gigantic_sheet_are_errors() {
        assert!(contact_sheet(&[], 1).is_err());
        assert!(contact_sheet(&[vec![]], 1).is_err());
        let wide = RgbImage::new(20_000, 1);
        assert!(contact_sheet(&[vec![wide.clone(), wide]], 1).unwrap_err().to_string().contains("too large"));
    }
}
