//! What the kernels are on a GPU that is not there: compiles them with Mesa's AMD driver for named chips ("null hardware") and
//! prints what the compiler says of them. Nothing is run, so it says nothing of caches, bandwidth or correctness.
//!
//!     cargo bench --bench kernel_isa                        # every kernel that does multiply-adds in a loop, navi31 and navi21
//!     cargo bench --bench kernel_isa -- --all               # every kernel
//!     cargo bench --bench kernel_isa -- conv2d_dw navi31    # names of kernels, names of chips
//!     cargo bench --bench kernel_isa -- conv2d_dw --asm     # the machine code, too
//!
//! Kernels are those of the benches, with the overrides that they ask for, and of a training step. benches/README.md has the table.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::process::{Command, exit};

use ash::{Device, Entry, Instance, vk};
use facenet_gpu::net;
use facenet_gpu::op::{CasePlan, ENTRIES};
use facenet_gpu::plan::{Family, Plan, Step, Variant, reflect};
use facenet_gpu::train::{Config, Trainer};
use facenet_gpu::wgpu::naga;
use naga::back::spv;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// RDNA 3 and RDNA 2.
const CHIPS: [&str; 2] = ["navi31", "navi21"];
/// The chip of a child process; the driver reads it once.
const CHIP: &str = "RADV_FORCE_FAMILY";
const DRIVERS: &str = "VK_DRIVER_FILES";

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (flags, words): (Vec<String>, Vec<String>) = args.into_iter().partition(|a| a.starts_with("--"));
    let flag = |name: &str| flags.iter().any(|f| f == name);
    if let Ok(chip) = std::env::var(CHIP) {
        if let Err(e) = report(&chip, &words, flag("--all"), flag("--asm")) {
            eprintln!("{e}");
            exit(1);
        }
        return;
    }
    let is_chip = |w: &&String| ["navi", "gfx", "vega", "polaris"].iter().any(|c| w.starts_with(c));
    let (mut chips, names): (Vec<&String>, Vec<&String>) = words.iter().partition(is_chip);
    let standard = CHIPS.map(str::to_string);
    if chips.is_empty() {
        chips = standard.iter().collect();
    }
    let drivers = std::env::var_os(DRIVERS).unwrap_or_else(radeon_driver);
    for chip in chips {
        let program = std::env::current_exe().unwrap_or_else(|e| fail(&e.to_string()));
        let mut child = Command::new(program);
        child.args(&names).args(&flags).env(CHIP, chip).env(DRIVERS, &drivers);
        if !child.status().is_ok_and(|status| status.success()) {
            exit(1);
        }
    }
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(1)
}

/// Where distributions put the driver's description.
fn radeon_driver() -> std::ffi::OsString {
    let places = ["radeon_icd.json", "radeon_icd.x86_64.json"].map(|name| format!("/usr/share/vulkan/icd.d/{name}"));
    let found = places.into_iter().find(|place| Path::new(place).exists());
    found.unwrap_or_else(|| fail("Mesa's AMD driver is not here: apt install mesa-vulkan-drivers")).into()
}

/// One kernel to compile, and the first case that asks for it.
struct Job {
    case: String,
    variant: &'static Variant,
    overrides: Vec<(&'static str, f64)>,
}

/// Every variant that a GPU may take, with every set of overrides, once.
fn jobs(words: &[String]) -> Result<Vec<Job>> {
    let mut plans: Vec<(String, Plan)> = Vec::new();
    for entry in ENTRIES {
        for case in (entry.bench_cases)() {
            // The sizes alone: they say which form of a kernel it is.
            let label = case.label();
            let sizes = label.split_once(" on ").map_or(label.as_str(), |(_, sizes)| sizes);
            plans.push((sizes.to_string(), CasePlan::new(case)?.plan));
        }
    }
    let step = Trainer::plan(&net::NETWORKS[0].model()?, &Config::default(), 8)?;
    plans.push((format!("a training step of {}", net::NETWORKS[0].name), step));
    let mut seen = HashSet::new();
    let mut jobs = Vec::new();
    for (case, plan) in &plans {
        for Step { kernel, overrides, .. } in &plan.steps {
            let wanted = words.is_empty() || words.iter().any(|w| kernel.name == w);
            for variant in kernel.variants.iter().filter(|v| wanted && v.family != Family::Subgroup8) {
                if seen.insert((variant.source, variant.entry, format!("{overrides:?}"))) {
                    jobs.push(Job { case: case.clone(), variant, overrides: overrides.clone() });
                }
            }
        }
    }
    Ok(jobs)
}

fn report(chip: &str, words: &[String], all: bool, asm: bool) -> Result<()> {
    let jobs = jobs(words)?;
    if jobs.is_empty() {
        return Err(format!("no bench and no training step runs a kernel called {}", words.join(" or ")).into());
    }
    let compiler = Compiler::open()?;
    println!("\n{chip}\n");
    println!(
        "| kernel | family | first case | registers | spilled | waves | workgroup memory | inner loop | main loop |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for Job { case, variant, overrides } in &jobs {
        if variant.family.has_matrices() && !compiler.has_matrices {
            continue;
        }
        let words = spirv(variant, overrides)?;
        let statistics = compiler.compile(variant, &words)?;
        let value = |name: &str| statistics.numbers.iter().find(|(n, _)| n == name).map_or(0, |(_, value)| *value);
        let hot = main_loop(&statistics.assembly, round_of(variant)?);
        if hot.is_none() && !all && !asm {
            continue;
        }
        let share = |of: fn(Loop) -> Counts| {
            hot.map_or(String::new(), |hot| {
                let Counts { fma, matrices, vector } = of(hot);
                match matrices {
                    0 => format!("{fma} of {vector}, {:.0} %", 100.0 * fma as f64 / vector as f64),
                    _ => format!("{matrices} products of matrices, {vector} in all"),
                }
            })
        };
        let (inner, main) = (share(|hot| hot.inner), share(|hot| hot.main));
        let spilled = value("Spilled VGPRs") + value("Spilled SGPRs");
        println!(
            "| `{}` | {:?} | {case} | {} | {spilled} | {} | {} | {inner} | {main} |",
            variant.entry,
            variant.family,
            value("VGPRs"),
            value("Subgroups per SIMD"),
            value("LDS size"),
        );
        if asm {
            println!("\n{}", statistics.assembly);
        }
    }
    Ok(())
}

/// The variant as wgpu hands it to this driver: `src/gpu/device.rs` leaves out the bounding of loops and the zeroing of workgroup
/// memory, and accesses to buffers are checked by the hardware.
fn spirv(variant: &Variant, overrides: &[(&'static str, f64)]) -> Result<Vec<u32>> {
    let (module, info) = reflect::parse(variant)?;
    let known = reflect::interface(variant)?;
    let known = overrides.iter().filter(|(name, _)| known.overrides.iter().any(|o| o == name));
    let constants = known.map(|(name, value)| (name.to_string(), *value)).collect();
    let stage = Some((naga::ShaderStage::Compute, variant.entry));
    let (module, info) = naga::back::pipeline_constants::process_overrides(&module, &info, stage, &constants)?;
    let policies = naga::proc::BoundsCheckPolicies {
        index: naga::proc::BoundsCheckPolicy::Restrict,
        buffer: naga::proc::BoundsCheckPolicy::Unchecked,
        ..Default::default()
    };
    let options = spv::Options {
        lang_version: (1, 6),
        bounds_check_policies: policies,
        force_loop_bounding: false,
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        ..Default::default()
    };
    let pipeline =
        spv::PipelineOptions { shader_stage: naga::ShaderStage::Compute, entry_point: variant.entry.to_string() };
    Ok(spv::write_vec(&module, &info, &options, Some(&pipeline))?)
}

/// Multiply-adds of one invocation in a round of a tiled product, from the sizes of its tiles; none for other kernels.
fn round_of(variant: &Variant) -> Result<Option<u32>> {
    let interface = reflect::interface(variant)?;
    let constant = |name: &str| interface.constants.get(name).copied();
    let tile = || Some(constant("ROWS")? * constant("COLS")? * constant("DEPTH")?);
    Ok(tile().map(|terms| terms / interface.invocations()))
}

/// Multiply-adds, products of matrices, and all vector instructions.
#[derive(Clone, Copy)]
struct Counts {
    fma: usize,
    matrices: usize,
    vector: usize,
}

impl Counts {
    /// How much is multiplied: a product of two matrices of 16 by 16 is 128 multiply-adds of each of 32 lanes.
    fn work(self) -> usize {
        self.fma + 128 * self.matrices
    }
}

/// The innermost loop around the block with most multiply-adds, and the loop around that one, in which the inner one counts as
/// often as it is run. Both sides of a branch count, although a wave may take one of them alone.
#[derive(Clone, Copy)]
struct Loop {
    inner: Counts,
    main: Counts,
}

fn main_loop(assembly: &str, round: Option<u32>) -> Option<Loop> {
    let lines: Vec<&str> = assembly.lines().map(str::trim).collect();
    let label = |line: &str| line.strip_suffix(':').filter(|l| l.starts_with("BB")).map(str::to_string);
    let starts: Vec<usize> = (0..lines.len()).filter(|&at| label(lines[at]).is_some()).collect();
    let count = |from: usize, to: usize| {
        let is_fma = |line: &&&str| {
            ["v_fma", "v_dual_fma", "v_mac", "v_mad_f32", "v_pk_fma"].iter().any(|m| line.starts_with(m))
        };
        let begin = |with: &str| lines[from..to].iter().filter(|line| line.starts_with(with)).count();
        Counts { fma: lines[from..to].iter().filter(is_fma).count(), matrices: begin("v_wmma"), vector: begin("v_") }
    };
    let ends = starts.iter().skip(1).copied().chain([lines.len()]);
    let (hot, counts) = starts.iter().zip(ends).map(|(&s, e)| (s, count(s, e))).max_by_key(|(_, c)| c.work())?;
    if counts.work() < 16 {
        return None;
    }
    // A branch to a label above it ends a loop.
    let jump = |at: usize| {
        let conditional = || lines[at].strip_prefix("s_cbranch_")?.split_once(' ').map(|(_, target)| target);
        let target = lines[at].strip_prefix("s_branch ").or_else(conditional)?.split_whitespace().next()?;
        starts.iter().copied().find(|&s| label(lines[s]).as_deref() == Some(target)).filter(|&s| s <= at)
    };
    let around = (hot..lines.len()).filter_map(|end| jump(end).filter(|&start| start <= hot).map(|start| (start, end)));
    let mut around: Vec<(usize, usize)> = around.collect();
    around.sort_by_key(|(start, end)| end - start);
    let (start, end) = *around.first()?;
    let inner = count(start, end);
    let outer = around.iter().find(|(s, _)| *s < start).map(|&(start, end)| count(start, end));
    let main = match (outer, round) {
        (Some(outer), Some(round)) if inner.matrices == 0 && round as usize > inner.fma => {
            let trips = (round as usize).div_ceil(inner.fma);
            let vector = trips * inner.vector + outer.vector - inner.vector;
            Counts { fma: round as usize, matrices: 0, vector }
        }
        _ => inner,
    };
    Some(Loop { inner, main })
}

/// What the driver tells of a pipeline.
struct Statistics {
    numbers: Vec<(String, u64)>,
    assembly: String,
}

/// A device of the driver without hardware. It lives as long as the process.
struct Compiler {
    device: Device,
    properties: ash::khr::pipeline_executable_properties::Device,
    layout: vk::PipelineLayout,
    /// The chip multiplies cooperative matrices.
    has_matrices: bool,
    _instance: (Entry, Instance),
}

impl Compiler {
    fn open() -> Result<Self> {
        // SAFETY: plain Vulkan calls in the order that the specification asks for; everything lives until the process ends.
        unsafe {
            let entry = Entry::load()?;
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance = entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None)?;
            let gpus = instance.enumerate_physical_devices()?;
            let gpu = *gpus.first().ok_or("the driver has no such chip")?;
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let there = instance.enumerate_device_extension_properties(gpu)?;
            let matrices = ash::khr::cooperative_matrix::NAME;
            let has_matrices = there.iter().any(|e| e.extension_name_as_c_str() == Ok(matrices));
            let mut extensions =
                vec![ash::khr::pipeline_executable_properties::NAME.as_ptr(), ash::ext::robustness2::NAME.as_ptr()];
            extensions.extend(has_matrices.then_some(matrices.as_ptr()));
            let features = vk::PhysicalDeviceFeatures::default().robust_buffer_access(true);
            let mut executable =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(true);
            let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&extensions);
            let info = info.enabled_features(&features).push_next(&mut executable).push_next(&mut robust);
            let mut v12 = vk::PhysicalDeviceVulkan12Features::default()
                .shader_float16(true)
                .vulkan_memory_model(true)
                .vulkan_memory_model_device_scope(true);
            let mut cooperative =
                vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(has_matrices);
            let info = info.push_next(&mut v12).push_next(&mut cooperative);
            let device = instance.create_device(gpu, &info, None)?;
            let binding = |number| {
                let uniform = vk::DescriptorType::UNIFORM_BUFFER_DYNAMIC;
                vk::DescriptorSetLayoutBinding::default()
                    .binding(number)
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
                    .descriptor_type(if number == 0 { uniform } else { vk::DescriptorType::STORAGE_BUFFER })
            };
            let bindings: Vec<_> = (0..16).map(binding).collect();
            let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [device.create_descriptor_set_layout(&set, None)?];
            let layout =
                device.create_pipeline_layout(&vk::PipelineLayoutCreateInfo::default().set_layouts(&sets), None)?;
            let properties = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self { device, properties, layout, has_matrices, _instance: (entry, instance) })
        }
    }

    fn compile(&self, variant: &Variant, words: &[u32]) -> Result<Statistics> {
        let entry = CString::new(variant.entry)?;
        // SAFETY: as above; `words` is SPIR-V that naga has validated, and the texts are as long as the driver said.
        unsafe {
            let module = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default();
            let stage = stage.stage(vk::ShaderStageFlags::COMPUTE).module(module).name(&entry);
            let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(self.layout).flags(flags);
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = made.map_err(|(_, e)| e)?[0];
            let which = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
            let numbers = self.properties.get_pipeline_executable_statistics(&which)?;
            let named = |name: &[std::ffi::c_char]| CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();
            let numbers = numbers.iter().map(|s| (named(&s.name), s.value.u64)).collect();
            let texts_of = self.properties.fp().get_pipeline_executable_internal_representations_khr;
            let mut count = 0;
            texts_of(self.device.handle(), &which, &mut count, std::ptr::null_mut()).result()?;
            let mut texts = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            texts_of(self.device.handle(), &which, &mut count, texts.as_mut_ptr()).result()?;
            let mut data: Vec<Vec<u8>> = texts.iter().map(|t| vec![0; t.data_size]).collect();
            for (text, data) in texts.iter_mut().zip(&mut data) {
                text.p_data = data.as_mut_ptr().cast();
            }
            texts_of(self.device.handle(), &which, &mut count, texts.as_mut_ptr()).result()?;
            let found = texts.iter().zip(&data).find(|(text, _)| named(&text.name).contains("Assembly"));
            let assembly = found.map(|(_, data)| String::from_utf8_lossy(data).into_owned()).unwrap_or_default();
            self.device.destroy_pipeline(pipeline, None);
            self.device.destroy_shader_module(module, None);
            Ok(Statistics { numbers, assembly })
        }
    }
}
