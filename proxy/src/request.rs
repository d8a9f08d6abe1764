//! What a request asks for, borrowed.
