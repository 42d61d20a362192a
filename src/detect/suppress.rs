//! Suppression of windows that show the same face: of two that overlap the one with the higher score stays.

use std::collections::HashMap;

/// What an overlap is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// The part that two windows share, by what they cover together.
    Union,
    /// The part that they share, by the smaller one; edges are counted as pixels of the face.
    Smaller,
}

/// Places of the windows that stay, the highest score first. A window goes if it overlaps one that stays by more than
/// `most`.
pub(super) fn suppress(bounds: &[[f32; 4]], scores: &[f32], most: f32, overlap: Overlap) -> Vec<usize> {
    let mut order: Vec<usize> = (0..bounds.len()).collect();
    match overlap {
        // Of equal scores the first comes first with torchvision, the last with facenet-pytorch's own suppression.
        Overlap::Union => order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a])),
        Overlap::Smaller => order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(b.cmp(&a))),
    }
    let one = if overlap == Overlap::Smaller { 1.0 } else { 0.0 };
    let mut stay = Vec::new();
    let mut kept = Kept::new(most, overlap);
    for at in order {
        let own = Own::new(bounds[at], one);
        let over = kept.near(&own).any(|other| {
            let shared = own.shared(other, one);
            let of = match overlap {
                Overlap::Union => own.area + other.area - shared,
                Overlap::Smaller => own.area.min(other.area),
            };
            // A quotient that is no number suppresses nothing.
            shared / of > most
        });
        if !over {
            kept.add(own);
            stay.push(at);
        }
    }
    stay
}

/// A window's edges and what they enclose.
#[derive(Debug, Clone, Copy)]
struct Own {
    bounds: [f32; 4],
    area: f32,
}

impl Own {
    fn new(bounds: [f32; 4], one: f32) -> Self {
        let [left, top, right, bottom] = bounds;
        Self { bounds, area: (right - left + one) * (bottom - top + one) }
    }

    /// The area of what two have in common.
    fn shared(&self, other: &Self, one: f32) -> f32 {
        let ([a, b, c, d], [e, f, g, h]) = (self.bounds, other.bounds);
        (c.min(g) - a.max(e) + one).max(0.0) * (d.min(h) - b.max(f) + one).max(0.0)
    }

    /// The longer side's power of two, rounded down, and the middle; `None` of a window that encloses nothing, or all.
    fn class(&self) -> Option<(i32, [f32; 2])> {
        let [left, top, right, bottom] = self.bounds;
        let side = (right - left).max(bottom - top);
        if !(side > 0.0 && side.is_finite()) {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "rounding down is meant")]
        let class = side.log2().floor() as i32;
        Some((class, [f32::midpoint(left, right), f32::midpoint(top, bottom)]))
    }
}

/// Windows by their power of two and the cell of its grid.
type Grids = HashMap<(i32, [i32; 2]), Vec<Own>>;

/// The windows that stay, where those that may overlap another one much are found without a look at all of them.
///
/// Two windows of which more than half of their union is shared have sides that differ by less than a factor of two, so
/// their powers of two are neighbours, and their middles are no farther apart than a side. So they lie in cells near each other in a
/// grid for each power of two. By the smaller one's area a window may overlap any other: these are few, and all are looked at.
struct Kept {
    grids: Option<Grids>,
    all: Vec<Own>,
}

impl Kept {
    fn new(most: f32, overlap: Overlap) -> Self {
        let grids = (overlap == Overlap::Union && most >= 0.5).then(HashMap::new);
        Self { grids, all: Vec::new() }
    }

    fn add(&mut self, own: Own) {
        match &mut self.grids {
            None => self.all.push(own),
            Some(grids) => {
                if let Some((class, middle)) = own.class() {
                    grids.entry((class, middle.map(|x| cell(x, class)))).or_default().push(own);
                }
            }
        }
    }

    /// Those that may overlap a window too much, and others.
    fn near(&self, own: &Own) -> impl Iterator<Item = &Own> {
        let cells = self.grids.as_ref().zip(own.class()).map(|(grids, (class, middle))| {
            (class - 1..=class + 1).flat_map(move |of| {
                let reach = exp2(class.max(of) + 1);
                let range = |x: f32| cell(x - reach, of)..=cell(x + reach, of);
                let rows = range(middle[1]);
                range(middle[0]).flat_map(move |x| rows.clone().filter_map(move |y| grids.get(&(of, [x, y]))))
            })
        });
        self.all.iter().chain(cells.into_iter().flatten().flatten())
    }
}

/// The cell of a place in the grid of a power of two: cells are as large as the largest window there.
fn cell(x: f32, class: i32) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "what is far away lies in the last cell")]
    let cell = (x / exp2(class + 1)).floor() as i32;
    cell
}

fn exp2(power: i32) -> f32 {
    2.0_f32.powi(power)
}
