//! Bio pages: a page of blocks at an alias. What a block may hold is in [`blocks`], one type each; what a page looks like
//! in [`look`].
//!
//! A block's way out is an entry of its own (see [`crate::store::bio`]): the page's own links lead there, and a click is a
//! visit of that entry. So the proxy knows nothing of bio pages.

pub mod block;
pub mod blocks;
pub mod form;
pub mod icon;
pub mod look;
pub mod value;

pub use self::block::Block;
pub use self::look::Look;

/// Most bio pages of a workspace: each is rendered anew with every change.
pub const MAX_PAGES: i64 = 200;

/// Most blocks of a page, so that it is rendered within milliseconds and read within minutes.
pub const MAX_BLOCKS: usize = 100;

/// Longest payload of a block in bytes of JSON: a form with 30 fields of 30 options.
pub const MAX_PAYLOAD_BYTES: usize = 64 << 10;

/// Most ways out of a page, so that a change of all of them, and of the pictures, is one change of the feed.
pub const MAX_TARGETS: usize = 500;

/// Most pictures of a page. With [`MAX_TARGETS`] within what one change of the feed may touch.
pub const MAX_PICTURES: usize = 200;

/// What the slugs of ways out and pictures begin with: below `u/`, which owners cannot choose.
pub const PREFIX: &str = "u/bio/";

const _: () =
    assert!(MAX_TARGETS + MAX_PICTURES + MAX_BLOCKS < schemas::feed::MAX_LINKS_PER_CHANGE);
