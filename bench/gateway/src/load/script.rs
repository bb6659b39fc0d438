//! The scripts that make `wrk` send a token of its own with each request. What they cost is the
//! load's, which is not measured; still they cut each request from one text, so that the load can
//! keep up.

use super::Tokens;
use crate::numbers;
use crate::tokens::{VARYING, kept};

/// The text before and after a token in a request; `wrk` calls `init` once it knows the host.
const AROUND: &str = r#"
local before, after
init = function()
  wrk.headers["Authorization"] = "Bearer @"
  local text = wrk.format()
  local at = string.find(text, "@", 1, true)
  before, after = string.sub(text, 1, at - 1), string.sub(text, at + 1)
end
"#;

/// Each connection waits this many milliseconds before each request; no script if all tokens are
/// equal.
pub(super) fn of(tokens: &Tokens, pause: u32) -> Option<String> {
    let script = match tokens {
        Tokens::None | Tokens::One(_) => return None,
        Tokens::Fresh(like) => format!(
            r#"
local n = 0
request = function()
  n = n + 1
  return before .. "{}" .. string.format("%d%07d", os.time(), n) .. after
end
"#,
            kept(like)
        ),
        Tokens::Each { count, from, like } => format!(
            r#"
local n = {from}
request = function()
  local token = "{}" .. string.format("%0{VARYING}d", n % {count})
  n = n + 1
  return before .. token .. after
end
"#,
            kept(like)
        ),
        Tokens::Crowd(users) => crowd(*users),
    };
    let pause = (pause > 0).then(|| format!("delay = function() return {pause} end\n"));
    Some(format!("{AROUND}{script}{}", pause.unwrap_or_default()))
}

/// One of the users' tokens with each request, by Zipf's law, in an order that is always the same.
fn crowd(users: usize) -> String {
    let shares: Vec<String> = numbers::zipf(users).iter().map(f64::to_string).collect();
    format!(
        r#"
local shares = {{{}}}
local users, requests = #shares, {{}}
math.randomseed(1)
request = function()
  local draw, low, high = math.random(), 1, users
  while low < high do
    local middle = math.floor((low + high) / 2)
    if shares[middle] < draw then low = middle + 1 else high = middle end
  end
  local text = requests[low]
  if not text then
    text = before .. string.format("2YotnFZFEjr1zCsicMWpAA.u%016d", low) .. after
    requests[low] = text
  end
  return text
end
"#,
        shares.join(",")
    )
}
