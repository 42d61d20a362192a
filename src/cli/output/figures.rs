//! A JSON value as names and values of a table.

use serde_json::Value;

/// What tells apart the objects of a list.
const KEY: &str = "wanted_far";

/// Every value that is no list and no object, with the path to it: names joined by points. The two ends of an interval are
/// called `low` and `high`; texts of a list are one value; objects of a list have the name of their wanted rate, or their number. The `event` is left out.
pub(super) fn flat(value: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(value, String::new(), &mut found);
    found.retain(|(name, _)| name != "event");
    found
}

fn walk(value: &Value, path: String, found: &mut Vec<(String, String)>) {
    let inside = |name: &str| if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| walk(value, inside(name), found)),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            found.push((path, list.iter().map(text).collect::<Vec<_>>().join("; ")));
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                let name = match () {
                    () if path.ends_with("interval") && list.len() == 2 => ["low", "high"][at].to_string(),
                    () => value.get(KEY).map_or((at + 1).to_string(), text),
                };
                walk(value, inside(&name), found);
            }
        }
        value => found.push((path, text(value))),
    }
}

/// A plain value as a cell.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_value_has_a_name_of_its_own() {
        let value = json!({
            "event": "end", "accuracy": 0.5, "interval": [0.25, 0.75], "far": null,
            "val_at_far": [{ "wanted_far": 0.001, "val": 0.5 }], "thresholds": [1, 2],
            "left_out": [], "people": ["Ada", "Bob"], "published": [{ "who": "A" }, { "who": "A" }],
            "conditions": { "weights": "a, b" },
        });
        let found = flat(&value);
        let mut lines: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.sort();
        let expected = [
            "accuracy=0.5",
            "conditions.weights=a, b",
            "far=",
            "interval.high=0.75",
            "interval.low=0.25",
            "left_out=",
            "people=Ada; Bob",
            "published.1.who=A",
            "published.2.who=A",
            "thresholds.1=1",
            "thresholds.2=2",
            "val_at_far.0.001.val=0.5",
            "val_at_far.0.001.wanted_far=0.001",
        ];
        assert_eq!(lines, expected);
    }
}
