//! Adapters: what there is, what each can do, and which one to take.

use std::fmt;

use wgpu::{Backends, CooperativeScalarType, DeviceType, Features};

use super::Precision;
use crate::plan::Family;
use crate::{Error, Result};

/// Which adapter to take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// The first that can run the engine.
    #[default]
    Best,
    /// The one at this place of [`adapters`](super::adapters), counted from 0.
    Number(usize),
    /// The first that can run the engine of those whose name, driver or backend contains this text, in any case.
    Named(String),
}

impl From<&str> for AdapterChoice {
    /// A text of digits alone is a number, every other one a name.
    fn from(text: &str) -> Self {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            // A number that is too large for the type is too large for every machine.
            return Self::Number(text.parse().unwrap_or(usize::MAX));
        }
        Self::Named(text.to_string())
    }
}

/// What stands behind `gpu:` in the name of a device; nothing for [`AdapterChoice::Best`].
impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Best => Ok(()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// What kind of thing an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    /// A card with memory of its own.
    Discrete,
    /// Part of the processor, sharing its memory.
    Integrated,
    /// A GPU lent to a virtual machine, or one whose kind the driver does not tell.
    Other,
    /// A driver that computes on the CPU, such as Mesa's lavapipe.
    Software,
}

/// One adapter, described for people.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterInfo {
    /// Name as the driver gives it.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Graphics interface: Vulkan, Metal, Dx12.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
    /// Where the card is plugged in, as in `0000:01:00.0`, which tells equal cards apart; empty where the driver does not
    /// say.
    pub bus: String,
    /// Largest buffer that a kernel can bind, bytes.
    pub max_binding: u64,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Workgroup memory, bytes.
    pub workgroup_memory: u32,
    /// Invocations per workgroup.
    pub max_invocations: u32,
    /// Smallest and largest subgroup; `None` without subgroup operations.
    pub subgroup: Option<(u32, u32)>,
    /// Kernels can be timed on the device.
    pub timestamps: bool,
    /// 16-bit floats in shaders.
    pub f16: bool,
    /// Cooperative matrices of 16 by 16, of factors of 16 bits and sums of 32, which belong to subgroups of 32 invocations.
    pub matrices: bool,
    /// What the device may round factors to: [`Precision::F32`] until it is opened for another one.
    pub precision: Precision,
    /// Its cooperative matrices have stood their test.
    pub(super) proven: bool,
    /// The family to which the device is held, for tests and comparisons.
    pub(super) only: Option<Family>,
}

/// Invocations of our largest workgroup; `tests/all/shaders.rs` holds every kernel against it.
const INVOCATIONS: u32 = 256;
/// Workgroup memory of our hungriest kernel, bytes: the 16 KiB that every adapter has, less what drivers keep.
const WORKGROUP_MEMORY: u32 = 16_352;

impl AdapterInfo {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, limits, features) = (adapter.get_info(), adapter.limits(), adapter.features());
        let subgroup =
            features.contains(Features::SUBGROUP).then_some((info.subgroup_min_size, info.subgroup_max_size));
        // Mesa's drivers bear the adapter's name, which need not be read twice.
        let driver = if info.name.starts_with(&info.driver) { "" } else { info.driver.as_str() };
        let driver = format!("{driver} {}", info.driver_info).trim().to_string();
        Self {
            name: info.name,
            kind: match info.device_type {
                DeviceType::DiscreteGpu => DeviceKind::Discrete,
                DeviceType::IntegratedGpu => DeviceKind::Integrated,
                DeviceType::Cpu => DeviceKind::Software,
                DeviceType::VirtualGpu | DeviceType::Other => DeviceKind::Other,
            },
            backend: format!("{:?}", info.backend),
            driver,
            bus: info.device_pci_bus_id,
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            subgroup,
            timestamps: features.contains(Features::TIMESTAMP_QUERY),
            f16: features.contains(Features::SHADER_F16),
            matrices: multiplies_matrices(adapter, subgroup),
            precision: Precision::F32,
            proven: false,
            only: None,
        }
    }

    /// The adapter in one line: name, backend, driver, bus.
    pub fn describe(&self) -> String {
        let parts = [&self.name, &self.backend, &self.driver, &self.bus].map(String::as_str);
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(", ")
    }

    /// Why this adapter cannot run the engine, if it cannot.
    pub fn unfit(&self) -> Option<String> {
        if self.max_invocations < INVOCATIONS {
            return Some(format!("runs {} invocations per workgroup, {INVOCATIONS} are needed", self.max_invocations));
        }
        if self.workgroup_memory < WORKGROUP_MEMORY {
            return Some(format!("has {} bytes of workgroup memory, 16 KiB are needed", self.workgroup_memory));
        }
        let most = self.max_binding.min(self.max_buffer);
        (most < 16 << 20)
            .then(|| format!("binds at most {:.1} MiB, 16 MiB are needed", most as f64 / f64::from(1 << 20)))
    }

    /// Why this adapter cannot compute with this precision, if it cannot.
    pub fn lacks(&self, precision: Precision) -> Option<String> {
        (precision == Precision::F16 && !self.f16).then(|| "has no 16-bit floats in shaders".to_string())
    }

    /// The families of kernels that suit this adapter, in the order in which kernels name them; the last one is the portable
    /// one, for kernels that have no other.
    pub fn families(&self) -> Vec<Family> {
        let is_software = self.kind == DeviceKind::Software;
        let suits = |family: &Family| match (self.only, family) {
            (_, Family::Portable) => true,
            (Some(only), _) => *family == only,
            (None, family) if family.has_matrices() => self.proven && self.can_run(*family),
            (None, family) if family.is_half() => self.can_run(*family),
            (None, Family::Subgroup8) => is_software && self.can_run(Family::Subgroup8),
            (None, _) => !is_software && self.can_run(*family),
        };
        Family::ALL.into_iter().filter(suits).collect()
    }

    /// The first of [`families`](Self::families).
    pub fn family(&self) -> Family {
        self.families()[0]
    }

    /// Whether kernels of this family run here, fast or slowly.
    pub fn can_run(&self, family: Family) -> bool {
        let subgroups = family != Family::Subgroup8 || self.subgroup == Some((8, 8));
        let factors = !family.is_half() || self.precision == Precision::F16;
        let matrices = !family.has_matrices() || self.matrices;
        subgroups && factors && matrices && self.workgroup_memory >= family.workgroup_memory()
    }

    /// Adapters are taken in this order: real GPUs first, the most capable kind first.
    fn rank(&self) -> u8 {
        match self.kind {
            DeviceKind::Discrete => 0,
            DeviceKind::Integrated => 1,
            DeviceKind::Other => 2,
            DeviceKind::Software => 3,
        }
    }
}

pub(super) async fn open_all() -> Vec<(wgpu::Adapter, AdapterInfo)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    // OpenGL adapters lack what the kernels need and would list every GPU twice.
    descriptor.backends &= Backends::PRIMARY;
    let instance = wgpu::Instance::new(descriptor);
    let adapters = instance.enumerate_adapters(Backends::PRIMARY).await;
    let mut found: Vec<_> = adapters.into_iter().map(|a| (AdapterInfo::of(&a), a)).map(|(i, a)| (a, i)).collect();
    found.sort_by_key(|(_, info)| info.rank());
    found
}

/// Whether the adapter has the matrices that kernels are written for.
fn multiplies_matrices(adapter: &wgpu::Adapter, subgroup: Option<(u32, u32)>) -> bool {
    let suits = |m: &wgpu::CooperativeMatrixProperties| {
        let types = (m.ab_type, m.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32);
        types && [m.m_size, m.n_size, m.k_size] == [16; 3]
    };
    // A matrix belongs to a subgroup, whose size cannot be chosen.
    let wanted = Features::SHADER_F16 | Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    let able = adapter.features().contains(wanted) && subgroup == Some((32, 32));
    able && adapter.cooperative_matrix_properties().iter().any(suits)
}

/// What to do where there is no adapter.
pub const NO_ADAPTER: &str = "no GPU adapter found: install your GPU's Vulkan driver, or Mesa's software driver \
                              (Debian, Ubuntu: apt install libvulkan1 mesa-vulkan-drivers), in a container pass the \
                              GPU through, or compute on the CPU with `device` cpu";

/// Picks an adapter that can compute with this precision.
pub(super) async fn choose(choice: &AdapterChoice, precision: Precision) -> Result<(wgpu::Adapter, AdapterInfo)> {
    let mut found = open_all().await;
    let infos: Vec<&AdapterInfo> = found.iter().map(|(_, info)| info).collect();
    let at = pick(&infos, choice, precision)?;
    Ok(found.swap_remove(at))
}

/// The place of the adapter to take.
fn pick(found: &[&AdapterInfo], choice: &AdapterChoice, precision: Precision) -> Result<usize> {
    let fail = |message: String| Err(Error::Device(message));
    if found.is_empty() {
        return fail(NO_ADAPTER.to_string());
    }
    let there_are = || {
        let names: Vec<_> =
            found.iter().enumerate().map(|(at, info)| format!("gpu:{at} {} ({})", info.name, info.backend)).collect();
        format!("there are: {}; give one of these numbers or a part of a name", names.join(", "))
    };
    let wanted: Vec<usize> = match choice {
        AdapterChoice::Best => (0..found.len()).collect(),
        AdapterChoice::Number(number) if *number >= found.len() => {
            return fail(format!("there is no adapter gpu:{choice}; {}", there_are()));
        }
        AdapterChoice::Number(number) => vec![*number],
        AdapterChoice::Named(name) => {
            let name = name.to_lowercase();
            let bears =
                |i: &AdapterInfo| format!("{} {} {}", i.name, i.driver, i.backend).to_lowercase().contains(&name);
            (0..found.len()).filter(|&at| bears(found[at])).collect()
        }
    };
    if wanted.is_empty() {
        return fail(format!("no adapter matches \"{choice}\"; {}", there_are()));
    }
    let mut reasons = Vec::new();
    for at in wanted {
        match found[at].unfit().or_else(|| found[at].lacks(precision)) {
            None => return Ok(at),
            Some(reason) => reasons.push(format!("{} {reason}", found[at].name)),
        }
    }
    let (what, instead) = match precision {
        Precision::F32 => ("run the engine", "`device` cpu"),
        Precision::F16 => ("compute with `precision` f16", "`precision` f32"),
    };
    fail(format!("no adapter can {what}: {}; update its driver or use {instead}", reasons.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An adapter with exactly what is needed.
    fn least() -> AdapterInfo {
        AdapterInfo {
            name: "Small One".to_string(),
            kind: DeviceKind::Integrated,
            backend: "Vulkan".to_string(),
            driver: "Mesa 1.0".to_string(),
            bus: String::new(),
            max_binding: 16 << 20,
            max_buffer: 16 << 20,
            workgroup_memory: WORKGROUP_MEMORY,
            max_invocations: INVOCATIONS,
            subgroup: None,
            timestamps: false,
            f16: false,
            matrices: false,
            precision: Precision::F32,
            proven: false,
            only: None,
        }
    }

    #[test]
    fn gpus_take_tiles_as_far_as_their_workgroup_memory_goes_and_software_adapters_take_none() {
        use Family::{Portable, Shared, Subgroup8, Tiles32, Tiles64, Tiles128};
        let gpu = AdapterInfo { workgroup_memory: 32 << 10, subgroup: Some((32, 32)), ..least() };
        assert_eq!(gpu.families(), [Tiles128, Tiles64, Tiles32, Shared, Portable]);
        assert_eq!(least().families(), [Tiles64, Tiles32, Shared, Portable]);
        let software = AdapterInfo { kind: DeviceKind::Software, subgroup: Some((8, 8)), ..gpu };
        assert_eq!(software.families(), [Subgroup8, Portable]);
        assert_eq!(AdapterInfo { subgroup: None, ..software.clone() }.families(), [Portable]);
        assert_eq!(AdapterInfo { only: Some(Tiles128), ..software }.families(), [Tiles128, Portable]);
    }

    #[test]
    fn only_a_device_that_was_asked_for_factors_of_16_bits_takes_kernels_that_round_them() {
        use Family::{Half32, Half64, Half128, Matrix64, Matrix128, Portable, Subgroup8, Tiles32};
        let gpu = AdapterInfo { f16: true, workgroup_memory: 32 << 10, ..least() };
        assert!(gpu.families().iter().all(|family| !family.is_half()) && !gpu.can_run(Half64));
        let asked = AdapterInfo { precision: Precision::F16, ..gpu };
        let unproven = AdapterInfo { matrices: true, ..asked.clone() };
        assert_eq!((unproven.can_run(Matrix128), unproven.families()[0]), (true, Half128));
        assert_eq!(AdapterInfo { proven: true, ..unproven }.families()[..3], [Matrix128, Matrix64, Half128]);
        assert_eq!(asked.families()[..3], [Half128, Half64, Half32]);
        assert!(asked.families().contains(&Tiles32), "what is faster than they is taken all the same");
        let software = AdapterInfo { kind: DeviceKind::Software, subgroup: Some((8, 8)), ..asked };
        assert_eq!(software.families(), [Half128, Half64, Half32, Subgroup8, Portable]);
    }

    #[test]
    fn an_adapter_without_floats_of_16_bits_is_passed_over_where_they_are_asked_for() {
        let mut machine = machine();
        let picked = |machine: &[AdapterInfo], choice: &str| {
            pick(&machine.iter().collect::<Vec<_>>(), &AdapterChoice::from(choice), Precision::F16)
        };
        let text = picked(&machine, "rtx").unwrap_err().to_string();
        assert!(text.contains("no adapter can compute with `precision` f16: RTX 4090 has no 16-bit floats"), "{text}");
        assert!(text.ends_with("use `precision` f32"), "{text}");
        machine[1].f16 = true;
        assert_eq!(picked(&machine, "rtx").unwrap(), 1);
    }

    #[test]
    fn an_adapter_with_exactly_what_is_needed_will_do() {
        assert_eq!(least().unfit(), None);
    }

    #[test]
    fn an_adapter_without_enough_limits_is_refused_with_both_numbers() {
        for (info, expected) in [
            (AdapterInfo { max_invocations: 128, ..least() }, "runs 128 invocations per workgroup, 256 are needed"),
            (
                AdapterInfo { workgroup_memory: 8192, ..least() },
                "has 8192 bytes of workgroup memory, 16 KiB are needed",
            ),
            (AdapterInfo { max_binding: 1 << 20, ..least() }, "binds at most 1.0 MiB, 16 MiB are needed"),
            (AdapterInfo { max_buffer: 1 << 20, ..least() }, "binds at most 1.0 MiB, 16 MiB are needed"),
        ] {
            assert_eq!(info.unfit().as_deref(), Some(expected));
        }
    }

    #[test]
    fn an_adapter_is_described_without_empty_parts() {
        assert_eq!(least().describe(), "Small One, Vulkan, Mesa 1.0");
        assert_eq!(AdapterInfo { driver: String::new(), ..least() }.describe(), "Small One, Vulkan");
    }

    /// Two equal cards, and a driver whose version has digits.
    fn machine() -> [AdapterInfo; 3] {
        let card = |bus: &str| AdapterInfo {
            name: "RTX 4090".to_string(),
            kind: DeviceKind::Discrete,
            bus: bus.to_string(),
            ..least()
        };
        let software =
            AdapterInfo { name: "llvmpipe (LLVM 15.0.6, 256 bits)".to_string(), kind: DeviceKind::Software, ..least() };
        [card("0000:01:00.0"), card("0000:02:00.0"), software]
    }

    fn picked(machine: &[AdapterInfo], choice: &str) -> Result<usize> {
        pick(&machine.iter().collect::<Vec<_>>(), &AdapterChoice::from(choice), Precision::F32)
    }

    #[test]
    fn a_number_is_a_place_and_never_a_part_of_a_name() {
        let machine = machine();
        for (choice, at) in [("0", 0), ("1", 1), ("2", 2), ("rtx", 0), ("llvm", 2), ("LLVM 15", 2)] {
            assert_eq!(picked(&machine, choice).unwrap(), at, "{choice}");
        }
        assert!(picked(&machine, "4090").unwrap_err().to_string().contains("no adapter gpu:4090"));
        assert_ne!(machine[0].describe(), machine[1].describe(), "equal cards are told apart by their bus");
    }

    #[test]
    fn a_number_or_a_name_that_is_not_there_lists_what_there_is() {
        for (choice, part) in [
            (
                "3",
                "there is no adapter gpu:3; there are: gpu:0 RTX 4090 (Vulkan), gpu:1 RTX 4090 (Vulkan), gpu:2 llvmpipe",
            ),
            ("99999999999999999999999", "there is no adapter gpu:"),
            ("radeon", "no adapter matches \"radeon\"; there are: gpu:0 RTX 4090"),
        ] {
            let text = picked(&machine(), choice).unwrap_err().to_string();
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn an_unfit_adapter_is_passed_over_unless_its_number_is_given() {
        let mut machine = machine();
        machine[0].max_invocations = 128;
        let all: Vec<_> = machine.iter().collect();
        assert_eq!(pick(&all, &AdapterChoice::Best, Precision::F32).unwrap(), 1);
        assert_eq!(picked(&machine, "rtx").unwrap(), 1);
        assert!(picked(&machine, "0").unwrap_err().to_string().contains("RTX 4090 runs 128 invocations"));
    }
}
