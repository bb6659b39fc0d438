//! The expected and the actual result, line by line.

use crate::scene::{Forwarded, Story};

/// One thing that was not as it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) what: &'static str,
    pub(crate) expected: String,
    pub(crate) came: String,
}

/// All differences; none if the story is the expected one.
pub(crate) fn differences(expected: &Story, came: &Story) -> Vec<Difference> {
    let nothing = Forwarded { request: "nothing".to_owned(), ..Forwarded::default() };
    let forwarded = |story: &'_ Story, part: fn(&Forwarded) -> String| {
        part(story.backend.as_ref().unwrap_or(&nothing))
    };
    let mut found = Vec::new();
    let mut compare = |what, expected: String, came: String| {
        if expected != came {
            found.push(Difference { what, expected, came });
        }
    };
    compare("call to the provider", list(&expected.asked), list(&came.asked));
    for (what, part) in [
        ("at the backend", (|f| f.request.clone()) as fn(&Forwarded) -> String),
        ("headers added", |f| list(&f.added)),
        ("headers removed", |f| list(&f.removed)),
    ] {
        compare(what, forwarded(expected, part), forwarded(came, part));
    }
    compare("status", expected.status.clone(), came.status.clone());
    compare("headers of the answer", list(&expected.headers), list(&came.headers));
    compare("body", expected.body.clone(), came.body.clone());
    found
}

fn list(lines: &[String]) -> String {
    if lines.is_empty() { "none".to_owned() } else { lines.join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::SCENES;

    #[test]
    fn a_story_as_expected_has_no_difference() {
        for scene in &SCENES {
            assert_eq!(differences(&scene.expected(), &scene.expected()), []);
        }
    }

    #[test]
    fn every_part_of_a_story_is_compared() {
        let break_it: [fn(&mut Story); 7] = [
            |s| s.asked.clear(),
            |s| s.backend = None,
            |s| s.backend.as_mut().unwrap().added.push("x-user-id: admin".into()),
            |s| s.backend.as_mut().unwrap().removed.clear(),
            |s| s.status = "500".into(),
            |s| s.headers.push("retry-after: 5".into()),
            |s| s.body.clear(),
        ];
        for (index, break_it) in break_it.iter().enumerate() {
            let mut story = SCENES[0].expected();
            break_it(&mut story);
            assert_ne!(differences(&SCENES[0].expected(), &story), [], "part {index}");
        }
    }
}
