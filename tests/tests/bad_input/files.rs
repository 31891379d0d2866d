//! A file that may not be read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use headwater_tests::site::Site;
use headwater_tests::waiting::until;

#[test]
fn a_file_that_may_not_be_read_is_named_with_what_helps_and_the_others_go_on() {
    let mut site = Site::new(2, &["open", "secret"]);
    site.write(2_000);
    let secret = site.logs().join("secret.log");
    set_mode(&secret, 0o000);
    if rustix::process::geteuid().is_root() {
        // Root reads what it likes; without these two rights it is a user like others.
        site.agent.set_wrapper(&[
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-dac_override,-dac_read_search",
        ]);
    }
    site.agent.start();
    let open = site.witness.instances.iter().position(|it| it.log == 0).unwrap();
    let readable = site.witness.instances[open].lines.len() as u64;
    until("the other file is stored whole", || site.aggregator.lines_read() == readable);

    let status = site.agent.status().unwrap();
    let sources = status["sources"].as_array().unwrap();
    let named = sources.iter().find(|source| source["path"] == secret.display().to_string());
    let why = named.and_then(|source| source["stalled"].as_str()).unwrap_or_default().to_owned();
    let helps = why.contains("setfacl -m u:") || why.contains("usermod -aG");
    assert!(why.contains("ermission denied") && helps, "it says why and what helps: {status:#}");

    // Once it may be read it is, without a restart.
    set_mode(&secret, 0o644);
    site.settle();
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "nothing was lost: {audit:#}");
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}
