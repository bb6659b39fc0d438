//! The output of the demo: one small block per step, in colour on a terminal, plain in a pipe. A
//! reader that closes the pipe, such as `head`, is no failure.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard};

use integration::tokens;

use crate::compare::Difference;
use crate::scene::{Forwarded, Scene, Story};

/// Where the demo is shown.
pub(crate) struct Screen {
    colour: bool,
    /// What was printed, where it is to be drawn.
    recorded: Option<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Style {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
}

impl Screen {
    /// Standard output; in colour if it is a terminal and `NO_COLOR` is not set
    /// (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Screen {
        let objection = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen { colour: io::stdout().is_terminal() && !objection, recorded: None }
    }

    /// Standard output, in colour, and what goes there is kept.
    pub(crate) fn recording() -> Screen {
        Screen { colour: true, recorded: Some(Mutex::default()) }
    }

    /// What was kept, block by block.
    pub(crate) fn recorded(&self) -> Vec<String> {
        self.recorded.as_ref().map(|kept| lock(kept).clone()).unwrap_or_default()
    }

    fn print(&self, text: &str) {
        if let Some(kept) = &self.recorded {
            lock(kept).push(text.to_owned());
        }
        let mut out = io::stdout();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// One step: the command, the result, and whether it was as expected.
    pub(crate) fn scene(
        &self,
        number: &str,
        scene: &Scene,
        gateway: SocketAddr,
        seen: &Story,
        differences: &[Difference],
    ) {
        let verdict = if differences.is_empty() {
            self.paint(Style::Green, "ok")
        } else {
            self.paint(Style::Red, "FAILED")
        };
        let mut block = format!(
            "\n{} {}  {verdict}\n    {}\n",
            self.paint(Style::Dim, number),
            self.paint(Style::Bold, scene.title),
            scene.why
        );
        self.request(&mut block, scene, gateway);
        self.provider(&mut block, seen);
        self.backend(&mut block, seen.backend.as_ref());
        self.line(&mut block, "answer", &self.paint(Style::Bold, &seen.status));
        for line in seen.headers.iter().chain([&seen.body]).filter(|line| !line.is_empty()) {
            self.line(&mut block, "", &format!("  {line}"));
        }
        for Difference { what, expected, came } in differences {
            let _ = write!(
                block,
                "    {}\n      expected: {expected}\n      got:      {came}\n",
                self.paint(Style::Red, what)
            );
        }
        self.print(&block);
    }

    /// The summary at the end.
    pub(crate) fn done(&self, text: &str) {
        self.print(&format!("\n{}\n", self.paint(Style::Green, text)));
    }

    /// An aside.
    pub(crate) fn note(&self, text: &str) {
        self.print(&format!("{}\n", self.paint(Style::Dim, text)));
    }

    /// A request while the demo serves: what came of it, what the provider was asked, and what the backend
    /// got.
    pub(crate) fn live(&self, heading: &str, asked: &[String], backend: Option<String>) {
        let mut block = format!("\n{}\n", self.paint(Style::Bold, heading));
        for call in asked {
            let answer = tokens::answer_to(call);
            self.line(&mut block, "provider", &format!("{call}: answers {answer}"));
        }
        if asked.is_empty() {
            self.line(&mut block, "provider", &self.paint(Style::Dim, "gets no call"));
        }
        match backend {
            Some(arrived) => self.line(&mut block, "backend", &arrived),
            None => {
                self.line(&mut block, "backend", &self.paint(Style::Dim, "receives nothing"));
            }
        }
        self.print(&block);
    }

    /// A heading with aligned lines below it.
    pub(crate) fn table(&self, heading: &str, rows: &[(String, String)]) {
        let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
        let mut block = format!("\n{}\n", self.paint(Style::Bold, heading));
        for (left, right) in rows {
            let left = self.paint(Style::Dim, &format!("{left:width$}"));
            let _ = writeln!(block, "  {left}  {right}");
        }
        self.print(&block);
    }

    /// The command to type, over several lines where one would be long.
    fn request(&self, block: &mut String, scene: &Scene, gateway: SocketAddr) {
        let (path, headers) = scene.typed();
        let mut words = vec![format!("curl http://{gateway}{path}")];
        words.extend(headers.iter().map(|(name, value)| format!("-H '{name}: {value}'")));
        if words.iter().map(|word| word.len() + 1).sum::<usize>() <= 80 {
            words = vec![words.join(" ")];
        }
        self.line(block, "client", &words.join(" \\\n                "));
    }

    fn provider(&self, block: &mut String, seen: &Story) {
        for call in &seen.asked {
            self.line(block, "provider", call);
            self.line(block, "", &format!("  answers {}", tokens::answer_to(call)));
        }
        if seen.asked.is_empty() {
            let why = if seen.provider_down { "does not listen" } else { "gets no call" };
            self.line(block, "provider", &self.paint(Style::Dim, why));
        }
    }

    fn backend(&self, block: &mut String, seen: Option<&Forwarded>) {
        let Some(Forwarded { request, added, removed }) = seen else {
            return self.line(block, "backend", &self.paint(Style::Dim, "receives nothing"));
        };
        self.line(block, "backend", request);
        for line in added {
            self.line(block, "", &self.paint(Style::Green, &format!("+ {line}")));
        }
        for line in removed {
            self.line(block, "", &self.paint(Style::Red, &format!("- {line}")));
        }
    }

    fn line(&self, block: &mut String, label: &str, text: &str) {
        let _ = writeln!(block, "    {}  {text}", self.paint(Style::Dim, &format!("{label:8}")));
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", style as u8) } else { text.to_owned() }
    }
}

/// Says what is going on, beside the results, so that they can be redirected without it.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(io::stderr(), "==> {line}");
}

fn lock(kept: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
