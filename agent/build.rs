//! Leaves the tables for unwinding out of the program as it is installed, the one that is built for size: an
//! eighth of it, and a panic ends the process there, so nothing reads them but a backtrace, which would have no
//! names in a stripped program. What panicked is told by its place.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=no_unwinding.ld");
    let is = |name, value| std::env::var(name).is_ok_and(|set| set == value);
    // Of all profiles that one alone has this level; cargo does not tell how a panic ends.
    if is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo names the package's folder");
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/no_unwinding.ld");
    }
}
