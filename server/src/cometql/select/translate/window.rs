//! OVER: which rows a window function sees.

use super::{Sql, Translator};
use crate::cometql::SqlError;
use crate::cometql::errors::{not_implemented, syntax};
use crate::cometql::parse::ast::{
    Expr, Value, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowType,
};

impl Translator {
    /// What stands in the parentheses of OVER.
    pub(super) fn window(&mut self, window: &WindowType) -> Sql {
        let spec = match window {
            WindowType::WindowSpec(spec) if spec.window_name.is_none() => spec,
            _ => return Err(not_implemented("WINDOW")),
        };
        let mut pieces = Vec::new();
        if !spec.partition_by.is_empty() {
            pieces.push(format!("PARTITION BY {}", self.list(&spec.partition_by)?));
        }
        if !spec.order_by.is_empty() {
            pieces.push(format!("ORDER BY {}", self.order_terms(&spec.order_by)?));
        }
        if let Some(frame) = &spec.window_frame {
            pieces.push(self.frame(frame)?);
        }
        Ok(pieces.join(" "))
    }

    fn frame(&mut self, frame: &WindowFrame) -> Sql {
        let units = match frame.units {
            WindowFrameUnits::Rows => "ROWS",
            WindowFrameUnits::Range => "RANGE",
            WindowFrameUnits::Groups => return Err(not_implemented("GROUPS")),
        };
        let start = self.bound(&frame.start_bound)?;
        Ok(match &frame.end_bound {
            Some(end) => format!("{units} BETWEEN {start} AND {}", self.bound(end)?),
            None => format!("{units} {start}"),
        })
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Sql {
        Ok(match bound {
            WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            WindowFrameBound::Preceding(None) => "UNBOUNDED PRECEDING".to_owned(),
            WindowFrameBound::Following(None) => "UNBOUNDED FOLLOWING".to_owned(),
            WindowFrameBound::Preceding(Some(count)) => {
                format!("{} PRECEDING", self.rows(count)?)
            }
            WindowFrameBound::Following(Some(count)) => {
                format!("{} FOLLOWING", self.rows(count)?)
            }
        })
    }

    /// A number of rows.
    fn rows(&mut self, count: &Expr) -> Result<String, SqlError> {
        match count {
            Expr::Value(value)
                if matches!(value.value, Value::Number(..) | Value::Placeholder(_)) =>
            {
                self.literal(value)
            }
            other => Err(syntax(format!("a window wants a number, near {other}"))),
        }
    }
}
