//! What a block of a bio page may be, written into the document: one of the types there are, each with the fields of its
//! payload, as the payload's own type describes them.

use serde_json::{Value, json};

use crate::domain::bio::Block;

/// Makes the request that adds a block one of all types. Until then its schema is what they have in common.
pub(super) fn complete(document: &mut Value) {
    let schemas = &mut document["components"]["schemas"];
    let common = schemas["BlockRequest"].take();
    let kinds = Block::kinds().into_iter().map(|kind| {
        let mut one = schemas[&kind.schema].clone();
        one["title"] = format!("{} block", kind.name).into();
        let properties = &mut one["properties"];
        for name in ["type", "position"] {
            properties[name] = common["properties"][name].clone();
        }
        properties["type"]["enum"] = json!([kind.name]);
        let mut required = vec!["type".to_owned()];
        required.extend(kind.required);
        one["required"] = required.into();
        let mut example = Block::example(kind.name);
        example["type"] = kind.name.into();
        one["example"] = example;
        one
    });
    let kinds: Vec<Value> = kinds.collect();
    schemas["BlockRequest"] = json!({"description": common["description"], "oneOf": kinds});
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_has_a_field_of_what_all_have_in_common() {
        for kind in Block::kinds() {
            for name in ["type", "position"] {
                let is_own = kind
                    .required
                    .iter()
                    .chain(&kind.optional)
                    .any(|n| n == name);
                assert!(!is_own, "{} of {}", name, kind.name);
            }
        }
    }
}
