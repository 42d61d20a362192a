//! The clusters on a page of their own, with small pictures inside.

use std::collections::BTreeMap;
use std::path::Path;

use base64::prelude::*;
use image::codecs::jpeg::JpegEncoder;
use maud::{Markup, html};
use rayon::prelude::*;

use super::report::{Found, in_words};
use super::source::Source;
use crate::Result;
use crate::chart::page::page;
use crate::cli::threshold::Threshold;
use crate::data::decode::decode_face;
use crate::data::preprocess::{Normalise, Preprocess};
use crate::text::{count, counted, printable, shown};
use crate::weights::write_whole;

/// Pixels of a picture's side.
const SIDE: u32 = 96;
/// Pictures of the whole page, at most, and of one cluster.
const PICTURES: usize = 1000;
const OF_CLUSTER: usize = 40;
/// People that are named beside a cluster.
const NAMED: usize = 4;

/// Writes the page; says in words what it shows.
pub(super) fn write(path: &Path, source: &Source, found: &Found, threshold: Threshold<'_>) -> Result<String> {
    let members = found.clusters.members();
    let together = members.iter().take_while(|images| images.len() > 1).count();
    // The largest first, until there is no room for another one.
    let mut chosen: Vec<&[usize]> = Vec::new();
    let mut room = PICTURES;
    for images in &members {
        let most = if images.len() > 1 { images.len().min(OF_CLUSTER) } else { 1 };
        if most > room {
            break;
        }
        room -= most;
        chosen.push(&images[..most]);
    }
    let pictures: BTreeMap<usize, String> =
        chosen.concat().par_iter().filter_map(|&at| Some((at, picture(source, at)?))).collect();
    let face = |at: usize| match pictures.get(&at) {
        Some(jpeg) => html! { img src=(jpeg) title=(printable(&source.embeddings.id(at))) alt="" loading="lazy"; },
        None => html! { div.gone { (shown(&source.embeddings.id(at))) } },
    };
    let rest = counted(members.len() - chosen.len(), "cluster");
    let body = html! {
        h1 { (counted(members.len(), "cluster")) " of " (counted(source.files.len(), "image")) }
        (facts(source, found, threshold))
        @for (number, (shown, images)) in chosen.iter().zip(&members).enumerate().take(together) {
            h2 {
                (number + 1) ": " (counted(images.len(), "image"))
                @if let Some(people) = people(source, images) { span.people { " - " (people) } }
            }
            div.faces { @for &at in *shown { (face(at)) } }
            @if shown.len() < images.len() { p.note { "and " (count((images.len() - shown.len()) as u64)) " more" } }
        }
        @if chosen.len() > together {
            h2 { "Alone: " (counted(members.len() - together, "image")) }
            div.faces { @for shown in &chosen[together..] { (face(shown[0])) } }
        }
        @if chosen.len() < members.len() { p.note { "and " (rest) " more, which --csv and --out show" } }
    };
    write_whole(path, page("Clusters - facenet-gpu", &body).as_bytes())?;
    Ok(format!("{} of {}", counted(pictures.len(), "picture"), counted(chosen.len(), "cluster")))
}

fn facts(source: &Source, found: &Found, threshold: Threshold<'_>) -> Markup {
    let mut rows = vec![("threshold", format!("{:.3}, {}", threshold.value, threshold.origin()))];
    rows.push(("clusters of one image", count(found.clusters.singletons() as u64)));
    if let Some(a) = &found.agreement {
        rows.push(("people", format!("{} of {}", count(a.people as u64), counted(a.images, "image"))));
        rows.push(("pairs", in_words(&a.pairwise)));
        rows.push(("B-cubed", in_words(&a.b_cubed)));
        rows.push(("NMI", format!("{:.4}", a.nmi)));
    }
    if !source.failed.is_empty() {
        rows.push(("without an embedding", counted(source.failed.len(), "image")));
    }
    html! { table { @for (name, value) in rows { tr { th { (name) } td { (value) } } } } }
}

/// The people of a cluster, those with most images first.
fn people(source: &Source, images: &[usize]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let people = source.people.as_ref()?;
    images.iter().filter_map(|&at| people[at].as_deref()).for_each(|name| *counts.entry(name).or_default() += 1);
    let mut named: Vec<(&str, usize)> = counts.into_iter().collect();
    named.sort_by_key(|&(_, images)| std::cmp::Reverse(images));
    let more = named.len().saturating_sub(NAMED);
    let mut text: Vec<String> =
        named.iter().take(NAMED).map(|(name, images)| format!("{} {images}", shown(name))).collect();
    if more > 0 {
        text.push(format!("{more} more"));
    }
    Some(text.join(", "))
}

/// A small picture of an image as the address of itself.
fn picture(source: &Source, at: usize) -> Option<String> {
    let small =
        Preprocess { height: SIDE, width: SIDE, normalise: Normalise::Unit, crop: source.crop, alignment: None };
    let face = decode_face(&source.files[at], &small).ok()?;
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 80).encode(&face, SIDE, SIDE, image::ExtendedColorType::Rgb8).ok()?;
    Some(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(jpeg)))
}
