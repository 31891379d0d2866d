//! Programs that stand beside this one.

use std::path::{Path, PathBuf};

use super::failure::{Exit, Failure};

/// Looks for a program of ours beside this one, then along the PATH.
///
/// # Errors
/// If it is in neither place.
pub(crate) fn find(name: &str) -> Result<PathBuf, Failure> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let along = std::env::split_paths(&path).map(|folder| folder.join(name));
    let found = beside.iter().cloned().chain(along).find(|path| is_program(path));
    found.ok_or_else(|| {
        let folder = beside.as_deref().and_then(Path::parent).unwrap_or(Path::new("."));
        Failure::new(Exit::NotFound, format!("cannot find {name}"))
            .fact("tried", format!("{}, beside this program", folder.display()))
            .fact("tried", format!("the PATH: {}", path.to_string_lossy()))
            .next(format!("install {name}, or build it: cargo build --release -p {name}"))
    })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(path);
    found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}
