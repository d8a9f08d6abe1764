//! The engine's C interface, and the only file with `unsafe` in this crate.
//!
//! `libchdb.so` is loaded with dlopen and never unloaded: it starts threads and registers exit handlers of its own, so
//! its code must stay mapped until the process ends. The declarations below are ours, written from the published
//! interface of chDB 26.7; a library that lacks one of them is refused by name when it is loaded.
//!
//! What holds for every call, and what the safe types here enforce:
//! - a connection runs one statement at a time: everything that runs one takes `&mut Connection`, and a running stream
//!   keeps it borrowed;
//! - any thread may call, one at a time per connection: `Connection` is `Send` and not `Sync`;
//! - every result is destroyed once, an unfinished stream is cancelled first: `Drop`;
//! - nothing here knows SQL, limits or HTTP.
//!
//! Longer than a file should be, because all that is unsafe stays in one.
#![allow(unsafe_code, reason = "the engine is a C library loaded at run time")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::ptr::NonNull;

/// A `chdb_connection *`: what `chdb_connect` gives and `chdb_close_conn` takes.
type ConnectionSlot = *mut *mut c_void;
/// A `chdb_result *`.
type ResultPtr = *mut c_void;
/// A `chdb_insert_stream`.
type InsertPtr = *mut c_void;

/// `chdb_state` of a call that went well.
const SUCCESS: c_int = 0;

/// The report of `chdb_classify_query_n`, first version.
#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

unsafe extern "C" {
    /// glibc's `on_exit(3)`.
    fn on_exit(handler: extern "C" fn(c_int, *mut c_void), argument: *mut c_void) -> c_int;
    /// `_exit(2)`.
    fn _exit(status: c_int) -> !;
}

/// Ends the process with its status and runs no handler that was registered before.
extern "C" fn end_now(status: c_int, _: *mut c_void) {
    // SAFETY: the process is about to end; nothing of it is used any more.
    unsafe { _exit(status) }
}

/// Keeps the exit handlers that the library has registered by now from running.
///
/// They destroy what its threads still use: a process that ends without having closed the engine died of SIGSEGV in them,
/// and its exit status was lost (seen in about one of three runs). Handlers run last in, first out, so one of ours that is
/// registered later ends the process first. The library registers them when it is loaded, more when the engine starts,
/// and one now and then when a function of it runs for the first time; hence a call after each of the first two and one
/// at the end. What must be on disk is synced by then; the rest recovers at the next start, as after `kill -9`.
pub(super) fn skip_its_exit_handlers() {
    // SAFETY: the handler is a function that lives as long as the process and does not use its argument.
    let registered = unsafe { on_exit(end_now, std::ptr::null_mut()) };
    if registered != 0 {
        tracing::warn!(
            "cannot register an exit handler; the end of the process may look like a crash"
        );
    }
}

macro_rules! functions {
    ($($field:ident: $symbol:literal = fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions we use.
        #[derive(Debug)]
        pub(super) struct Library {
            $($field: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }

        impl Library {
            /// Loads the library for the rest of the process.
            ///
            /// # Errors
            /// The loader's text, or the name of a function that the library lacks.
            pub(super) fn load(path: &Path) -> Result<&'static Self, String> {
                // SAFETY: loading runs the library's initialisers; this one is made to be loaded into a foreign process,
                // and we are about to trust it with the data anyway.
                let library = unsafe { libloading::Library::new(path) }.map_err(|e| e.to_string())?;
                let functions = Self {
                    $($field: {
                        // SAFETY: the type is the one that chDB publishes for this symbol.
                        let symbol = unsafe {
                            library.get::<unsafe extern "C" fn($($arg),*) $(-> $ret)?>(concat!($symbol, "\0").as_bytes())
                        };
                        *symbol.map_err(|_| concat!("it has no function ", $symbol).to_owned())?
                    },)*
                };
                skip_its_exit_handlers();
                // Never unloaded, see the module's documentation; so the copied pointers stay valid.
                std::mem::forget(library);
                Ok(Box::leak(Box::new(functions)))
            }
        }
    };
}

functions! {
    signal_handlers: "chdb_set_signal_handlers_enabled" = fn(c_int);
    shutdown: "chdb_shutdown" = fn() -> c_int;
    connect: "chdb_connect" = fn(c_int, *mut *mut c_char) -> ConnectionSlot;
    close: "chdb_close_conn" = fn(ConnectionSlot);
    query: "chdb_query_with_params_n" = fn(
        *mut c_void, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> ResultPtr;
    stream: "chdb_stream_query_with_params_n" = fn(
        *mut c_void, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> ResultPtr;
    fetch: "chdb_stream_fetch_result" = fn(*mut c_void, ResultPtr) -> ResultPtr;
    cancel_stream: "chdb_stream_cancel_query" = fn(*mut c_void, ResultPtr);
    destroy_result: "chdb_destroy_query_result" = fn(ResultPtr);
    insert: "chdb_stream_insert_with_params_n" = fn(
        *mut c_void, *const c_char, usize, *const c_char, usize,
        *const *const c_char, *const usize, *const *const c_char, *const usize, usize
    ) -> InsertPtr;
    append: "chdb_stream_append" = fn(InsertPtr, *const c_void, usize) -> c_int;
    done: "chdb_stream_done" = fn(InsertPtr) -> ResultPtr;
    insert_error: "chdb_stream_insert_error" = fn(InsertPtr) -> *const c_char;
    destroy_insert: "chdb_destroy_insert_stream" = fn(InsertPtr);
    buffer: "chdb_result_buffer" = fn(ResultPtr) -> *mut c_char;
    length: "chdb_result_length" = fn(ResultPtr) -> usize;
    error: "chdb_result_error" = fn(ResultPtr) -> *const c_char;
    result_rows: "chdb_result_rows_read" = fn(ResultPtr) -> u64;
    read_rows: "chdb_result_storage_rows_read" = fn(ResultPtr) -> u64;
    read_bytes: "chdb_result_storage_bytes_read" = fn(ResultPtr) -> u64;
    written_rows: "chdb_result_rows_written" = fn(ResultPtr) -> u64;
    written_bytes: "chdb_result_bytes_written" = fn(ResultPtr) -> u64;
    classify: "chdb_classify_query_n" = fn(
        *mut c_void, *const c_char, usize, *const c_char, usize, *mut RawAnalysis
    ) -> c_int;
}

impl Library {
    /// The process' signals are ours, not the engine's. Before the first connection.
    pub(super) fn leave_signals_alone(&self) {
        // SAFETY: sets a flag.
        unsafe { (self.signal_handlers)(0) }
    }

    /// Joins the engine's threads, for ever. `false` if it refuses: a connection is
    /// open, or (seen, undocumented) a MergeTree table was used, even if detached or dropped since.
    pub(super) fn shut_down(&self) -> bool {
        // SAFETY: may be called from any thread and more than once.
        unsafe { (self.shutdown)() == SUCCESS }
    }

    /// Opens a connection; the first one starts the engine with these arguments (the program's name left out).
    /// `None`: refused; the engine wrote why to standard error.
    pub(super) fn connect(&'static self, args: &[CString]) -> Option<Connection> {
        let mut argv: Vec<*mut c_char> = std::iter::once(c"clickhouse".as_ptr())
            .chain(args.iter().map(|a| a.as_ptr()))
            .map(<*const c_char>::cast_mut)
            .collect();
        let argc = c_int::try_from(argv.len()).ok()?;
        // SAFETY: `argc` valid C strings that outlive the call; the engine copies and does not write to them.
        let slot = unsafe { (self.connect)(argc, argv.as_mut_ptr()) };
        let slot = NonNull::new(slot)?;
        // SAFETY: a non-null answer points to the connection's handle.
        let handle = NonNull::new(unsafe { slot.as_ptr().read() })?;
        Some(Connection {
            library: self,
            slot,
            handle,
            _not_sync: PhantomData,
        })
    }

    fn error_of(&self, result: ResultPtr) -> Option<String> {
        // SAFETY: a live result (or null, which the library takes); the text lives as long as the result.
        unsafe { text((self.error)(result)) }
    }
}

/// # Safety
/// Null or a C string that stays valid during the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    // SAFETY: by the function's own contract.
    (!pointer.is_null()).then(|| {
        unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned()
    })
}

/// A session in the engine. Settings and the current database stay until it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    library: &'static Library,
    slot: NonNull<*mut c_void>,
    handle: NonNull<c_void>,
    /// One call at a time.
    _not_sync: PhantomData<std::cell::Cell<()>>,
}

// SAFETY: the library ties a connection to no thread; it asks for one call at a time, which `&mut self` gives.
unsafe impl Send for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: `slot` came from `connect` and is closed once; nothing borrows the connection any more.
        unsafe { (self.library.close)(self.slot.as_ptr()) }
    }
}

/// Named values for `{name:Type}` in a query, bound by the engine and never put into the text.
pub(crate) type Params = [(String, String)];

/// Parameters as the library wants them: parallel arrays of pointers and lengths that borrow from [`Params`].
struct RawParams {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl RawParams {
    fn new(params: &Params) -> Self {
        Self {
            names: params.iter().map(|(n, _)| n.as_ptr().cast()).collect(),
            name_lengths: params.iter().map(|(n, _)| n.len()).collect(),
            values: params.iter().map(|(_, v)| v.as_ptr().cast()).collect(),
            value_lengths: params.iter().map(|(_, v)| v.len()).collect(),
        }
    }
}

/// What a statement did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) read_rows: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_rows: u64,
    pub(crate) written_bytes: u64,
    pub(crate) result_rows: u64,
}

impl Progress {
    pub(crate) fn add(&mut self, other: Self) {
        self.read_rows += other.read_rows;
        self.read_bytes += other.read_bytes;
        self.written_rows += other.written_rows;
        self.written_bytes += other.written_bytes;
        self.result_rows += other.result_rows;
    }
}

/// A finished statement, or one piece of a stream.
pub(crate) struct Output {
    library: &'static Library,
    result: NonNull<c_void>,
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { (self.library.destroy_result)(self.result.as_ptr()) }
    }
}

impl Output {
    /// Takes a result over; the engine's error text if it is one.
    fn take(library: &'static Library, result: ResultPtr) -> Result<Self, String> {
        let Some(result) = NonNull::new(result) else {
            return Err("the engine gave no result".to_owned());
        };
        let output = Self { library, result };
        match library.error_of(result.as_ptr()) {
            Some(error) => Err(error),
            None => Ok(output),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        let result = self.result.as_ptr();
        // SAFETY: a live result; its buffer has this length and does not move while we hold it.
        unsafe {
            let (data, length) = ((self.library.buffer)(result), (self.library.length)(result));
            if data.is_null() || length == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(data.cast(), length)
            }
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        let (library, result) = (self.library, self.result.as_ptr());
        // SAFETY: a live result; these only read numbers.
        unsafe {
            Progress {
                read_rows: (library.read_rows)(result),
                read_bytes: (library.read_bytes)(result),
                written_rows: (library.written_rows)(result),
                written_bytes: (library.written_bytes)(result),
                result_rows: (library.result_rows)(result),
            }
        }
    }
}

/// What the engine's parser says a text would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// Statements in the text; 0 when it does not parse.
    pub(crate) statements: u32,
    pub(crate) class: Class,
}

/// What outlives a statement, ascending by how restricted it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    ReadOnly,
    Mutating,
    /// Functions, users, named collections, the `system` database.
    MutatingGlobal,
    /// SET, USE, ATTACH, SYSTEM, BACKUP, KILL, writes outside the engine.
    Control,
    /// Did not parse, or is of a kind that the engine does not classify.
    Unknown,
}

impl Connection {
    /// Runs a statement and gives its whole result.
    ///
    /// # Errors
    /// The engine's text.
    pub(crate) fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<Output, String> {
        let p = RawParams::new(params);
        // SAFETY: lengths belong to their buffers, which outlive the call.
        let result = unsafe {
            (self.library.query)(
                self.handle.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                p.names.as_ptr(),
                p.name_lengths.as_ptr(),
                p.values.as_ptr(),
                p.value_lengths.as_ptr(),
                params.len(),
            )
        };
        Output::take(self.library, result)
    }

    /// Begins a SELECT whose result is fetched piece by piece; other statements are refused.
    ///
    /// # Errors
    /// The engine's text.
    pub(crate) fn stream(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<Rows<'_>, String> {
        let p = RawParams::new(params);
        // SAFETY: as in `query`.
        let result = unsafe {
            (self.library.stream)(
                self.handle.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                p.names.as_ptr(),
                p.name_lengths.as_ptr(),
                p.values.as_ptr(),
                p.value_lengths.as_ptr(),
                params.len(),
            )
        };
        let stream = Output::take(self.library, result)?;
        Ok(Rows {
            connection: self,
            stream,
            finished: false,
        })
    }

    /// Begins an INSERT (without FORMAT clause and data) whose data is appended piece by piece.
    ///
    /// # Errors
    /// The engine's text.
    pub(crate) fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<Insert<'_>, String> {
        let p = RawParams::new(params);
        // SAFETY: as in `query`.
        let stream = unsafe {
            (self.library.insert)(
                self.handle.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                p.names.as_ptr(),
                p.name_lengths.as_ptr(),
                p.values.as_ptr(),
                p.value_lengths.as_ptr(),
                params.len(),
            )
        };
        let stream =
            NonNull::new(stream).ok_or_else(|| "the engine gave no insert stream".to_owned())?;
        let insert = Insert {
            library: self.library,
            stream,
            _connection: PhantomData,
        };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }

    /// Asks the engine's parser what a text would do, without running it.
    pub(crate) fn classify(&mut self, sql: &[u8]) -> Analysis {
        let mut raw = RawAnalysis {
            struct_size: u32::try_from(size_of::<RawAnalysis>()).unwrap_or_default(),
            statement_count: 0,
            flags: 0,
            query_class: u32::MAX,
        };
        // SAFETY: the report's size is stated; a null database with length 0 is allowed.
        let state = unsafe {
            (self.library.classify)(
                self.handle.as_ptr(),
                sql.as_ptr().cast(),
                sql.len(),
                std::ptr::null(),
                0,
                &raw mut raw,
            )
        };
        let class = match (state, raw.query_class) {
            (SUCCESS, 0) => Class::ReadOnly,
            (SUCCESS, 1) => Class::Mutating,
            (SUCCESS, 2) => Class::MutatingGlobal,
            (SUCCESS, 3) => Class::Control,
            _ => Class::Unknown,
        };
        Analysis {
            statements: raw.statement_count,
            class,
        }
    }
}

/// A running SELECT. Dropped before its end, it is cancelled.
pub(crate) struct Rows<'c> {
    connection: &'c mut Connection,
    stream: Output,
    finished: bool,
}

impl Rows<'_> {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// The engine's text; the stream has ended with it.
    pub(crate) fn next(&mut self) -> Result<Option<Output>, String> {
        if self.finished {
            return Ok(None);
        }
        let library = self.connection.library;
        // SAFETY: both live; `&mut` keeps other calls away.
        let piece = unsafe {
            (library.fetch)(self.connection.handle.as_ptr(), self.stream.result.as_ptr())
        };
        let piece = Output::take(library, piece);
        if !matches!(&piece, Ok(piece) if !piece.bytes().is_empty()) {
            self.finished = true;
        }
        piece.map(|piece| (!self.finished).then_some(piece))
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: both live, not yet ended.
            unsafe {
                (self.connection.library.cancel_stream)(
                    self.connection.handle.as_ptr(),
                    self.stream.result.as_ptr(),
                );
            }
        }
    }
}

/// A running INSERT. Dropped before [`Insert::finish`], it is cancelled: what the engine has not yet made a part of is
/// gone, and with block sizes set high that is all of it.
pub(crate) struct Insert<'c> {
    library: &'static Library,
    stream: NonNull<c_void>,
    _connection: PhantomData<&'c mut Connection>,
}

impl Insert<'_> {
    fn error(&self) -> Option<String> {
        // SAFETY: a live stream; the text lives as long as it.
        unsafe { text((self.library.insert_error)(self.stream.as_ptr())) }
    }

    /// Adds data; blocks while the engine is behind. `false`: the insert has failed, [`Insert::finish`] says why.
    pub(crate) fn append(&mut self, data: &[u8]) -> bool {
        // SAFETY: the engine copies `len` bytes during the call.
        unsafe {
            (self.library.append)(self.stream.as_ptr(), data.as_ptr().cast(), data.len()) == SUCCESS
        }
    }

    /// Ends the data and commits.
    ///
    /// # Errors
    /// The engine's text.
    pub(crate) fn finish(self) -> Result<Output, String> {
        // SAFETY: a live stream, finished once since `self` is consumed; `Drop` then destroys it.
        let result = unsafe { (self.library.done)(self.stream.as_ptr()) };
        Output::take(self.library, result)
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: destroyed once; cancels first if not finished.
        unsafe { (self.library.destroy_insert)(self.stream.as_ptr()) }
    }
}
