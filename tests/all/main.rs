//! The whole-program tests in one program, so that they are linked once and no core waits for the last test of a
//! file. A module is a subject; `cargo test --release --test all -- ops::` runs one.
//!
//! Tests share a process, and run side by side: none sets environment variables, the working directory or rayon's pool.

mod adopted;
mod batch_norm;
mod chunks;
mod classes;
mod cli;
mod cli_bench;
mod cli_cluster;
mod cli_data;
mod cli_embed;
mod cli_eval;
mod cli_faces;
mod cli_finding;
mod cli_gallery;
#[cfg(unix)]
mod cli_hostile;
mod cli_models;
mod cli_networks;
mod cli_watch;
mod dlib;
mod dropout;
mod edges;
mod exchange;
mod golden;
mod half;
mod l2_normalize;
mod manifest;
mod mining;
mod mtcnn;
mod networks;
mod networks_golden;
mod ops;
mod optim;
mod resume;
mod rows;
mod search;
mod selection;
mod shaders;
mod side_by_side;
mod state;
mod support;
mod tidy;
mod triplet;
mod tune;
