//! Tables: aligned columns, no lines, as wide as they need to be, so that they can be cut and
//! grepped.

use comfy_table::{CellAlignment, Table};

/// A table of text; columns named in `right` are aligned to the right.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    right: &[&str],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.set_header(header);
    table.add_rows(rows);
    for (index, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if right.contains(name) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.load_style(comfy_table::presets::NOTHING);
    table.trim_fmt()
}
