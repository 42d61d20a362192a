//! Adapters: what there is, what each can do, and which one to take.

use wgpu::{Backends, DeviceType, Features};

use super::wait::block_on;
use crate::plan::Family;
use crate::{Error, Result};

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
pub struct AdapterInfo {
    /// Name as the driver gives it.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Graphics interface: Vulkan, Metal, Dx12.
    pub backend: String,
    /// Driver and its version.
    pub driver: String,
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
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            subgroup,
            timestamps: features.contains(Features::TIMESTAMP_QUERY),
            f16: features.contains(Features::SHADER_F16),
        }
    }

    /// The adapter in one line: name, backend, driver.
    pub fn describe(&self) -> String {
        let parts = [self.name.as_str(), self.backend.as_str(), self.driver.as_str()];
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

    /// The family of kernels that suits this adapter.
    pub fn family(&self) -> Family {
        match (self.kind, self.subgroup) {
            (DeviceKind::Software, Some((8, 8))) => Family::Subgroup8,
            _ => Family::Portable,
        }
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

/// All adapters that wgpu finds, the one that `gpu` would take first.
pub fn adapters() -> Vec<AdapterInfo> {
    block_on(open_all()).into_iter().map(|(_, info)| info).collect()
}

/// What to do where there is no adapter.
pub const NO_ADAPTER: &str = "no GPU adapter found: install your GPU's Vulkan driver, or Mesa's software driver \
                              (Debian, Ubuntu: apt install libvulkan1 mesa-vulkan-drivers), in a container pass the \
                              GPU through, or compute on the CPU with --device cpu";

/// Picks an adapter: the best one, or the best whose name, driver or backend contains `name` (case does not matter).
pub(super) async fn choose(name: Option<&str>) -> Result<(wgpu::Adapter, AdapterInfo)> {
    let found = open_all().await;
    if found.is_empty() {
        return Err(Error::Device(NO_ADAPTER.to_string()));
    }
    let names: Vec<String> = found.iter().map(|(_, i)| format!("{} ({})", i.name, i.backend)).collect();
    let wanted = name.map(str::to_lowercase);
    let mut reasons = Vec::new();
    for (adapter, info) in found {
        let haystack = format!("{} {} {}", info.name, info.driver, info.backend).to_lowercase();
        if wanted.as_ref().is_some_and(|w| !haystack.contains(w)) {
            continue;
        }
        match info.unfit() {
            None => return Ok((adapter, info)),
            Some(reason) => reasons.push(format!("{} {reason}", info.name)),
        }
    }
    Err(Error::Device(if reasons.is_empty() {
        format!(
            "no adapter matches \"{}\"; there are: {}; give a part of one of these names",
            name.unwrap_or_default(),
            names.join(", ")
        )
    } else {
        format!("no adapter can run the engine: {}; update its driver or use --device cpu", reasons.join("; "))
    }))
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
            max_binding: 16 << 20,
            max_buffer: 16 << 20,
            workgroup_memory: WORKGROUP_MEMORY,
            max_invocations: INVOCATIONS,
            subgroup: None,
            timestamps: false,
            f16: false,
        }
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
}
