//! Nearest neighbours: for a block of queries the nearest images of one part of a gallery. No op with a gradient; the
//! module [`search`](crate::search) runs it over galleries of any size.

mod twin;

use crate::graph::Recorder;
use crate::plan::reflect::Interface;
use crate::plan::{Buf, Kernel, Shape};
use crate::{Error, Result, kernel, params};

params! {
    /// Parameters of both kernels.
    pub(super) struct NearestParams {
        /// Floats of an embedding.
        dim: u32,
        /// Queries of the block.
        count: u32,
        /// Images of the part.
        size: u32,
        /// Index of the part's first image in the gallery.
        from_image: u32,
        /// Images that are wanted for each query.
        k: u32,
    }
}

/// Which images of a gallery a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pairs {
    /// Any.
    #[default]
    Any,
    /// Those with the query's label.
    SameLabel,
    /// Those with another label.
    OtherLabel,
}

/// What is asked for each query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Images that are wanted, at least one.
    pub k: u32,
    /// The farthest images instead of the nearest.
    pub farthest: bool,
    /// Which images count.
    pub pairs: Pairs,
}

/// The buffers of a search; shapes as in `shaders/nearest.wgsl`.
#[derive(Debug, Clone, Copy)]
pub struct Buffers {
    /// Embeddings of the queries, transposed: `[dim, count]`.
    pub queries: Buf,
    /// Labels of the queries, and which image of the gallery each of them is (2^32-1 for none): `[2, count]` integers.
    pub about: Buf,
    /// Only images farther than this count, for each query: `[count]`.
    pub beyond: Buf,
    /// What was found: `[count, k]` integers.
    pub index: Buf,
    /// Their squared distances: `[count, k]`.
    pub distance: Buf,
}

/// One image for each query. Buffers `queries`, `gallery`, `about`, `labels`, `beyond`, `index`, `distance`.
pub(super) static ONE: Kernel =
    kernel!("nearest_one", ["nearest.wgsl"], NearestParams, |p, w| groups(&p, w), twin::search);
/// Any number of them.
pub(super) static MANY: Kernel =
    kernel!("nearest_many", ["nearest.wgsl"], NearestParams, |p, w| groups(&p, w), twin::search);

/// A workgroup for every few queries.
fn groups(p: &NearestParams, w: &Interface) -> [u32; 3] {
    [p.count.div_ceil(w.constant("ROWS")), 1, 1]
}

/// Records the search of one part of a gallery: `gallery` `[dim, size]`, embeddings, transposed, and `labels` `[size]`
/// (integers). `from` is the index of the part's first image. The first part (`from` 0) sets what is found, the others, in
/// order, better it.
///
/// # Errors
/// The shapes do not fit each other, or nothing is asked for.
pub fn nearest(
    r: &mut Recorder<'_>,
    question: &Question,
    buffers: &Buffers,
    (gallery, labels): (Buf, Buf),
    from: u32,
) -> Result<()> {
    let Question { k, farthest, pairs } = *question;
    let [dim, count] = r.shape(buffers.queries).matrix("nearest")?;
    let size = r.shape(gallery).channels();
    let expected = [
        (buffers.about, Shape::new(&[2, count])?),
        (buffers.beyond, Shape::new(&[count])?),
        (buffers.index, Shape::new(&[count, k])?),
        (buffers.distance, Shape::new(&[count, k])?),
        (gallery, Shape::new(&[dim, size])?),
        (labels, Shape::new(&[size])?),
    ];
    if let Some((buf, shape)) = expected.into_iter().find(|(buf, shape)| r.shape(*buf) != *shape) {
        return Err(Error::shape("nearest", format!("expected {shape}, got {}", r.shape(buf))));
    }
    let p = NearestParams { dim, count, size, from_image: from, k };
    let flag = |name, set| (name, f64::from(u8::from(set)));
    let overrides = [
        flag("FARTHEST", farthest),
        flag("SAME", pairs == Pairs::SameLabel),
        flag("OTHER", pairs == Pairs::OtherLabel),
        flag("ACCUMULATE", from > 0),
    ];
    let Buffers { queries, about, beyond, index, distance } = *buffers;
    let step = r.dispatch(
        if k == 1 { &ONE } else { &MANY },
        &p,
        &overrides,
        &[queries, gallery, about, labels, beyond, index, distance],
    );
    // A difference and a multiply-add, counted as one and a half; how many are left out among equal labels is not known.
    if pairs != Pairs::SameLabel {
        step.macs = u64::from(dim) * u64::from(count) * u64::from(size) * 3 / 2;
    }
    Ok(())
}
