//! The tables of a gallery's database.

use redb::TableDefinition;

/// What a gallery says of itself, as JSON under [`ABOUT_KEY`].
pub(super) const ABOUT: TableDefinition<'_, &str, &str> = TableDefinition::new("about");
pub(super) const ABOUT_KEY: &str = "gallery";
/// The next numbers of people and faces, which are never given again.
pub(super) const NEXT: TableDefinition<'_, &str, u64> = TableDefinition::new("next");
/// Name and number of faces of each person.
pub(super) const PEOPLE: TableDefinition<'_, u64, (&str, u64)> = TableDefinition::new("people");
pub(super) const NAMES: TableDefinition<'_, &str, u64> = TableDefinition::new("names");
/// Person and embedding of each face.
pub(super) const VECTORS: TableDefinition<'_, u64, (u64, &[u8])> = TableDefinition::new("vectors");
/// Where each face comes from: its file, and the SHA-256 of that.
pub(super) const SOURCES: TableDefinition<'_, u64, (&str, &[u8; 32])> = TableDefinition::new("sources");
/// Faces by the SHA-256 of their files.
pub(super) const CONTENTS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("contents");
/// Faces by person.
pub(super) const FACES_OF: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("faces_of");

/// The version of these tables.
pub(super) const FORMAT: u32 = 1;
