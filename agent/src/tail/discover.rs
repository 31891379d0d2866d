//! Where files are: the folders that patterns reach, and the files in them.
//!
//! A folder is listed again only when its time of change says so; while that time is too recent to be
//! told apart from a change that follows, it is listed at each scan. Links are not followed, neither to
//! files nor, inside a pattern, to folders.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobMatcher};
use rustix::fs::FileType;

use super::access::Refusal;
use super::identity::Facts;
use super::notice::Notice;
use crate::config::TailConfig;

/// Looks for files.
#[derive(Debug)]
pub(super) struct Discovery {
    tails: Vec<TailConfig>,
    patterns: Vec<Pattern>,
    folders: BTreeMap<PathBuf, Listing>,
}

/// What one scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Files that a tail names, with its number.
    pub(super) named: Vec<(Sighting, usize)>,
    /// Files beside those, by folder, of the folders that may have changed since the last scan.
    pub(super) beside: BTreeMap<PathBuf, Vec<Sighting>>,
    /// Compressed files beside them, of the same folders.
    pub(super) packed: BTreeMap<PathBuf, Vec<Sighting>>,
    pub(super) notices: Vec<Notice>,
}

/// A regular file at a path.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) path: PathBuf,
    pub(super) facts: Facts,
}

impl Discovery {
    pub(super) fn new(tails: &[TailConfig]) -> Self {
        let patterns = tails.iter().flat_map(|tail| tail.paths.patterns()).map(|p| Pattern::new(p));
        Self { tails: tails.to_vec(), patterns: patterns.collect(), folders: BTreeMap::new() }
    }

    /// Every folder that was looked through.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.keys().map(PathBuf::as_path)
    }

    /// Whether there is a folder for every pattern to begin in.
    pub(super) fn reaches_everything(&self) -> bool {
        self.patterns.iter().all(|pattern| self.folders.contains_key(&pattern.base))
    }

    /// The first tail that names a path.
    pub(super) fn tail_of(&self, path: &Path) -> Option<usize> {
        let is_wanted = |tail: &TailConfig| tail.paths.matches(path) && !tail.exclude.matches(path);
        if is_compressed(path) { None } else { self.tails.iter().position(is_wanted) }
    }

    /// Looks through all folders that patterns reach.
    ///
    /// `wall` is the time in nanoseconds since 1970. Files that no tail names are told of where they
    /// belong to the family of one that a tail names, or to one of those that `families` has for the
    /// folder.
    pub(super) fn scan(&mut self, wall: i64, families: &dyn Fn(&Path) -> Stems) -> Found {
        let mut walk = Walk { wall, families, found: Found::default(), reached: BTreeSet::new() };
        let patterns = std::mem::take(&mut self.patterns);
        for pattern in &patterns {
            self.reach(&pattern.base, &pattern.levels, &mut walk);
        }
        self.patterns = patterns;
        let Walk { mut found, reached, .. } = walk;
        self.folders.retain(|folder, _| reached.contains(folder));
        for (folder, listing) in &self.folders {
            for name in &listing.named {
                let path = folder.join(name);
                let tail = self.tail_of(&path);
                if found.named.len() < NAMED_MAX {
                    found.named.extend(sight(path).zip(tail));
                } else {
                    found.notices.push(Notice::TooManyFiles { path, max_files: NAMED_MAX });
                    return found;
                }
            }
        }
        found
    }

    /// Lists all folders anew at the next scan.
    pub(super) fn forget_listings(&mut self) {
        self.folders.clear();
    }

    /// The regular files of one folder as it is at this moment that belong to a known one.
    pub(super) fn beside(folder: &Path, stems: &Stems) -> Vec<Sighting> {
        let files = list(folder).map(|(files, _)| files).unwrap_or_default();
        family_of(folder, &files, stems)
            .filter(|path| !is_compressed(path))
            .filter_map(sight)
            .collect()
    }

    /// Those of them that are packed with gzip.
    pub(super) fn packed(folder: &Path, stems: &Stems) -> Vec<Sighting> {
        let files = list(folder).map(|(files, _)| files).unwrap_or_default();
        family_of(folder, &files, stems).filter(|path| is_packed(path)).filter_map(sight).collect()
    }

    fn reach(&mut self, folder: &Path, levels: &[Level], walk: &mut Walk<'_>) {
        if walk.reached.len() >= FOLDERS_MAX && !walk.reached.contains(folder) {
            let path = folder.to_owned();
            walk.found.notices.push(Notice::TooManyFolders { path, max_folders: FOLDERS_MAX });
            return;
        }
        if !self.refresh(folder, walk) {
            return;
        }
        walk.reached.insert(folder.to_owned());
        let Some((level, deeper)) = levels.split_first() else {
            return;
        };
        let subfolders = self.folders.get(folder).map(|listing| listing.folders.clone());
        for name in subfolders.into_iter().flatten() {
            let below = folder.join(&name);
            match level {
                Level::Name(pattern) if deeper.is_empty() || !pattern.is_match(&name) => {}
                Level::Name(_) => self.reach(&below, deeper, walk),
                Level::Any if below.components().count() > DEPTH_MAX => {}
                // `**` stands for no folder as well: what follows it may fit here already.
                Level::Any => {
                    self.reach(&below, levels, walk);
                    if let Some((Level::Name(pattern), deepest)) = deeper.split_first()
                        && !deepest.is_empty()
                        && pattern.is_match(&name)
                    {
                        self.reach(&below, deepest, walk);
                    }
                }
            }
        }
    }

    /// Brings a folder's listing up to date; false if there is no such folder.
    fn refresh(&mut self, folder: &Path, walk: &mut Walk<'_>) -> bool {
        if walk.reached.contains(folder) {
            return true;
        }
        // The folder itself may be given as a link: its own `.` is never one.
        let listed = Facts::at(&folder.join(".")).and_then(|facts| {
            let changed = facts.modified;
            let known = self.folders.get(folder);
            if known.is_some_and(|listing| listing.is_current(changed, walk.wall)) {
                return Ok(());
            }
            let (files, folders) = list(folder)?;
            let is_named = |name: &OsString| self.tail_of(&folder.join(name)).is_some();
            let (named, others): (Vec<_>, Vec<_>) = files.into_iter().partition(is_named);
            let mut stems = (walk.families)(folder);
            stems.extend(named.iter().map(|name| stem(name).to_vec()));
            let family = family_of(folder, &others, &stems);
            let (packed, family): (Vec<_>, Vec<_>) = family.partition(|path| is_packed(path));
            let beside = family.into_iter().filter(|path| !is_compressed(path)).filter_map(sight);
            walk.found.beside.insert(folder.to_owned(), beside.collect());
            let packed = packed.into_iter().filter_map(sight).collect();
            walk.found.packed.insert(folder.to_owned(), packed);
            let listing = Listing { changed, listed: walk.wall, named, folders };
            self.folders.insert(folder.to_owned(), listing);
            Ok(())
        });
        match listed {
            Ok(()) => true,
            Err(error) if is_no_folder(&error) => false,
            Err(error) => {
                let refusal = Refusal::of(folder, &error);
                walk.found.notices.push(Notice::Unlisted { path: folder.to_owned(), refusal });
                false
            }
        }
    }
}

struct Walk<'a> {
    wall: i64,
    families: &'a dyn Fn(&Path) -> Stems,
    found: Found,
    reached: BTreeSet<PathBuf>,
}

/// What a folder held when it was listed. Times are nanoseconds since 1970.
#[derive(Debug)]
struct Listing {
    /// When the folder had changed last.
    changed: i64,
    listed: i64,
    /// Files that a tail names.
    named: Vec<OsString>,
    folders: Vec<OsString>,
}

impl Listing {
    /// Whether it still holds for a folder that changed last at a time.
    fn is_current(&self, changed: i64, wall: i64) -> bool {
        let was_settled = self.listed.saturating_sub(changed) > SETTLED;
        let is_recent = (0..LISTING_AGE_MAX).contains(&wall.saturating_sub(self.listed));
        self.changed == changed && was_settled && is_recent
    }
}

/// A pattern, taken apart: the folder it begins in, and the levels below.
#[derive(Debug)]
struct Pattern {
    base: PathBuf,
    levels: Vec<Level>,
}

/// One part of a pattern between two slashes.
#[derive(Debug)]
enum Level {
    Name(Box<GlobMatcher>),
    /// `**`, and whatever cannot be taken apart: any folders.
    Any,
}

impl Pattern {
    fn new(pattern: &str) -> Self {
        let is_plain = |part: &Component<'_>| !part.as_os_str().as_bytes().iter().any(is_special);
        let parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
        let folders = parts.len().saturating_sub(1);
        let plain = parts[..folders].iter().take_while(|part| is_plain(part)).count();
        let rest = &parts[plain..];
        // Braces may hold slashes; then a part alone is no pattern.
        let has_braces = rest.iter().any(|part| part.as_os_str().as_bytes().contains(&b'{'));
        let level = |part: &Component<'_>| match part.as_os_str().to_str() {
            Some(text) if text != "**" && !has_braces => Glob::new(text)
                .map_or(Level::Any, |glob| Level::Name(Box::new(glob.compile_matcher()))),
            _ => Level::Any,
        };
        Self { base: parts[..plain].iter().collect(), levels: rest.iter().map(level).collect() }
    }
}

fn is_special(byte: &u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[' | b'{' | b'\\')
}

/// Names of the files and of the folders in a folder; links are neither.
fn list(folder: &Path) -> io::Result<(Vec<OsString>, Vec<OsString>)> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_file() => files.push(entry.file_name()),
            Ok(kind) if kind.is_dir() => folders.push(entry.file_name()),
            // A link or a device, or gone since it was listed.
            Ok(_) | Err(_) => {}
        }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

/// The regular file at a path; `None` if there is none any more.
fn sight(path: PathBuf) -> Option<Sighting> {
    let facts = Facts::at(&path).ok()?;
    (facts.kind == FileType::RegularFile).then_some(Sighting { path, facts })
}

fn is_no_folder(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Compressed files are never read as sources.
pub(super) fn is_compressed(path: &Path) -> bool {
    let endings = ["gz", "bz2", "xz", "zst"];
    path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known))
}

/// Whether a file is packed with gzip, by its name.
fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

/// Whether one name is that of another file with an ending as rotation gives it: `x.log.1`,
/// `x.log-20240101`, `x.log.old`, or with the same before the extension: `x-20240101.log`.
pub(super) fn is_generation_of(name: &OsStr, home: &OsStr) -> bool {
    let (name, home) = (name.as_bytes(), home.as_bytes());
    let is_mark = |ending: &[u8]| {
        let Some((separator, mark)) = ending.split_first() else {
            return false;
        };
        let is_number = mark.first().is_some_and(u8::is_ascii_digit)
            && mark.iter().all(|byte| byte.is_ascii_digit() || b".-_T:".contains(byte));
        b".-_".contains(separator) && (is_number || [&b"old"[..], b"bak", b"prev"].contains(&mark))
    };
    if name.strip_prefix(home).is_some_and(is_mark) {
        return true;
    }
    let Some(dot) = home.iter().rposition(|byte| *byte == b'.').filter(|dot| *dot > 0) else {
        return false;
    };
    let (stem, extension) = home.split_at(dot);
    name.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension)).is_some_and(is_mark)
}

/// The paths of those files of a folder that belong to some families.
fn family_of<'a>(
    folder: &'a Path,
    files: &'a [OsString],
    stems: &'a Stems,
) -> impl Iterator<Item = PathBuf> + 'a {
    files.iter().filter(|name| is_of_family(name, stems)).map(|name| folder.join(name))
}

/// What the names of some families begin with.
pub(super) type Stems = BTreeSet<Vec<u8>>;

/// Whether a name begins like those of a family.
fn is_of_family(name: &OsStr, stems: &Stems) -> bool {
    let name = name.as_bytes();
    !stems.is_empty() && (1..=name.len()).any(|length| stems.contains(&name[..length]))
}

/// What a name begins with, up to its first dot: what names of one family share.
pub(super) fn stem(name: &OsStr) -> &[u8] {
    let name = name.as_bytes();
    let dot = name.iter().skip(1).position(|byte| *byte == b'.');
    dot.map_or(name, |dot| &name[..=dot])
}

/// Folders that all patterns together may reach: each takes an inotify watch, of which a user has 8,192
/// on old kernels.
const FOLDERS_MAX: usize = 1024;
/// Files that all patterns together may name: each is looked at once a second, which takes some 2 µs.
const NAMED_MAX: usize = 16_384;
/// Folders above each other below which `**` does not reach.
const DEPTH_MAX: usize = 32;
/// A change within this time of a listing may not show in the folder's time: kernels count in ticks of
/// up to 10 ms, some filesystems in seconds.
const SETTLED: i64 = 2_000_000_000;
/// A listing is renewed after this time whatever the folder's time says; some network filesystems
/// cache it.
const LISTING_AGE_MAX: i64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::{Globs, Multiline, StartAt};

    #[test]
    fn patterns_reach_files_and_not_links_or_compressed_ones() {
        let tree = Tree::new(&[
            "a/x.log",
            "a/y.log",
            "a/y.log.gz",
            "a/b/z.log",
            "a/b/c/deep.log",
            "d/x.log",
            "d/x.txt",
        ]);
        std::os::unix::fs::symlink(tree.path("a/x.log"), tree.path("a/link.log")).unwrap();
        std::os::unix::fs::symlink(tree.path("a/b"), tree.path("a/linked")).unwrap();
        let cases: [(&str, &[&str]); 9] = [
            ("a/*.log", &["a/x.log", "a/y.log"]),
            ("*/x.log", &["a/x.log", "d/x.log"]),
            ("a/**/*.log", &["a/b/c/deep.log", "a/b/z.log", "a/x.log", "a/y.log"]),
            ("**/c/*", &["a/b/c/deep.log"]),
            ("a/*", &["a/x.log", "a/y.log"]),
            ("a/*/z.log", &["a/b/z.log"]),
            ("{a,d}/x.*", &["a/x.log", "d/x.log", "d/x.txt"]),
            ("d/x.log", &["d/x.log"]),
            ("none/*", &[]),
        ];
        for (pattern, expected) in cases {
            assert_eq!(tree.find(pattern, "none"), expected, "{pattern}");
        }
        assert_eq!(tree.find("**/*.log", "**/b/**"), ["a/x.log", "a/y.log", "d/x.log"]);
    }

    #[test]
    fn a_folder_is_listed_again_only_after_a_change() {
        let tree = Tree::new(&["a/x.log", "a/x.log.1"]);
        let mut discovery = tree.discovery("a/*.log", "none");
        let related = |_: &Path| Stems::new();
        let beside = |found: &Found| found.beside.values().flatten().count();
        let wall = Facts::at(&tree.path("a")).unwrap().modified + 10 * SETTLED;
        assert_eq!(beside(&discovery.scan(wall, &related)), 1);
        let again = discovery.scan(wall + 1, &related);
        assert_eq!((beside(&again), again.named.len()), (0, 1), "nothing has changed");
        fs::write(tree.path("a/y.log"), "").unwrap();
        let after = discovery.scan(wall + 2, &related);
        assert_eq!((beside(&after), after.named.len()), (1, 2));
        let recent = Facts::at(&tree.path("a")).unwrap().modified + 1;
        discovery.forget_listings();
        discovery.scan(recent, &related);
        assert_eq!(beside(&discovery.scan(recent, &related)), 1, "too recent to be sure");
    }

    #[test]
    fn names_of_rotated_files_are_told_from_others() {
        let cases = [
            ("x.log.1", true),
            ("x.log.10", true),
            ("x.log-20240101", true),
            ("x.log.2024-01-01T10:00", true),
            ("x.log.old", true),
            ("x-20240101.log", true),
            ("x.1.log", true),
            ("x.log", false),
            ("x.log.err", false),
            ("x-error.log", false),
            ("xx.log.1", false),
            ("x.log1", false),
            ("x.log.", false),
        ];
        for (name, expected) in cases {
            assert_eq!(is_generation_of(OsStr::new(name), OsStr::new("x.log")), expected, "{name}");
        }
        assert!(is_generation_of(OsStr::new("syslog.1"), OsStr::new("syslog")));
        assert_eq!(stem(OsStr::new("x.log.1")), b"x");
        assert_eq!(stem(OsStr::new(".hidden.1")), b".hidden");
        assert_eq!(stem(OsStr::new("syslog")), b"syslog");
    }

    struct Tree(TempDir);

    impl Tree {
        fn new(files: &[&str]) -> Self {
            let tree = Self(tempfile::tempdir().unwrap());
            for file in files {
                fs::create_dir_all(tree.path(file).parent().unwrap()).unwrap();
                fs::write(tree.path(file), "").unwrap();
            }
            tree
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn discovery(&self, pattern: &str, exclude: &str) -> Discovery {
            let globs = |pattern: &str| {
                Globs::new(&[self.path(pattern).to_str().unwrap().to_owned()]).unwrap()
            };
            Discovery::new(&[TailConfig {
                name: "t".into(),
                paths: globs(pattern),
                exclude: globs(exclude),
                start_at: StartAt::End,
                multiline: Multiline::None,
                labels: BTreeMap::new(),
            }])
        }

        fn find(&self, pattern: &str, exclude: &str) -> Vec<String> {
            let found = self.discovery(pattern, exclude).scan(0, &|_| Stems::new());
            let name = |(sighting, _): &(Sighting, usize)| {
                sighting.path.strip_prefix(self.0.path()).unwrap().to_str().unwrap().to_owned()
            };
            let mut names: Vec<String> = found.named.iter().map(name).collect();
            names.sort();
            names
        }
    }
}
