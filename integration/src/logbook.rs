//! Collects the lines that a process writes, as they come, so that a test can wait for one without
//! looking again and again.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use tokio::sync::watch;

use crate::DEADLINE;

/// Lines in the order in which they were written. Clones are handles to the same book.
#[derive(Clone, Debug)]
pub struct LogBook {
    lines: Arc<Mutex<Vec<String>>>,
    news: watch::Receiver<News>,
}

#[derive(Clone, Copy, Debug, Default)]
struct News {
    lines: usize,
    ended: bool,
}

impl LogBook {
    /// Reads `source` to its end on a thread of its own.
    pub(crate) fn of(source: impl Read + Send + 'static) -> LogBook {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (tell, news) = watch::channel(News::default());
        let book = lines.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut line = Vec::new();
            while source.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(line.trim_ascii_end()).into_owned();
                lock(&book).push(text);
                line.clear();
                tell.send_modify(|news| news.lines += 1);
            }
            tell.send_modify(|news| news.ended = true);
        });
        LogBook { lines, news }
    }

    /// Every line so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        lock(&self.lines).clone()
    }

    /// Everything so far as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The first line (past or future) that contains `part`.
    ///
    /// # Panics
    ///
    /// If none comes within 20 seconds or the process ends without it.
    pub async fn wait_for(&self, part: &str) -> String {
        let line = tokio::time::timeout(DEADLINE, self.find(|line| line.contains(part))).await;
        line.ok().flatten().unwrap_or_else(|| panic!("no line with {part:?} in\n{}", self.text()))
    }

    /// The first `n` lines, once they are there.
    ///
    /// # Panics
    ///
    /// If they do not come within 20 seconds.
    pub async fn wait_lines(&self, n: usize) -> Vec<String> {
        let mut news = self.news.clone();
        let enough = tokio::time::timeout(DEADLINE, news.wait_for(|news| news.lines >= n)).await;
        assert!(matches!(enough, Ok(Ok(_))), "waited for {n} lines, got\n{}", self.text());
        self.lines().into_iter().take(n).collect()
    }

    /// The first line (past or future) that `wanted` accepts; none if the process ends without it.
    pub async fn find(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let mut news = self.news.clone();
        let mut seen = 0;
        loop {
            let now = *news.borrow_and_update();
            let found = lock(&self.lines)[seen..].iter().find(|line| wanted(line)).cloned();
            if found.is_some() || now.ended {
                return found;
            }
            seen = now.lines;
            if news.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The lines after the first `seen`, once there are any; none if the process ends without one.
    pub async fn after(&self, seen: usize) -> Option<Vec<String>> {
        let mut news = self.news.clone();
        let _ = news.wait_for(|news| news.ended || news.lines > seen).await;
        let lines = lock(&self.lines).get(seen..)?.to_vec();
        (!lines.is_empty()).then_some(lines)
    }

    /// Waits until the process has closed its end, as it does when it ends.
    pub async fn ended(&self) {
        let _ = self.news.clone().wait_for(|news| news.ended).await;
    }
}

fn lock(lines: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
