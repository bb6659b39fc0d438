//! The scripts that make `wrk` send a token of its own with each request. What they cost is the
//! load's, which is not measured; still they cut each request from one text, so that the load can
//! keep up.

use crate::numbers;

/// Bytes of a token that differ from request to request: seconds since 1970, then a number.
pub(crate) const VARYING: usize = 17;

/// What comes before and after a token in a request; `wrk` calls `init` once it knows the host.
const AROUND: &str = r#"
local before, after
init = function()
  wrk.headers["Authorization"] = "Bearer @"
  local text = wrk.format()
  local at = string.find(text, "@", 1, true)
  before, after = string.sub(text, 1, at - 1), string.sub(text, at + 1)
end
"#;

fn kept(like: &str) -> &str {
    like.get(..like.len().saturating_sub(VARYING)).unwrap_or_default()
}

/// A token that nobody has sent before with each request.
pub(crate) fn fresh(like: &str) -> String {
    let kept = kept(like);
    format!(
        r#"{AROUND}
local n = 0
request = function()
  n = n + 1
  return before .. "{kept}" .. string.format("%d%07d", os.time(), n) .. after
end
"#
    )
}

/// That many tokens, one after the other from this number on, and then from the first again.
pub(crate) fn each(count: usize, from: usize, like: &str) -> String {
    let kept = kept(like);
    format!(
        r#"{AROUND}
local n = {from}
request = function()
  local token = "{kept}" .. string.format("%0{VARYING}d", n % {count})
  n = n + 1
  return before .. token .. after
end
"#
    )
}

/// Added to another: each connection waits so many milliseconds before each request.
pub(crate) fn pause(milliseconds: u32) -> String {
    format!("delay = function() return {milliseconds} end\n")
}

/// One of the users' tokens with each request, by Zipf's law, in an order that is always the same.
pub(crate) fn crowd(users: usize) -> String {
    let shares: Vec<String> = numbers::zipf(users).iter().map(f64::to_string).collect();
    format!(
        r#"{AROUND}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_token_keeps_its_length() {
        let token = crate::tokens::OPAQUE;
        let script = fresh(token);
        assert!(script.contains("\"2YotnFZFEjr1zCsicMWpAA.\""), "{script}");
        assert_eq!("2YotnFZFEjr1zCsicMWpAA.".len() + VARYING, token.len());
        let script = each(10, 7, token);
        assert!(script.contains("\"2YotnFZFEjr1zCsicMWpAA.\""), "{script}");
        assert!(
            script.contains("local n = 7\n")
                && script.contains("n % 10)")
                && script.contains("\"%017d\""),
            "{script}"
        );
    }

    #[test]
    fn the_crowd_is_drawn_by_its_shares() {
        let script = crowd(2);
        assert!(script.contains("local shares = {0.6666666666666666,1}"), "{script}");
    }
}
