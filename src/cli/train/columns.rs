//! Lines of columns that a terminal does not wrap.

use console::Term;

/// Columns side by side, as many as fit into the width of `terminal`; all of them if the output is not a terminal.
pub(super) fn fitted(columns: &[String], terminal: &Term) -> String {
    within(columns, terminal.size_checked().map(|(_, width)| usize::from(width)))
}

fn within(columns: &[String], width: Option<usize>) -> String {
    let mut line = String::new();
    for column in columns.iter().filter(|column| !column.is_empty()) {
        let gap = if line.is_empty() { "" } else { "  " };
        let needed = line.chars().count() + gap.len() + column.chars().count();
        if !line.is_empty() && width.is_some_and(|width| needed > width) {
            break;
        }
        line += gap;
        line += column;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_do_not_fit_are_left_out_from_the_right() {
        let columns = ["epoch 1/2", "", "loss 0.1", "±wide"].map(ToString::to_string);
        assert_eq!(within(&columns, None), "epoch 1/2  loss 0.1  ±wide");
        assert_eq!(within(&columns, Some(26)), "epoch 1/2  loss 0.1  ±wide");
        assert_eq!(within(&columns, Some(25)), "epoch 1/2  loss 0.1");
        assert_eq!(within(&columns, Some(3)), "epoch 1/2", "the first stays");
    }
}
