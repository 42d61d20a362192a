//! Contact sheets with a text beside each row.

use image::{Rgb, RgbImage, imageops};
use plotters::prelude::*;

use super::font;
use crate::{Error, Result};

const GAP: u32 = 8;
const TEXT: u32 = 22;
/// Pictures that are smaller are shown at twice their size.
const SMALL: u32 = 112;

/// A row of pictures for each of `rows`, with the lines of its text to the right. `headings` stand above the columns.
///
/// # Errors
/// There is no picture, or the sheet cannot be drawn.
pub fn captioned_rows(headings: &[&str], rows: &[(Vec<RgbImage>, String)]) -> Result<RgbImage> {
    font::register();
    let pictures = || rows.iter().flat_map(|(pictures, _)| pictures);
    let largest = |of: fn(&RgbImage) -> u32| pictures().map(of).max().unwrap_or(0);
    let (width, height) = (largest(RgbImage::width), largest(RgbImage::height));
    if width == 0 || height == 0 {
        return Err(Error::Data("a contact sheet needs at least one image".to_owned()));
    }
    let times = if width.max(height) < SMALL { 2 } else { 1 };
    let (width, height) = (times * width, times * height);
    let columns = u32::try_from(rows.iter().map(|(pictures, _)| pictures.len()).max().unwrap_or(0)).unwrap_or(0);
    let longest = rows.iter().flat_map(|(_, text)| text.lines()).map(str::len).max().unwrap_or(0);
    // Narrower than this is no letter of the font, on average.
    let text_width = u32::try_from(longest).unwrap_or(0) * TEXT * 11 / 20;
    let top = if headings.is_empty() { GAP } else { TEXT + 2 * GAP };
    let count = u32::try_from(rows.len()).unwrap_or(0);
    let size = (GAP + columns * (width + GAP) + text_width + GAP, top + count * (height + GAP));
    let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb([250, 250, 248]));
    let left = |column: u32| GAP + column * (width + GAP);
    let upper = |row: u32| top + row * (height + GAP);
    for (row, (pictures, _)) in (0..).zip(rows) {
        for (column, picture) in (0..).zip(pictures) {
            let shown = imageops::resize(picture, width, height, imageops::FilterType::Nearest);
            imageops::replace(&mut sheet, &shown, left(column).into(), upper(row).into());
        }
    }
    let draw = |sheet: &mut RgbImage| -> std::result::Result<(), Box<dyn std::error::Error>> {
        let root = BitMapBackend::with_buffer(sheet, size).into_drawing_area();
        let style = (font::FAMILY, TEXT).into_font().color(&BLACK.mix(0.8));
        let write = |text: &str, x: u32, y: u32| {
            root.draw(&Text::new(text.to_string(), (x.cast_signed(), y.cast_signed()), style.clone()))
        };
        for (column, heading) in (0..).zip(headings) {
            write(heading, left(column), GAP)?;
        }
        for (row, (_, text)) in (0..).zip(rows) {
            let lines = u32::try_from(text.lines().count()).unwrap_or(1);
            let first = upper(row) + (height / 2).saturating_sub(lines * (TEXT + 6) / 2);
            for (line, text) in (0..).zip(text.lines()) {
                write(text, left(columns), first + line * (TEXT + 6))?;
            }
        }
        root.present()?;
        Ok(())
    };
    draw(&mut sheet).map_err(|e| Error::Data(format!("a contact sheet cannot be drawn: {e}")))?;
    Ok(sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stand_in_rows_with_their_text_beside_them() {
        let red = RgbImage::from_pixel(10, 10, Rgb([255, 0, 0]));
        let sheet = captioned_rows(&["one", "two"], &[(vec![red.clone(), red], "0.25\n0.50".into())]).unwrap();
        let reds = sheet.pixels().filter(|p| p.0 == [255, 0, 0]).count();
        assert_eq!(reds, 2 * 20 * 20, "small pictures are shown at twice their size");
        assert_eq!(sheet.get_pixel(GAP, TEXT + 2 * GAP), &Rgb([255, 0, 0]));
        let dark = |from: u32| {
            (from..sheet.width()).any(|x| {
                (0..sheet.height()).any(|y| sheet.get_pixel(x, y).0[1] < 120 && sheet.get_pixel(x, y).0[0] < 120)
            })
        };
        assert!(dark(GAP + 2 * (20 + GAP)), "the text is missing");
        assert!(captioned_rows(&[], &[]).is_err());
    }

    #[test]
    fn names_in_any_script_are_drawn_as_far_as_the_font_goes() {
        let picture = RgbImage::new(4, 4);
        for name in ["Zo\u{eb}", "\u{674e}\u{1f600}", "a\u{202e}b", ""] {
            captioned_rows(&["anchor"], &[(vec![picture.clone()], name.to_string())]).unwrap();
        }
    }
}
