//! The text of a report, byte for byte as logcheck(8) writes it. Pure.

use crate::logs::{
    pattern::ast::Locale,
    rules::{
        classifier::Classifier,
        layers::{LayerSection, LineMatches, Semantics, sections},
        rule_set::Layer,
    },
};

/// The headings of the three kinds of sections, which are also the subjects of mails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Titles {
    /// What `cracking.d` raises.
    pub attack: Vec<u8>,
    /// What `violations.d` raises.
    pub security: Vec<u8>,
    /// What no rule knows.
    pub events: Vec<u8>,
}

impl Titles {
    fn of(&self, layer: Option<Layer>) -> &[u8] {
        match layer {
            Some(Layer::Cracking) => &self.attack,
            Some(_) => &self.security,
            None => &self.events,
        }
    }
}

/// What surrounds the sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// What stands above everything.
    pub preface: Vec<u8>,
    /// `header.txt`.
    pub header: Vec<u8>,
    /// What could not be read, a message each.
    pub errors: Vec<Vec<u8>>,
    /// `footer.txt`.
    pub footer: Vec<u8>,
}

/// The lines that are told, under their headings.
#[derive(Debug)]
pub struct FoundLine<'a> {
    /// In the order of the report; their lines are numbers in [`FoundLine::lines`].
    pub sections: Vec<LayerSection>,
    /// The lines that no ignore rule hides.
    pub lines: Vec<&'a [u8]>,
}

impl<'a> FoundLine<'a> {
    /// Classifies `lines`.
    pub fn of(mut lines: Vec<&'a [u8]>, classifier: &mut Classifier, semantics: Semantics) -> Self {
        // What they match is kept of the few that are raised only.
        let (mut raised, mut places, mut events) = (Vec::<LineMatches>::new(), Vec::new(), Vec::new());
        lines.retain(|line| {
            let marks = classifier.marks(line);
            if marks.ignored.is_some() {
                return false;
            }
            let place = events.len() + places.len();
            if marks.raised.is_empty() {
                events.push(place);
            } else {
                raised.push(marks);
                places.push(place);
            }
            true
        });
        let mut sections = sections(classifier.set(), semantics, &raised);
        for number in sections.iter_mut().flat_map(|section| &mut section.lines) {
            *number = places.get(*number).copied().unwrap_or(*number);
        }
        if !events.is_empty() {
            sections.push(LayerSection { layer: None, file: Vec::new(), lines: events });
        }
        Self { sections, lines }
    }

    /// The heading that stands in the subject: the gravest.
    pub fn subject<'t>(&self, titles: &'t Titles) -> Option<&'t [u8]> {
        self.sections.first().map(|section| titles.of(section.layer))
    }

    /// Gives the text to `put` piece by piece, each made of whole lines.
    ///
    /// # Errors
    /// Those of `put`.
    pub fn write<E>(
        &self,
        frame: &Frame,
        titles: &Titles,
        locale: Locale,
        put: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        put(&frame.preface)?;
        put(&frame.header)?;
        if !frame.errors.is_empty() {
            put(&[b"\n", frame.errors.join(&b'\n').as_slice(), b"\n\n"].concat())?;
        }
        for section in &self.sections {
            put(&heading(titles.of(section.layer), &section.file, locale))?;
            for line in section.lines.iter().filter_map(|number| self.lines.get(*number)) {
                put(&[line, b"\n".as_slice()].concat())?;
            }
            put(b"\n")?;
        }
        put(&frame.footer)
    }
}

/// A heading and the line of `=-=-` below it.
fn heading(title: &[u8], file: &[u8], locale: Locale) -> Vec<u8> {
    let mut heading = title.to_vec();
    if !file.is_empty() && file != b"logcheck" {
        heading.extend_from_slice(b" for ");
        heading.extend_from_slice(file);
    }
    let width = match locale {
        Locale::C => heading.len(),
        Locale::Utf8 => letters(&heading),
    };
    heading.push(b'\n');
    heading.extend(b"=-".iter().cycle().take(width));
    heading.push(b'\n');
    heading
}

/// How many characters there are; a byte that is part of none counts as one, as in bash(1).
fn letters(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heading_is_underlined_as_long_as_it_is() {
        assert_eq!(heading(b"System Events", b"", Locale::C), b"System Events\n=-=-=-=-=-=-=\n");
        assert_eq!(heading(b"Ab", b"logcheck", Locale::C), b"Ab\n=-\n");
        assert_eq!(heading("Ä\u{fffd}".as_bytes(), b"x", Locale::Utf8), "Ä\u{fffd} for x\n=-=-=-=-\n".as_bytes());
        assert_eq!(heading("Ä".as_bytes(), b"x", Locale::C), "Ä for x\n=-=-=-=-\n".as_bytes());
        assert_eq!(letters(b"a\xff\xfe"), 3);
    }

    #[test]
    fn errors_stand_between_empty_lines() {
        let titles = Titles { attack: b"A".to_vec(), security: b"S".to_vec(), events: b"E".to_vec() };
        let found = FoundLine {
            sections: vec![LayerSection { layer: None, file: Vec::new(), lines: vec![1, 0] }],
            lines: vec![b"one", b"two"],
        };
        let frame = Frame {
            preface: b"P".to_vec(),
            header: b"H\n".to_vec(),
            errors: vec![b"E: x".to_vec(), b"E: y".to_vec()],
            footer: b"F".to_vec(),
        };
        let mut text = Vec::new();
        found
            .write(&frame, &titles, Locale::C, &mut |piece| {
                text.extend_from_slice(piece);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "PH\n\nE: x\nE: y\n\nE\n=\ntwo\none\n\nF");
        assert_eq!(found.subject(&titles), Some(b"E".as_slice()));
    }
}
