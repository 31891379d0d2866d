//! Scripts and styles, inside the binary. Their addresses carry a hash of their content, so that a
//! browser may keep them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::super::access::plain;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file and where browsers find it.
#[derive(Debug)]
pub(crate) struct Asset {
    /// `/assets/NAME`
    pub(crate) path: String,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Asset {
    fn new(stem: &str, ending: &str, bytes: &'static [u8]) -> Self {
        let hash = blake3::hash(bytes).to_hex();
        let kind = if ending == "js" { SCRIPT } else { STYLE };
        Self { path: format!("/assets/{stem}-{}.{ending}", &hash[..16]), kind, bytes }
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Assets {
    pub(crate) htmx: Asset,
    pub(crate) hx_csp: Asset,
    pub(crate) plot: Asset,
    pub(crate) plot_css: Asset,
    pub(crate) hw: Asset,
    pub(crate) hw_css: Asset,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    htmx: Asset::new("htmx", "js", include_bytes!("../../../assets/vendor/htmx.min.js")),
    hx_csp: Asset::new("hx-csp", "js", include_bytes!("../../../assets/vendor/hx-csp.min.js")),
    plot: Asset::new("uplot", "js", include_bytes!("../../../assets/vendor/uPlot.iife.min.js")),
    plot_css: Asset::new("uplot", "css", include_bytes!("../../../assets/vendor/uPlot.min.css")),
    hw: Asset::new("hw", "js", include_bytes!("../../../assets/hw.js")),
    hw_css: Asset::new("hw", "css", include_bytes!("../../../assets/hw.css")),
});

impl Assets {
    /// The files of this build.
    pub(crate) fn all() -> &'static Self {
        &ASSETS
    }

    fn list(&self) -> [&Asset; 6] {
        [&self.htmx, &self.hx_csp, &self.plot, &self.plot_css, &self.hw, &self.hw_css]
    }
}

/// `GET /assets/NAME`
pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let found = Assets::all().list().into_iter().find(|it| it.path["/assets/".len()..] == name);
    let Some(asset) = found else {
        return plain(
            StatusCode::NOT_FOUND,
            "No such file. A page of this build names its files.\n",
        );
    };
    let kept = "public, max-age=31536000, immutable";
    ([(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, kept)], asset.bytes).into_response()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn scripts_and_styles_keep_to_their_budgets() {
        let assets = Assets::all();
        let scripts = assets.list().into_iter().filter(|asset| asset.kind == SCRIPT);
        let bytes: usize = scripts.map(|asset| asset.bytes.len()).sum();
        assert!(bytes <= 120 << 10, "all scripts: {bytes} bytes");
        assert!(assets.hw.bytes.len() <= 20 << 10, "hw.js: {} bytes", assets.hw.bytes.len());
        assert!(assets.hw_css.bytes.len() <= 24 << 10, "hw.css: {}", assets.hw_css.bytes.len());
    }

    #[test]
    fn an_address_changes_with_its_content() {
        let (one, two) = (Asset::new("a", "js", b"1"), Asset::new("a", "js", b"2"));
        assert_ne!(one.path, two.path);
        assert!(one.path.starts_with("/assets/a-") && one.path.ends_with(".js"), "{}", one.path);
    }

    #[test]
    fn copied_files_are_the_ones_that_were_copied() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/vendor");
        let sums = std::fs::read_to_string(format!("{folder}/SHA256SUMS")).unwrap();
        let checked = Command::new("sha256sum")
            .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "SHA256SUMS")
            .collect();
        names.sort();
        let mut summed: Vec<&str> =
            sums.lines().filter_map(|line| line.split("  ").nth(1)).collect();
        summed.sort_unstable();
        assert_eq!(names, summed, "every copied file has a sum");
    }

    #[test]
    fn our_own_files_hold_nothing_that_the_policy_forbids() {
        let mut found = String::new();
        let assets = Assets::all();
        for (name, bytes) in [("hw.js", assets.hw.bytes), ("hw.css", assets.hw_css.bytes)] {
            let text = std::str::from_utf8(bytes).unwrap();
            for word in ["innerHTML", "outerHTML", "eval(", "document.write", "http:", "https:"] {
                if text.contains(word) {
                    let _ = writeln!(found, "{name} holds {word}");
                }
            }
        }
        assert_eq!(found, "");
    }
}
