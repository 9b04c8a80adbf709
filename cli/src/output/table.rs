//! Columns without borders, three spaces apart, as Docker prints them.

use comfy_table::{Table, presets};

use super::plain;

/// The rows under `header`, without a final newline.
pub(crate) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = empty();
    table.set_header(header);
    fill(table, rows)
}

/// Rows without a header.
pub(crate) fn rows<const N: usize>(rows: Vec<[String; N]>) -> String {
    fill(empty(), rows)
}

fn empty() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table
}

fn fill<const N: usize>(mut table: Table, rows: Vec<[String; N]>) -> String {
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned<const N: usize>(row: [&str; N]) -> [String; N] {
        row.map(str::to_owned)
    }

    #[test]
    fn columns_are_three_apart_and_lines_end_at_their_text() {
        let text = table(["NAME", "ID"], vec![owned(["a-long-name", "1"]), owned(["b", ""])]);
        assert_eq!(text, "NAME          ID\na-long-name   1\nb");
    }

    #[test]
    fn a_cell_cannot_break_its_line() {
        assert_eq!(rows(vec![owned(["a\nb\x1b[1m", "c"])]), "a\\nb\\u{1b}[1m   c");
    }

    #[test]
    fn long_cells_are_not_wrapped() {
        let long = "x".repeat(500);
        assert_eq!(rows(vec![[long.clone()]]), long);
    }

    #[test]
    fn no_rows_leave_the_header() {
        assert_eq!(table(["NAME", "ID"], vec![]), "NAME   ID");
    }
}
