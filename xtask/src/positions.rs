//! Where a browser stands in its channels, and whether what comes goes on from there.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

/// Where one stands in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    epoch: String,
    offset: u64,
}

/// By channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Positions(BTreeMap<String, Position>);

impl Positions {
    /// Nothing is subscribed to yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a `subscribe` request says: with the position, if there is one.
    pub(crate) fn request(&self, channel: &str) -> Value {
        match self.0.get(channel) {
            None => json!(channel),
            Some(Position { epoch, offset }) => {
                json!({"channel": channel, "epoch": epoch, "offset": offset})
            }
        }
    }

    /// Takes a `subscribed` reply; returns whether it recovered a position. One that is not recovered is an error.
    pub(crate) fn subscribed(&mut self, reply: &Value) -> anyhow::Result<bool> {
        let channel = reply["channel"].as_str().context("a channel")?;
        let epoch = reply["epoch"].as_str().context("an epoch")?;
        if let Some(position) = self.0.get(channel) {
            let kept = reply["recovered"] == true && position.epoch == epoch;
            ensure!(kept, "{reply} in answer to {position:?}");
            return Ok(true);
        }
        let offset = reply["offset"].as_u64().context("an offset")?;
        let epoch = epoch.to_owned();
        self.0
            .insert(channel.to_owned(), Position { epoch, offset });
        Ok(false)
    }

    /// What a `history` request says: all since the position.
    pub(crate) fn history(&self, channel: &str) -> anyhow::Result<Value> {
        let Position { epoch, offset } = self.0.get(channel).context("not subscribed")?;
        Ok(json!({"channel": channel, "epoch": epoch, "offset": offset, "limit": u32::MAX}))
    }

    /// Takes a `history` reply: offsets and texts since the position, which is behind them from now on. Something that was never
    /// kept may be missing between them.
    pub(crate) fn kept(&mut self, reply: &Value) -> anyhow::Result<Vec<(u64, String)>> {
        let channel = reply["channel"].as_str().context("a channel")?;
        let position = self.0.get_mut(channel).context("not subscribed")?;
        ensure!(reply["epoch"] == position.epoch, "{reply} at {position:?}");
        let mut rows = Vec::new();
        for publication in reply["publications"].as_array().context("a list")? {
            let offset = publication["offset"].as_u64().context("an offset")?;
            ensure!(
                offset > position.offset,
                "{publication} came at {position:?}"
            );
            let text = publication["data"].as_str().context("a text")?;
            rows.push((offset, text.to_owned()));
            position.offset = offset;
        }
        let end = reply["offset"].as_u64().context("an offset")?;
        position.offset = position.offset.max(end);
        Ok(rows)
    }

    /// Whether something is missing before this publication, so that one has to ask again. What was seen already is an error.
    pub(crate) fn is_gap(&self, push: &Value) -> anyhow::Result<bool> {
        let channel = push["channel"].as_str().context("a channel")?;
        let position = self.0.get(channel).context("not subscribed")?;
        let offset = push["offset"].as_u64().context("an offset")?;
        ensure!(offset > position.offset, "{push} came at {position:?}");
        Ok(push["previous"] != position.offset)
    }

    /// Takes a publication; returns its channel and offset. One that does not follow the last one is an error.
    pub(crate) fn publication<'a>(&mut self, push: &'a Value) -> anyhow::Result<(&'a str, u64)> {
        let channel = push["channel"].as_str().context("a channel")?;
        let position = self.0.get_mut(channel).context("not subscribed")?;
        let offset = push["offset"].as_u64().context("an offset")?;
        ensure!(
            offset > position.offset && push["previous"] == position.offset,
            "{push} came at {position:?}"
        );
        position.offset = offset;
        Ok((channel, offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_doubles_and_refused_positions_are_errors() {
        let mut positions = Positions::default();
        let subscribed = |epoch: &str, offset: u64, recovered: bool| json!({"channel": "a", "epoch": epoch, "offset": offset, "recovered": recovered});
        let push = |previous: u64, offset: u64| json!({"channel": "a", "previous": previous, "offset": offset});
        assert_eq!(positions.request("a"), json!("a"));
        assert!(!positions.subscribed(&subscribed("x", 4, false)).unwrap());
        assert_eq!(positions.publication(&push(4, 5)).unwrap(), ("a", 5));
        assert!(positions.publication(&push(4, 5)).is_err(), "twice");
        assert!(positions.publication(&push(6, 7)).is_err(), "a gap");
        let wanted = json!({"channel": "a", "epoch": "x", "offset": 5});
        assert_eq!(positions.request("a"), wanted);
        assert!(positions.subscribed(&subscribed("x", 9, true)).unwrap());
        assert!(positions.subscribed(&subscribed("x", 9, false)).is_err());
        assert!(positions.subscribed(&subscribed("y", 9, true)).is_err());
    }

    #[test]
    fn what_is_kept_goes_on_from_the_position() {
        let mut positions = Positions::default();
        let subscribed = json!({"channel": "a", "epoch": "x", "offset": 4});
        positions.subscribed(&subscribed).unwrap();
        let row = |offset: u64| json!({"offset": offset, "data": offset.to_string()});
        let reply = |rows: &[Value]| json!({"channel": "a", "epoch": "x", "offset": 9, "publications": rows});
        let kept = positions.kept(&reply(&[row(6), row(7)])).unwrap();
        assert_eq!(kept, [(6, "6".to_owned()), (7, "7".to_owned())]);
        assert_eq!(positions.request("a")["offset"], 9);
        assert!(positions.kept(&reply(&[row(9)])).is_err(), "twice");
    }
}
