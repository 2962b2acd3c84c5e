//! The figures of a run, as a table and as JSON.

use serde_json::{Value, json};

use super::subjects::Kind;

#[derive(Default)]
pub(super) struct Report {
    rows: Vec<Row>,
}

struct Row {
    server: Kind,
    measure: String,
    shown: String,
    unit: &'static str,
    value: Value,
}

impl Report {
    /// Adds a figure and shows it at once.
    pub(super) fn add(
        &mut self,
        server: Kind,
        measure: impl Into<String>,
        shown: String,
        unit: &'static str,
        value: Value,
    ) {
        let measure = measure.into();
        println!("  {measure:48} {shown:>10} {unit}");
        self.rows.push(Row {
            server,
            measure,
            shown,
            unit,
            value,
        });
    }

    /// Adds a number, shown with two decimals.
    pub(super) fn number(
        &mut self,
        server: Kind,
        measure: impl Into<String>,
        number: f64,
        unit: &'static str,
    ) {
        self.add(server, measure, format!("{number:.2}"), unit, json!(number));
    }

    /// Shows all figures in Markdown.
    pub(super) fn print(&self) {
        println!("\n| server | measure | figure | unit |\n|---|---|---|---|");
        for row in &self.rows {
            println!(
                "| {:?} | {} | {} | {} |",
                row.server, row.measure, row.shown, row.unit
            );
        }
    }

    pub(super) fn to_json(&self) -> String {
        let rows: Vec<_> = self
            .rows
            .iter()
            .map(|row| json!({"server": format!("{:?}", row.server).to_lowercase(), "measure": row.measure, "value": row.value, "unit": row.unit}))
            .collect();
        serde_json::to_string_pretty(&rows).expect("these values are JSON already")
    }
}
