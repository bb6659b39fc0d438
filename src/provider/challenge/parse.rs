//! `WWW-Authenticate` by its grammar (RFC 9110 §11.6.1): which parameters belong to which scheme.
//!
//! What is not in the grammar is dropped, never cut: half of a text is not what the provider said.

/// The parameters of one challenge, in order.
#[derive(Debug, Default)]
pub(super) struct Parameters<'v>(Vec<Parameter<'v>>);

/// A parameter's name, and its value without quotes.
type Parameter<'v> = (&'v [u8], Vec<u8>);

impl Parameters<'_> {
    /// The value of that name, if it is text. Names have to differ: the first of one counts,
    /// usable or not.
    pub(super) fn text(&self, wanted: &str) -> Option<String> {
        let wanted = wanted.as_bytes();
        let (_, value) = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted))?;
        String::from_utf8(value.clone()).ok()
    }
}

/// Whose the parameters are that follow.
enum Scheme {
    /// Nobody's: no scheme has come.
    None,
    Bearer,
    Other,
}

/// The parameters of each Bearer challenge; those without a scheme, if no challenge has one. Several
/// lines are one list (RFC 9110 §5.3), but a quote does not go on in the next one.
pub(super) fn bearer<'v>(lines: impl Iterator<Item = &'v [u8]>) -> Vec<Parameters<'v>> {
    let (mut bearer, mut loose) = (Vec::new(), Parameters::default());
    let mut scheme = Scheme::None;
    // A parameter was dropped, whose unquoted text may go on behind a comma.
    let mut torn = false;
    for element in lines.flat_map(Elements) {
        let parameters = match read(element) {
            Element::Challenge(name, parameters) => {
                torn = parameters.is_none();
                scheme = match name.eq_ignore_ascii_case(b"bearer") {
                    true => Scheme::Bearer,
                    false => Scheme::Other,
                };
                if let Scheme::Bearer = scheme {
                    bearer.push(Parameters::default());
                }
                parameters.unwrap_or_default()
            }
            Element::Parameters(parameters) => {
                torn = false;
                parameters
            }
            Element::Unknown => {
                if !torn {
                    scheme = Scheme::Other;
                }
                continue;
            }
            Element::Unusable => {
                torn = true;
                continue;
            }
        };
        let owner = match scheme {
            Scheme::None => Some(&mut loose),
            Scheme::Bearer => bearer.last_mut(),
            Scheme::Other => None,
        };
        owner.into_iter().for_each(|owner| owner.0.extend_from_slice(&parameters));
    }
    match scheme {
        Scheme::None => vec![loose],
        Scheme::Bearer | Scheme::Other => bearer,
    }
}

/// The elements between the commas of a line, except commas within quotes.
struct Elements<'v>(&'v [u8]);

impl<'v> Iterator for Elements<'v> {
    type Item = &'v [u8];

    fn next(&mut self) -> Option<&'v [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = self.0.iter().position(|byte| {
            match (*byte, quoted, escaped) {
                (_, true, true) => escaped = false,
                (b'\\', true, false) => escaped = true,
                (b'"', _, _) => quoted = !quoted,
                (b',', false, _) => return true,
                _ => {}
            }
            false
        });
        let line = self.0;
        let end = end.unwrap_or(line.len());
        self.0 = line.get(end.saturating_add(1)..).unwrap_or_default();
        Some(trim(line.get(..end).unwrap_or_default()))
    }
}

/// What one element of the list is.
enum Element<'v> {
    /// A new scheme with its parameters; `None` if these do not match the grammar.
    Challenge(&'v [u8], Option<Vec<Parameter<'v>>>),
    /// Further parameters.
    Parameters(Vec<Parameter<'v>>),
    /// What could be a scheme, with something that is not in the grammar: what follows is not the
    /// scheme's before.
    Unknown,
    /// Nothing, or a parameter that is not in the grammar.
    Unusable,
}

fn read(element: &[u8]) -> Element<'_> {
    let (name, rest) = token(element);
    let is_parameter = |text| token(text).0 != b"" && trim(token(text).1).first() == Some(&b'=');
    if name.is_empty() {
        Element::Unusable
    } else if is_parameter(element) {
        parameters(element).map_or(Element::Unusable, Element::Parameters)
    } else if rest.is_empty() {
        Element::Challenge(name, Some(Vec::new()))
    } else if trim(rest).len() == rest.len() {
        // What is joined to a token without a blank makes no scheme of it.
        Element::Unknown
    } else if is_token68(trim(rest)) || is_parameter(trim(rest)) {
        let parameters = match is_token68(trim(rest)) {
            true => Some(Vec::new()),
            false => parameters(trim(rest)),
        };
        Element::Challenge(name, parameters)
    } else if name.eq_ignore_ascii_case(b"bearer") {
        Element::Challenge(name, None)
    } else {
        Element::Unknown
    }
}

/// One parameter; or several whose quoted values are followed by a blank in the place of a comma, as
/// providers write them too.
fn parameters(text: &[u8]) -> Option<Vec<Parameter<'_>>> {
    let mut found = Vec::new();
    let mut text = text;
    loop {
        let (name, after) = token(text);
        let [b'=', value @ ..] = trim(after) else {
            return None;
        };
        let value = trim(value);
        let (inside, after, quotes) = match value {
            [b'"', inside @ ..] => {
                let (inside, after) = quoted(inside)?;
                (inside, after, true)
            }
            _ => {
                let (bare, after) = token(value);
                (bare.to_vec(), after, false)
            }
        };
        if name.is_empty() || (inside.is_empty() && !quotes) {
            return None;
        }
        found.push((name, inside));
        text = trim(after);
        if text.is_empty() {
            return Some(found);
        }
        if !quotes || text.len() == after.len() {
            return None;
        }
    }
}

/// The inside of a quoted-string whose opening quote is gone, and what follows its closing one.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut inside = Vec::new();
    let mut bytes = text.iter();
    loop {
        match bytes.next()? {
            b'"' => return Some((inside, bytes.as_slice())),
            b'\\' => inside.push(*bytes.next()?),
            byte => inside.push(*byte),
        }
    }
}

/// A token (RFC 9110 §5.6.2), and what follows; empty if there is none.
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().position(|byte| !is_token(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or_default()
}

/// `token68`, the other form of a challenge's content.
fn is_token68(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let inside = text.get(..text.len().saturating_sub(padding)).unwrap_or_default();
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    !inside.is_empty() && inside.iter().all(is_inside)
}

/// Without the blanks of the grammar at its ends.
fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end =
        text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |at| at.saturating_add(1));
    text.get(start..end).unwrap_or_default()
}
