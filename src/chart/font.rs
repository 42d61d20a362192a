//! The font of all pictures.

use std::sync::Once;

use plotters::style::{FontStyle, register_font};

/// The family under which plotters knows it.
pub(super) const FAMILY: &str = "sans-serif";

/// DejaVu Sans with the characters of ASCII and a few more.
static DEJAVU_SANS: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");

/// Makes the font known. Cheap when called again.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The bytes are a part of the program: a test sees that they are a font.
        let _ = register_font(FAMILY, FontStyle::Normal, DEJAVU_SANS);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_that_comes_along_is_one() {
        assert!(register_font("another", FontStyle::Normal, DEJAVU_SANS).is_ok());
    }
}
