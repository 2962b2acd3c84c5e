//! Positions: what a subscription's answer means for a tab that stands somewhere, and whether a publication is new,
//! known, or shows that others are missing. Pure functions.

use super::incoming::Subscribed;
use crate::planted::planted;
use crate::wire::Position;

/// What a tab has seen of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing: it begins wherever the channel is.
    Fresh,
    /// Everything up to here.
    At(Position),
    /// Whatever came; the channel had no history then.
    Unknown,
}

/// What the answer to a subscription means for a tab.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It begins at the channel's position.
    Begins,
    /// All that it missed follows, or there was nothing.
    Recovered,
    /// It missed something that can't be had any more.
    Lost,
    /// The server must be asked with this position.
    Ask(Position),
}

/// Judges a tab's place after an answer to a subscription that asked for all `since`.
pub(super) fn judge(place: Place, since: Option<Position>, answer: &Subscribed) -> Verdict {
    let at = match place {
        Place::Fresh => return Verdict::Begins,
        Place::Unknown => return Verdict::Lost,
        Place::At(at) => at,
    };
    let Some(now) = answer.position else {
        return Verdict::Lost;
    };
    if at.epoch != now.epoch || at.offset > now.offset {
        return Verdict::Lost;
    }
    if at.offset == now.offset {
        return Verdict::Recovered;
    }
    match since.filter(|since| since.epoch == at.epoch) {
        Some(since) if answer.recovered && since.offset <= at.offset => Verdict::Recovered,
        Some(since) if !answer.recovered && at.offset <= since.offset => Verdict::Lost,
        _ => Verdict::Ask(at),
    }
}

/// The position to ask for: the lowest, so that what follows is enough for all. Of two epochs one is over, and the answer
/// tells which.
pub(super) fn lowest(places: impl Iterator<Item = Place>) -> Option<Position> {
    let positions = places.filter_map(|place| match place {
        Place::At(position) => Some(position),
        Place::Fresh | Place::Unknown => None,
    });
    positions.min_by_key(|position| position.offset)
}

/// What a publication is to who has seen everything up to an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The next one.
    Next,
    /// Seen already.
    Known,
    /// Others before it are missing.
    Gap,
}

/// Compares a publication's offset and the one before it with the last one seen.
pub(super) fn news(seen: u64, offset: u64, previous: u64) -> News {
    if offset <= seen {
        News::Known
    } else if previous > seen && !planted("client-misses-gaps") {
        News::Gap
    } else {
        News::Next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Epoch;

    fn at(epoch: u64, offset: u64) -> Position {
        let epoch = Epoch(epoch);
        Position { epoch, offset }
    }

    fn answer(position: Option<Position>, recovered: bool) -> Subscribed {
        Subscribed {
            position,
            recovered,
            replayed: 0,
        }
    }

    #[test]
    fn verdicts() {
        #[track_caller]
        fn check(place: Place, since: Option<Position>, told: Subscribed, expected: Verdict) {
            assert_eq!(
                judge(place, since, &told),
                expected,
                "{place:?} {since:?} {told:?}"
            );
        }
        let now = |recovered| answer(Some(at(1, 9)), recovered);
        let place = |offset| Place::At(at(1, offset));
        let since = |offset| Some(at(1, offset));
        check(Place::Fresh, None, now(false), Verdict::Begins);
        check(Place::Fresh, since(4), now(true), Verdict::Begins);
        check(Place::Unknown, None, now(false), Verdict::Lost);
        check(place(4), since(4), now(true), Verdict::Recovered);
        check(place(6), since(4), now(true), Verdict::Recovered);
        check(place(2), since(4), now(true), Verdict::Ask(at(1, 2)));
        check(place(4), since(4), now(false), Verdict::Lost);
        check(place(2), since(4), now(false), Verdict::Lost);
        check(place(6), since(4), now(false), Verdict::Ask(at(1, 6)));
        // Nothing came since: it does not matter what was asked.
        check(place(9), since(4), now(false), Verdict::Recovered);
        check(place(9), None, now(false), Verdict::Recovered);
        check(place(4), None, now(false), Verdict::Ask(at(1, 4)));
        // Another life of the history, or none.
        check(Place::At(at(2, 9)), since(4), now(true), Verdict::Lost);
        check(place(10), since(4), now(true), Verdict::Lost);
        check(place(4), since(4), answer(None, false), Verdict::Lost);
    }

    #[test]
    fn publications() {
        #[track_caller]
        fn check(offset: u64, previous: u64, expected: News) {
            assert_eq!(
                news(5, offset, previous),
                expected,
                "{offset} after {previous}"
            );
        }
        check(6, 5, News::Next);
        check(5, 4, News::Known);
        check(7, 6, News::Gap);
        // Several were replaced by their latest.
        check(9, 5, News::Next);
        check(9, 3, News::Next);
    }

    #[test]
    fn the_lowest_is_enough_for_all() {
        let places = [Place::Fresh, Place::At(at(1, 7)), Place::At(at(1, 3))];
        assert_eq!(lowest(places.into_iter()), Some(at(1, 3)));
        assert_eq!(lowest([Place::Unknown].into_iter()), None);
    }
}
