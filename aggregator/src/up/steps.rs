//! What `up` does, said line by line as it is done.

use anstyle::{AnsiColor, Style};

use crate::cli::output::{Output, Signs};

/// Lines of a table that grows as things get done. Standard output that can't be written any more
/// ends nothing: what runs goes on.
pub(super) struct Steps {
    output: Output,
    signs: Signs,
}

impl Steps {
    pub(super) fn new(output: &Output) -> Self {
        Self { output: output.clone(), signs: Signs::of_locale() }
    }

    /// A thing that is done.
    pub(super) fn done(&mut self, what: &str, text: &str) {
        self.step(self.signs.good, AnsiColor::Green, what, text);
    }

    /// A thing that happened and is dealt with.
    pub(super) fn warn(&mut self, what: &str, text: &str) {
        self.step(self.signs.warn, AnsiColor::Yellow, what, text);
    }

    fn step(&self, sign: &str, colour: AnsiColor, what: &str, text: &str) {
        let style = Style::new().fg_color(Some(colour.into()));
        self.print(&format!("  {style}{sign}{style:#} {what:<WHAT_WIDTH$} {}", self.plain(text)));
    }

    /// A line that belongs to the one before.
    pub(super) fn note(&mut self, text: &str) {
        let sign = self.signs.good.chars().count();
        self.print(&format!("  {:sign$} {:WHAT_WIDTH$} {}", "", "", self.plain(text)));
    }

    /// A line by itself.
    pub(super) fn line(&mut self, text: &str) {
        self.print(&format!("  {}", self.plain(text)));
    }

    pub(super) fn blank(&mut self) {
        self.print("");
    }

    /// The text in the alphabet that the terminal has.
    fn plain(&self, text: &str) -> String {
        text.replace('·', self.signs.dot)
    }

    fn print(&self, line: &str) {
        if self.output.quiet {
            return;
        }
        // Nobody looks any more.
        let _ = self.output.text(&format!("{line}\n"));
    }
}

/// Room for the longest of the words on the left.
const WHAT_WIDTH: usize = 11;
