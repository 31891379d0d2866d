//! What the fuzzer reaches of lines that are taken apart: built with `--cfg fuzzing` alone.

use super::lines::{self, Lines};

/// Takes lines apart and gives what is read of that; `None` if it can't be read.
#[must_use]
pub fn apart_and_back(lines: &[&[u8]]) -> Option<Vec<Vec<u8>>> {
    let packed = lines::pack(&lines.concat(), lines.iter().map(|line| line.len()), None);
    let mut fields = Lines::new(&packed.fields, &packed.values, &packed.raw, None).ok()?;
    let mut back = Vec::new();
    for line in lines {
        let mut out = Vec::new();
        fields.next(&mut out, line.len()).ok()?;
        back.push(out);
    }
    fields.finish().ok()?;
    Some(back)
}
