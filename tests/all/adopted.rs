//! A wgpu device of the caller's own, opened with the wgpu that the crate re-exports.

use facenet_gpu::gpu::Gpu;
use facenet_gpu::weights::Metadata;
use facenet_gpu::{Engine, Session, initial_weights, net, wgpu};

use crate::support::gpus;

/// With no more than WebGPU's default limits and no features, as programs open a device that needs nothing special.
fn own_device(name: &str) -> Gpu {
    pollster::block_on(async {
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
        let adapters = instance.enumerate_adapters(wgpu::Backends::PRIMARY).await;
        let adapter =
            adapters.into_iter().find(|adapter| adapter.get_info().name == name).expect("it was opened before");
        let (device, queue) = adapter.request_device(&wgpu::DeviceDescriptor::default()).await.unwrap();
        Gpu::from_device(device, queue, &adapter)
    })
}

#[test]
fn a_device_of_the_callers_own_gives_the_embeddings_of_the_cpu() {
    let Some(ours) = gpus().into_iter().next() else { return };
    let model = net::find("zf64").unwrap().model().unwrap();
    let weights = initial_weights(&model, Metadata::of(&model).unwrap(), 3);
    let face: Vec<u8> = (0..64 * 64 * 3u32).map(|i| u8::try_from(i * 7 % 251).unwrap()).collect();
    let embed = |engine: Engine| {
        let mut session = Session::with_weights(&engine, &weights, "weights").unwrap();
        session.embed_faces(&[&face]).unwrap().into_vec()
    };
    let (own, cpu) = (embed(Engine::Gpu(own_device(&ours.info().name))), embed(Engine::Cpu));
    assert!(own.iter().zip(&cpu).all(|(a, b)| (a - b).abs() < 1e-5), "{own:?}\n{cpu:?}");
}
