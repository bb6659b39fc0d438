//! The paths that a route takes, by what its match says of them. What is not understood may take any path.

use regex_lite::Regex;

use super::routes::Way;
use crate::tree::Node;

/// What a match says of paths.
enum Form<'a> {
    Prefix(&'a str),
    Exact(&'a str),
    Separated(&'a str),
    /// `None` if it is not understood.
    Regex(Option<Regex>),
    Template(&'a str),
    Unknown,
}

/// The paths of a route.
pub(super) struct Taken<'a> {
    /// Its match.
    pub(super) matched: Node<'a>,
    form: Form<'a>,
    /// Whether capitals differ from small letters.
    strict: bool,
    /// Whether it takes every path of its host.
    pub(super) everything: bool,
}

/// The paths of ways, in their order.
pub(super) fn all<'a>(ways: &[Way<'a>]) -> Vec<Option<Taken<'a>>> {
    ways.iter().map(|way| way.matched.as_ref().map(Taken::of)).collect()
}

impl<'a> Taken<'a> {
    fn of(matched: &Node<'a>) -> Taken<'a> {
        // Nobody writes an expression for just these.
        const PATHS: [&str; 3] = ["/q7", "/Zz-9/k.w/0", "/u_3/y/1"];
        // Envoy's expressions have to match all of it.
        let compiled = |regex: &str| Regex::new(&format!("^(?:{regex})$")).ok();
        let forms = [
            matched.text("prefix").map(Form::Prefix),
            matched.text("path").map(Form::Exact),
            matched.text("path_separated_prefix").map(Form::Separated),
            regex_of(matched).map(|regex| Form::Regex(compiled(regex))),
            template(matched).map(Form::Template),
        ];
        let form = forms.into_iter().flatten().next().unwrap_or(Form::Unknown);
        let strict = matched.get("case_sensitive").is_none() || matched.is_true("case_sensitive");
        let taken = Taken { matched: matched.clone(), form, strict, everything: false };
        let everything = PATHS.iter().all(|path| taken.takes(path));
        Taken { everything, ..taken }
    }

    /// Whether it takes only one path.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.form, Form::Exact(_))
    }

    /// What all of its paths begin with, if that is plain.
    pub(super) fn start(&self) -> Option<&'a str> {
        match self.form {
            Form::Prefix(text) | Form::Exact(text) | Form::Separated(text) => Some(text),
            Form::Regex(_) | Form::Template(_) | Form::Unknown => None,
        }
    }

    /// Whether it takes a path.
    pub(super) fn takes(&self, path: &str) -> bool {
        let folded = |text: &str| match self.strict {
            true => text.to_owned(),
            false => text.to_ascii_lowercase(),
        };
        match &self.form {
            Form::Prefix(prefix) => folded(path).starts_with(&folded(prefix)),
            Form::Exact(exact) => folded(path) == folded(exact),
            Form::Separated(prefix) => {
                let (path, prefix) = (folded(path), folded(prefix));
                let rest = path.strip_prefix(&prefix);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Form::Regex(regex) => regex.as_ref().is_none_or(|regex| regex.is_match(path)),
            // A variable may be written for a part of the path, or for all the rest.
            Form::Template(template) => {
                let end = template.find(['*', '{']).unwrap_or(template.len());
                let start = template.get(..end).unwrap_or_default();
                path.starts_with(start) && (template.contains("**") || *template == path)
            }
            Form::Unknown => true,
        }
    }
}

/// The expression by which a route matches.
pub(super) fn regex_of<'a>(matched: &Node<'a>) -> Option<&'a str> {
    matched.at(&["safe_regex", "regex"]).and_then(|node| node.value.as_str())
}

/// The template by which a route matches.
pub(super) fn template<'a>(matched: &Node<'a>) -> Option<&'a str> {
    let (_, fields) = matched.at(&["path_match_policy", "typed_config"])?.any()?;
    fields.text("path_template")
}
