//! Compiles the published protobuf files with a compiler written in Rust, so that no `protoc` is needed.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/click.proto", "proto/feed.proto"], ["proto"])?;
    prost_build::Config::new()
        .bytes([".signpost.feed.v1"])
        .compile_fds(files)?;
    Ok(())
}
