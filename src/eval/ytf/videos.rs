//! Frames of videos, in either of the archive's layouts.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use image::DynamicImage;

use crate::data::decode::{decode_picture, prepare};
use crate::data::folder::is_readable;
use crate::data::preprocess::{Face, Preprocess};
use crate::text::shown;
use crate::{Error, Result};

/// An aligned picture shows so many times the sides of the face's box, as the archive's README says.
const ALIGNED: f64 = 2.2;

/// What the frames show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `frame_images_DB`: whole frames, with a file of face boxes a person.
    Frames,
    /// `aligned_images_DB`: faces that were cut out and aligned.
    Aligned,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Frames => "frame_images_DB",
            Self::Aligned => "aligned_images_DB",
        })
    }
}

/// A picture of a video with the part of it that shows the face.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The file.
    pub path: PathBuf,
    /// Middle, width and height of the face's box in pixels; `None` of an aligned picture, which is all face.
    pub face: Option<[f64; 4]>,
}

impl Frame {
    /// The face as a network sees it: `scale` times the sides of its box, as far as the picture goes.
    ///
    /// # Errors
    /// The picture cannot be read, or too little of the face lies in it.
    pub fn face(&self, scale: f64, preprocess: &Preprocess) -> Result<Face> {
        let picture = decode_picture(&self.path)?;
        let (width, height) = (f64::from(picture.width()), f64::from(picture.height()));
        let [x, y, w, h] = self.face.unwrap_or([width / 2.0, height / 2.0, width / ALIGNED, height / ALIGNED]);
        let part = part(&picture, [x, y, w * scale, h * scale]);
        prepare(&part, preprocess)
            .map_err(|e| Error::Image { path: self.path.clone(), message: format!("its face: {e}") })
    }
}

/// The part of a picture around a middle, as far as the picture goes.
fn part(picture: &DynamicImage, [x, y, w, h]: [f64; 4]) -> DynamicImage {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole pixels within the picture")]
    let span = |middle: f64, length: f64, limit: u32| {
        let end = |at: f64| at.round().clamp(0.0, f64::from(limit)) as u32;
        let (begin, end) = (end(middle - length / 2.0), end(middle + length / 2.0));
        (begin, end - begin)
    };
    let ((left, width), (top, height)) = (span(x, w, picture.width()), span(y, h, picture.height()));
    picture.crop_imm(left, top, width, height)
}

/// A folder of videos: `Subject/number/` with a picture a frame.
#[derive(Debug)]
pub struct Videos {
    root: PathBuf,
    layout: Layout,
}

impl Videos {
    /// Looks for one of the layouts in `root`, which may also be `frame_images_DB` or `aligned_images_DB` itself, under
    /// whatever name. Where both are there, it is the frames unless `wanted` says otherwise.
    ///
    /// # Errors
    /// There is none of them.
    pub fn find(root: &Path, wanted: Option<Layout>) -> Result<Self> {
        let entries = std::fs::read_dir(root).map_err(Error::io("read", root))?;
        let both = [Layout::Frames, Layout::Aligned];
        for layout in wanted.map_or(both.to_vec(), |layout| vec![layout]) {
            let inside = root.join(layout.to_string());
            if inside.is_dir() {
                return Ok(Self { root: inside, layout });
            }
        }
        let labels = |path: &Path| path.to_string_lossy().ends_with(".labeled_faces.txt");
        let paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        let layout = match () {
            () if paths.iter().any(|path| labels(path)) => Layout::Frames,
            () if paths.iter().any(|path| has_aligned(path)) => Layout::Aligned,
            () => {
                return Err(Error::Data(format!(
                    "{} holds neither frame_images_DB nor aligned_images_DB; give the folder of YouTube Faces' archive",
                    root.display()
                )));
            }
        };
        match wanted {
            Some(wanted) if wanted != layout => {
                Err(Error::Data(format!("{} is laid out as {layout}, not as {wanted}", root.display())))
            }
            _ => Ok(Self { root: root.to_path_buf(), layout }),
        }
    }

    /// What the frames show.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The folder with a folder per person.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The first `most` frames of a video, `Subject/number`, that show a face, in the order of their numbers. Frames without a
    /// labelled box are passed over.
    ///
    /// # Errors
    /// There is no such video, or none of its frames shows a face; the sentence says which.
    pub fn frames(&self, video: &str, most: usize) -> Result<Vec<Frame>, String> {
        let folder = self.root.join(video);
        let entries = std::fs::read_dir(&folder).map_err(|e| Error::io("read", &folder)(e).to_string())?;
        let paths = entries.flatten().map(|entry| entry.path()).filter(|path| is_readable(path));
        let mut numbered: Vec<(u64, PathBuf)> = paths.filter_map(|path| Some((number(&path)?, path))).collect();
        numbered.sort();
        if numbered.is_empty() {
            return Err(format!("{} holds no frame such as 0.123.jpg", folder.display()));
        }
        if self.layout == Layout::Aligned {
            let frames = numbered.into_iter().take(most).map(|(_, path)| Frame { path, face: None });
            return Ok(frames.collect());
        }
        let boxes = self.boxes(video)?;
        let frame = |(_, path): (u64, PathBuf)| {
            let face = boxes.get(path.file_name()?.to_str()?).copied()?;
            Some(Frame { path, face: Some(face) })
        };
        let frames: Vec<Frame> = numbered.into_iter().filter_map(frame).take(most).collect();
        match frames.is_empty() {
            true => Err(format!("no frame in {} has a labelled face", folder.display())),
            false => Ok(frames),
        }
    }

    /// The face boxes of a video by the names of its frames, from `Subject.labeled_faces.txt`: lines
    /// `Subject\\video\\frame,_,x,y,width,height,_,_` with the middle of the box.
    fn boxes(&self, video: &str) -> Result<HashMap<String, [f64; 4]>, String> {
        let subject = video.split('/').next().unwrap_or(video);
        let path = self.root.join(format!("{subject}.labeled_faces.txt"));
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path)(e).to_string())?;
        let mut boxes = HashMap::new();
        for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let numbers: Option<Vec<f64>> = fields.get(2..6).and_then(|f| f.iter().map(|x| x.parse().ok()).collect());
            let Some(&[x, y, w, h]) = numbers.as_deref() else {
                return Err(format!("{} line {number} is no face box: {}", path.display(), shown(line)));
            };
            let file = fields[0].replace('\\', "/");
            if let Some((of, name)) = file.rsplit_once('/')
                && of == video
            {
                boxes.insert(name.to_string(), [x, y, w, h]);
            }
        }
        Ok(boxes)
    }
}

/// Whether a folder of a person holds a video of aligned pictures.
fn has_aligned(person: &Path) -> bool {
    let inside = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_aligned =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("aligned_detect_"));
    inside(person).take(1).any(|video| inside(&video).take(1).any(|frame| is_aligned(&frame)))
}

/// The number of a frame: 618 of `3.618.jpg` and of `aligned_detect_3.618.jpg`.
fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.rsplit('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests;
