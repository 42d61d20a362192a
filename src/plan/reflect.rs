//! What a kernel's WGSL says of itself: bindings, workgroup size, parameter layout. Read with naga, so that none of it
//! is written a second time in Rust.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use wgpu::naga;
use wgpu::naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use super::{Family, Variant, grid};
use crate::{Error, Result};

/// How a kernel touches a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The parameter struct.
    Uniform,
    /// A storage buffer that is only read.
    Read,
    /// A storage buffer that is written.
    ReadWrite,
}

/// One binding of an entry point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Name in the shader.
    pub name: String,
    /// Binding number in group 0.
    pub number: u32,
    /// How it is touched.
    pub access: Access,
}

/// The outside of one entry point, and the sizes that its grid follows from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// File in `shaders/`, for messages.
    pub file: &'static str,
    /// Bindings by number.
    pub bindings: Vec<Binding>,
    /// Invocations of a workgroup, before overrides.
    pub workgroup_size: [u32; 3],
    /// Name, WGSL type and byte offset of each field of `Params`.
    pub params: Vec<(String, String, u32)>,
    /// Names of the `override` constants in the file.
    pub overrides: Vec<String>,
    /// The `u32` constants of the file and of the library files that are joined to it.
    pub constants: BTreeMap<String, u32>,
}

impl Interface {
    /// The value of a `const` of the WGSL, such as the size of a tile.
    ///
    /// # Panics
    /// If there is no `u32` of that name: a bug of the op, which `tests/all/shaders.rs` finds.
    pub fn constant(&self, name: &str) -> u32 {
        let found = self.constants.get(name);
        *found.unwrap_or_else(|| panic!("{} has no u32 constant {name}", self.file))
    }

    /// Invocations of a workgroup.
    pub fn invocations(&self) -> u32 {
        self.workgroup_size.iter().product()
    }

    /// The grid with one invocation for each of `count` items, folded into rows: the kernel finds its item with
    /// `item_index` of `shaders/lib/index.wgsl` and must check it against their number.
    pub fn items(&self, count: u32) -> [u32; 3] {
        grid::linear(count, self.invocations())
    }

    /// The grid with `count` results, folded into rows: one for each invocation, or `RESULTS` for each workgroup where the WGSL
    /// has that constant, because invocations share the loop over what a result is computed from.
    pub fn results(&self, count: u32) -> [u32; 3] {
        grid::linear(count, self.constants.get("RESULTS").copied().unwrap_or_else(|| self.invocations()))
    }

    /// The grid of a [`Wide`](super::Wide) kernel: one invocation for every float, or for every four (`LANES` in
    /// `shaders/lib/lanes1.wgsl` and `lanes4.wgsl`).
    pub fn floats(&self, count: u32) -> [u32; 3] {
        self.items(count / self.constant("LANES"))
    }
}

/// The naga capabilities that a variant may use: nothing beyond default limits, plus what its family is for.
pub fn capabilities(family: Family) -> Capabilities {
    match family {
        Family::Matrix128 | Family::Matrix64 => {
            Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX | Capabilities::SUBGROUP
        }
        Family::Half128 | Family::Half64 | Family::Half32 => Capabilities::SHADER_FLOAT16,
        Family::Subgroup8 => Capabilities::SUBGROUP,
        Family::Tiles128 | Family::Tiles64 | Family::Tiles32 | Family::Shared | Family::Portable => {
            Capabilities::empty()
        }
    }
}

/// Parses and validates a variant's text with exactly the capabilities of its family.
///
/// # Errors
/// The text is not valid WGSL; the message points at the line.
pub fn parse(variant: &Variant) -> Result<(naga::Module, ModuleInfo)> {
    let fail = |message: String| Error::Kernel { kernel: format!("{} ({})", variant.entry, variant.file), message };
    let module = naga::front::wgsl::parse_str(variant.source)
        .map_err(|e| fail(e.emit_to_string_with_path(variant.source, variant.file)))?;
    let info = Validator::new(ValidationFlags::all(), capabilities(variant.family))
        .validate(&module)
        .map_err(|e| fail(e.emit_to_string_with_path(variant.source, variant.file)))?;
    Ok((module, info))
}

/// The interface of a variant; read once per entry point and kept.
///
/// # Errors
/// The text is not valid WGSL, has no such entry point, or binds outside group 0.
pub fn interface(variant: &Variant) -> Result<Arc<Interface>> {
    type Cache = Mutex<HashMap<(&'static str, &'static str), Arc<Interface>>>;
    static CACHE: OnceLock<Cache> = OnceLock::new();
    let cache = CACHE.get_or_init(Cache::default);
    // By text and not by file: one file joined to different libraries has different interfaces.
    let key = (variant.source, variant.entry);
    if let Some(found) = cache.lock().expect("the cache holds no broken state").get(&key) {
        return Ok(found.clone());
    }
    let read = Arc::new(read_interface(variant)?);
    cache.lock().expect("the cache holds no broken state").insert(key, read.clone());
    Ok(read)
}

fn read_interface(variant: &Variant) -> Result<Interface> {
    let fail = |message: String| Error::Kernel { kernel: variant.entry.to_string(), message };
    let (module, info) = parse(variant)?;
    let index = module
        .entry_points
        .iter()
        .position(|e| e.name == variant.entry)
        .ok_or_else(|| fail(format!("{} has no such entry point", variant.file)))?;
    let uses = info.get_entry_point(index);
    let mut bindings = Vec::new();
    let mut params = Vec::new();
    for (handle, global) in module.global_variables.iter() {
        let Some(at) = &global.binding else { continue };
        if uses[handle].is_empty() {
            continue;
        }
        if at.group != 0 {
            return Err(fail(format!("binds in group {}, only group 0 is used", at.group)));
        }
        let access = match global.space {
            naga::AddressSpace::Uniform => {
                params = fields(&module, global.ty);
                Access::Uniform
            }
            naga::AddressSpace::Storage { access } if access.contains(naga::StorageAccess::STORE) => Access::ReadWrite,
            naga::AddressSpace::Storage { .. } => Access::Read,
            space => return Err(fail(format!("binds something in {space:?}"))),
        };
        bindings.push(Binding { name: global.name.clone().unwrap_or_default(), number: at.binding, access });
    }
    bindings.sort_by_key(|b| b.number);
    let dense = bindings.iter().zip(0u32..).all(|(b, n)| b.number == n);
    if !dense || bindings.first().is_none_or(|b| b.access != Access::Uniform) {
        return Err(fail(format!("bindings must be 0 (Params), 1, 2, ... without gaps, got {bindings:?}")));
    }
    let overrides = module.overrides.iter().filter_map(|(_, o)| o.name.clone()).collect();
    let constants = module.constants.iter().filter_map(|(_, c)| match module.global_expressions[c.init] {
        naga::Expression::Literal(naga::Literal::U32(value)) => Some((c.name.clone()?, value)),
        _ => None,
    });
    let (constants, workgroup_size) = (constants.collect(), module.entry_points[index].workgroup_size);
    Ok(Interface { file: variant.file, bindings, workgroup_size, params, overrides, constants })
}

fn fields(module: &naga::Module, ty: naga::Handle<naga::Type>) -> Vec<(String, String, u32)> {
    let naga::TypeInner::Struct { members, .. } = &module.types[ty].inner else { return Vec::new() };
    members
        .iter()
        .map(|m| {
            let ty = match module.types[m.ty].inner {
                naga::TypeInner::Scalar(naga::Scalar::U32) => "u32",
                naga::TypeInner::Scalar(naga::Scalar::F32) => "f32",
                _ => "not a u32 or f32",
            };
            (m.name.clone().unwrap_or_default(), ty.to_string(), m.offset)
        })
        .collect()
}
