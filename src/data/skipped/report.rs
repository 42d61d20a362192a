//! The report of what was left out.

use std::path::Path;

use super::SkippedImage;
use crate::{Error, Result};

/// Writes `rows` as a CSV file with the columns `path` and `reason`; no rows give a file with the header only, so that
/// a report of an earlier run never survives.
///
/// # Errors
/// [`Error::Io`] where the file cannot be written.
pub fn write_report(rows: &[SkippedImage], path: &Path) -> Result<()> {
    let failed = |error: csv::Error| Error::io("write", path)(std::io::Error::other(error));
    let mut writer = csv::Writer::from_path(path).map_err(failed)?;
    writer.write_record(["path", "reason"]).map_err(failed)?;
    for row in rows {
        writer.write_record([row.path.to_string_lossy().as_ref(), &row.reason]).map_err(failed)?;
    }
    writer.flush().map_err(Error::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_one_row_per_skipped_image_and_quotes_commas() {
        let dir = tempfile::tempdir().unwrap();
        let report = dir.path().join("skipped.csv");
        let row = SkippedImage { path: "ann/1.jpg".into(), reason: "is cut short, copy it again".into() };
        write_report(&[row], &report).unwrap();
        let text = std::fs::read_to_string(&report).unwrap();
        assert_eq!(text, "path,reason\nann/1.jpg,\"is cut short, copy it again\"\n");
    }

    #[test]
    fn a_report_into_a_missing_folder_names_the_file() {
        let error = write_report(&[], Path::new("/no/such/folder/skipped.csv")).unwrap_err().to_string();
        assert!(error.starts_with("cannot write /no/such/folder/skipped.csv"), "{error}");
    }
}
