//! What rdkafka's own accessors cannot be asked for: they panic when foreign bytes are not UTF-8, and anybody may commit
//! metadata or write a header.
#![allow(
    unsafe_code,
    reason = "reads two lists of librdkafka's that have no accessor without a panic"
)]

use std::ffi::CStr;

use rdkafka::bindings::{
    rd_kafka_header_get_last, rd_kafka_headers_t, rd_kafka_message_headers, rd_kafka_resp_err_t,
};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// Longest metadata or header looked at, in bytes: the broker's own limit for metadata is 4,096.
const MAX_BYTES: usize = 64 << 10;

/// One partition of a list of committed offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The partition.
    pub partition: i32,
    /// The offset; `None` when nothing is committed.
    pub offset: Option<u64>,
    /// What stands beside it.
    pub metadata: Vec<u8>,
    /// Whether the broker could not tell, by its error code.
    pub failed: Option<i32>,
}

/// The entries of a list, with metadata as it is.
pub fn committed(list: &TopicPartitionList) -> Vec<Committed> {
    let native = list.ptr();
    // SAFETY: the list owns `cnt` elements at `elems` and lives as long as the borrow; nothing else writes to it. An
    // element's metadata is `metadata_size` bytes, or null.
    let elements = unsafe {
        let count = usize::try_from((*native).cnt).unwrap_or(0);
        if count == 0 {
            return Vec::new();
        }
        std::slice::from_raw_parts((*native).elems, count)
    };
    elements
        .iter()
        .map(|element| {
            let length = element.metadata_size.min(MAX_BYTES);
            let metadata = if element.metadata.is_null() || length == 0 {
                Vec::new()
            } else {
                // SAFETY: as above; `length` is at most `metadata_size`.
                unsafe {
                    std::slice::from_raw_parts(element.metadata.cast::<u8>(), length).to_vec()
                }
            };
            Committed {
                partition: element.partition,
                offset: match Offset::from_raw(element.offset) {
                    Offset::Offset(offset) => u64::try_from(offset).ok(),
                    _ => None,
                },
                metadata,
                failed: (element.err != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR)
                    .then_some(element.err as i32),
            }
        })
        .collect()
}

/// The last header of a message with this name.
pub fn header(message: &BorrowedMessage<'_>, name: &CStr) -> Option<Vec<u8>> {
    let mut headers: *mut rd_kafka_headers_t = std::ptr::null_mut();
    let mut value = std::ptr::null();
    let mut size = 0;
    // SAFETY: the message is borrowed; its headers belong to it and live as long. `value` points into them.
    unsafe {
        if rd_kafka_message_headers(message.ptr(), &mut headers)
            != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            || rd_kafka_header_get_last(headers, name.as_ptr(), &mut value, &mut size)
                != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
            || value.is_null()
        {
            return None;
        }
        Some(std::slice::from_raw_parts(value.cast::<u8>(), size.min(MAX_BYTES)).to_vec())
    }
}
