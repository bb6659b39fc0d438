//! The liberties that the source system's text form allows, and this reader with it.
//!
//! Each leniency of a text is in the report with its lines: an operator has to check that the
//! reader understood the text as intended.

/// One liberty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leniency {
    /// `regionCodeHeader`, `regionCodeValue` or `defaultURI` outside `userinfo_endpoint`.
    Alone,
    /// A name or value without quotation marks within braces.
    Unquoted,
    /// Two members without a comma between them.
    NoComma,
    /// A comma with nothing to separate.
    StrayComma,
    /// No opening brace where one belongs.
    MissingOpen,
    /// No closing brace where one belongs.
    MissingClose,
    /// An opening brace too many.
    StrayOpen,
    /// A closing brace too many.
    StrayClose,
    /// The opening brace in a line below its name.
    BraceBelow,
    /// A value in a line below its name.
    ValueBelow,
    /// One pair of braces around everything.
    OuterBraces,
    /// No colon between a name and its brace.
    MissingColon,
    /// Several keys in one line.
    OneLine,
    /// Typographic quotation marks.
    SmartQuotes,
    /// Single quotation marks.
    SingleQuotes,
    /// A list's bullet in front of a line.
    Bullet,
    /// A backslash that escapes nothing.
    Backslash,
    /// A blank that only web pages and word processors produce.
    OddBlank,
    /// Characters that nobody sees.
    Invisible,
    /// The line numbers of an editor.
    LineNumbers,
}

impl Leniency {
    /// The leniency and its reading, as text.
    pub(super) fn said(self) -> &'static str {
        match self {
            Leniency::Alone => "key of `userinfo_endpoint` on a line of its own: moved into it",
            Leniency::Unquoted => "name or value without quotation marks within braces",
            Leniency::NoComma => "no comma before this member",
            Leniency::StrayComma => "superfluous comma: ignored",
            Leniency::MissingOpen => "no `{` after this name: added",
            Leniency::MissingClose => "no `}` before this: added",
            Leniency::StrayOpen => "`{` without a name: ignored, with its `}`",
            Leniency::StrayClose => "`}` without `{`: ignored",
            Leniency::BraceBelow => "`{` on a line below its name",
            Leniency::ValueBelow => "value on the line below its name: accepted",
            Leniency::OuterBraces => "braces around everything: ignored",
            Leniency::MissingColon => "no colon between this name and its `{`: added",
            Leniency::OneLine => "several keys on one line: read separately",
            Leniency::SmartQuotes => "typographic quotation marks: read as plain ones",
            Leniency::SingleQuotes => "single quotation marks: read as double ones",
            Leniency::Bullet => "bullet of a list: ignored",
            Leniency::Backslash => {
                "backslash that escapes nothing: kept within quotation marks, \
                                    ignored before a brace"
            }
            Leniency::OddBlank => "no-break space: read as a space",
            Leniency::Invisible => {
                "invisible characters, such as a soft hyphen (U+00AD) or a zero-width space (U+200B): \
                 removed"
            }
            Leniency::LineNumbers => "number in front of the line: ignored",
        }
    }
}
