//! The events of the model's world, and their encoding in four bytes.

use super::ending::{ENDINGS, Ending, OUTAGES};
use super::request::{Region, Who};
use super::{MOST_SETUPS, WORKERS};

/// An event. Workers and instances are numbered from 0; of calls, streams and places 0 is the
/// newest or last, 1 the one before. Calls and streams of the hostile caller are counted
/// separately, so that without it everything else has the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is what its type or name says")]
pub enum Event {
    /// A request arrives at an instance.
    Admit { worker: u8, setup: u8, who: Who, region: Region },
    /// A call ends, also one that ended before.
    Answer(u8, Ending),
    /// The same for a call about a token of the hostile caller.
    AnswerStranger(u8, Ending),
    /// A probe ends, also one that ended before.
    AnswerProbe(u8, Ending),
    /// A request is gone, also one that had its decision; its number is free again.
    Gone { worker: u8, back: u8 },
    /// The same for a request of the hostile caller.
    HostileGone { worker: u8, back: u8 },
    /// That many milliseconds pass.
    Wait(u16),
    /// The wall clock is set, by that many seconds.
    SetDate(i8),
    /// The host's timer fires.
    Tick(u8),
    /// Time passes until a call is due that nothing but time leads to, and the timer fires.
    Due(u8),
    /// An instance is configured again, with the same text.
    Configure { worker: u8, setup: u8 },
    /// An instance is at work no more, until a request comes to it again.
    Retire { worker: u8, setup: u8 },
    /// A shared value is damaged: an odd number flips a bit, an even one cuts it there.
    Damage { place: u8, at: u8 },
    /// A shared value is written over another.
    Misplace { from: u8, to: u8 },
}

impl Event {
    /// The event of four bytes. Every value has one.
    pub fn of([kind, a, b, c]: [u8; 4]) -> Event {
        let worker = a % WORKERS as u8;
        // Often those that have breakers and bridge outages.
        let setup = match (a >> 1) % 16 {
            setup if usize::from(setup) < MOST_SETUPS => setup,
            other => 6 + other % 2,
        };
        let region = match c % 16 {
            0..9 => Region::Absent,
            9..14 => Region::Fr,
            14 => Region::De,
            _ => Region::Unknown,
        };
        let ending = match usize::from(b) {
            // Mostly what may be kept, and outages.
            b if b < 84 => ENDINGS[b % 15],
            b if b < 180 => OUTAGES[b % OUTAGES.len()],
            b => ENDINGS[b % ENDINGS.len()],
        };
        match kind % 32 {
            0..11 => {
                let who = match b % 16 {
                    0..9 => Who::Token(0),
                    9..11 => Who::Token(1),
                    11..13 => Who::Token(2),
                    13 => Who::Preflight,
                    14 => Who::Nobody,
                    _ => Who::Malformed,
                };
                Event::Admit { worker, setup, who, region }
            }
            11..13 => Event::Admit { worker, setup, who: Who::Hostile(b), region },
            13..19 => Event::Answer(c % 8 / 2, ending),
            19 => Event::AnswerStranger(c % 8 / 2, ending),
            20 if c < 128 => Event::AnswerProbe(c % 4 / 2, ending),
            20 => Event::Tick(worker),
            21 if c < 192 => Event::Gone { worker, back: b % 8 },
            21 => Event::HostileGone { worker, back: b % 8 },
            22 | 23 => Event::Due(worker),
            // Often short: most shared and cached data have a short lifetime.
            24..27 => Event::Wait(u16::from_le_bytes([a, b]) % if c < 128 { 100 } else { 2_200 }),
            27 => Event::SetDate(a.cast_signed() % 5),
            28 => Event::Tick(worker),
            29 if b < 128 => Event::Configure { worker, setup },
            29 => Event::Retire { worker, setup },
            30 => Event::Damage { place: a % 8, at: b },
            _ => Event::Misplace { from: a % 8, to: b % 8 },
        }
    }

    /// The event of the hostile caller for four bytes.
    pub fn of_hostile([kind, a, b, c]: [u8; 4]) -> Event {
        Event::of([[11, 19, 12, 19, 11, 19, 12, 21][usize::from(kind % 8)], a, b, c | 192])
    }

    /// The events of a text, four bytes each; remaining bytes are ignored.
    pub fn all_of(text: &[u8]) -> Vec<Event> {
        text.as_chunks().0.iter().map(|bytes| Event::of(*bytes)).collect()
    }

    /// Whether it is an event of the hostile caller, or of one of its calls.
    pub fn is_hostile(self) -> bool {
        matches!(
            self,
            Event::Admit { who: Who::Hostile(_), .. }
                | Event::AnswerStranger(..)
                | Event::HostileGone { .. }
        )
    }
}
