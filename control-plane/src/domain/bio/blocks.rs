//! What blocks hold: one type each, in files by family. A type is a `struct` here and a line in [`super::block`]; how it
//! looks is in `crate::render::bio`.

pub mod contact;
pub mod forms;
pub mod links;
pub mod media;
pub mod offers;
pub mod social;
pub mod texts;
pub mod times;

/// Structs of payloads: `need` must be there, of `list` at least one, `may` can be absent or blank, `flags` are no unless
/// they are yes.
macro_rules! payloads {
    ($($(#[$doc:meta])* $name:ident {
        $(need { $($(#[$need_doc:meta])* $need:ident: $need_type:ty),+ $(,)? })?
        $(list { $($(#[$list_doc:meta])* $list:ident: $list_type:ty),+ $(,)? })?
        $(may { $($(#[$may_doc:meta])* $may:ident: $may_type:ty),+ $(,)? })?
        $(lists { $($(#[$lists_doc:meta])* $lists:ident: $lists_type:ty),+ $(,)? })?
        $(flags { $($(#[$flag_doc:meta])* $flag:ident),+ $(,)? })?
    })*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[schema(as = bio::$name)]
        pub struct $name {
            $($($(#[$need_doc])* pub $need: $need_type,)+)?
            $($(
                $(#[$list_doc])*

                #[serde(deserialize_with = "crate::domain::bio::value::list")]
                #[schema(min_items = 1, max_items = 30)]
                pub $list: Vec<$list_type>,
            )+)?
            $($(
                $(#[$may_doc])*

                #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::domain::bio::value::blank")]
                pub $may: Option<$may_type>,
            )+)?
            $($(
                $(#[$lists_doc])*

                #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::domain::bio::value::maybe_list")]
                #[schema(max_items = 30)]
                pub $lists: Vec<$lists_type>,
            )+)?
            $($(
                $(#[$flag_doc])*

                #[serde(default, deserialize_with = "crate::domain::bio::value::yes_no")]
                pub $flag: bool,
            )+)?
        }
    )* };
}
pub(crate) use payloads;
