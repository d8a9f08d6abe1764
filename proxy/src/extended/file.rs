//! Requests for stored files: conditions, ranges, and which of them is a download.
//!
//! A download is counted when its first byte is asked for. A request for a later part goes on with one that was counted
//! before, so it is not counted, and spends nothing of a click limit. Where there is a limit it must prove that: `If-Range`
//! has to name the file's entity tag, which is the hash of its bytes and is shown only to who is sent some. Without that
//! proof a part is a download like any other.
//!
//! Programs are sent the bytes as people are, and so spend a download where they are limited; unfurlers see the preview.

use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{Method, StatusCode};
use schemas::link::view::{File, Target, View};

use super::reply::{Reply, matches_any};
use super::{Granted, Stop, Wait, Walk};
use crate::answer::Kind;
use crate::files::Wanted;
use crate::files::range::{self, Part};

impl<'a> Walk<'_, 'a> {
    /// Whether this asks for more of a download that was counted.
    pub(super) fn continues(&self, view: &View<'_>) -> bool {
        let Some(Target::File(file)) = view.target() else {
            return false;
        };
        let is_proved = || !self.asked.head.header(&IF_RANGE).is_empty();
        matches!(self.part(&file), Part::Bytes(range) if range.start > 0)
            && (view.click_limit.is_none() || is_proved())
    }

    /// The part that is wanted. `If-Range` with another tag makes it the whole.
    fn part(&self, file: &File<'_>) -> Part {
        let head = &self.asked.head;
        if head.method != Method::GET {
            return Part::Whole;
        }
        let tag = quoted(file);
        range::part(head.header(&RANGE), head.header(&IF_RANGE), &tag, file.size)
    }

    /// The answer of a file.
    pub(super) fn file(
        &self,
        file: &File<'a>,
        view: &View<'a>,
        granted: &Granted,
    ) -> Result<Reply, Stop<'a>> {
        let head = &self.asked.head;
        let tag = quoted(file);
        let is_head = head.method == Method::HEAD;
        // Whoever knows it has had the bytes, and may go on with them: not for those who only look.
        let shown = |reply: Reply| match view.click_limit {
            None => reply.tagged(&tag),
            Some(_) => reply,
        };
        if head.method != Method::POST && matches_any(head.header(&IF_NONE_MATCH), &tag) {
            return Ok(shown(Reply::file(file, StatusCode::NOT_MODIFIED, None)).uncounted());
        }
        let (range, status) = match self.part(file) {
            Part::Whole => (0..file.size, StatusCode::OK),
            Part::Bytes(range) => (range, StatusCode::PARTIAL_CONTENT),
            Part::Unsatisfiable => {
                let reply = Reply::file(file, StatusCode::RANGE_NOT_SATISFIABLE, None);
                return Ok(shown(reply).uncounted());
            }
        };
        let reply = Reply::file(file, status, Some(range.clone()));
        if is_head {
            return Ok(shown(reply));
        }
        let mut hash = [0; 32];
        let key = std::str::from_utf8(file.key).map_err(|_| Kind::BodyMissing)?;
        hex::decode_to_slice(file.etag, &mut hash).map_err(|_| Kind::BodyMissing)?;
        let wanted = Wanted {
            key: key.into(),
            hash,
            size: file.size,
            range,
        };
        if !granted.has_opened(&wanted) {
            return Err(Stop::Wait(Wait::File(wanted)));
        }
        let reply = reply.tagged(&tag).sending();
        Ok(if self.continues(view) {
            reply.uncounted()
        } else {
            reply
        })
    }
}

/// The entity tag as it stands in a header.
fn quoted(file: &File<'_>) -> Vec<u8> {
    [b"\"", file.etag, b"\""].concat()
}
