//! Server-sent events. Source: HTML standard, section 9.2.

use serde::Serialize;

/// Events that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Events {
    text: Vec<u8>,
    id: u64,
}

impl Events {
    /// Adds one. JSON has no line ends, so it is one line of data.
    pub(super) fn push(&mut self, name: &str, data: &impl Serialize) {
        self.text.extend_from_slice(format!("id: {}\nevent: {name}\ndata: ", self.id).as_bytes());
        serde_json::to_writer(&mut self.text, data).expect("text and numbers have a JSON form");
        self.text.extend_from_slice(b"\n\n");
    }

    /// The id of those that come: where a reader that comes back goes on.
    pub(super) fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    /// Adds a sign of life that is no event.
    pub(super) fn beat(&mut self) {
        self.text.extend_from_slice(b": beat\n\n");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// All that wait.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_line_ends_end_no_event() {
        let mut events = Events::default();
        events.set_id(7);
        events.push("lines", &["a\n\nevent: x\r\ndata: y"]);
        let text = String::from_utf8(events.take()).unwrap();
        let expected = "id: 7\nevent: lines\ndata: [\"a\\n\\nevent: x\\r\\ndata: y\"]\n\n";
        assert_eq!(text, expected);
        assert!(events.is_empty());
    }
}
