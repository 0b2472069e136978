//! A thin C interface over Hugging Face `tokenizers`; src/tokenizer/rust_tokenizer.h declares the other side.
//! Every function catches panics: none may cross into C++. Results go out through a sink that copies them,
//! so that neither side frees what the other has allocated.

mod handle;

use handle::Handle;
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use unicode_categories::UnicodeCategories;

/// Copies `size` bytes at `data`.
pub type Sink = extern "C" fn(context: *mut c_void, data: *const c_void, size: usize);

/// Where a function puts a result or an error text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Out {
    sink: Sink,
    context: *mut c_void,
}

impl Out {
    fn put<T: Copy>(&self, values: &[T]) {
        (self.sink)(self.context, values.as_ptr().cast(), std::mem::size_of_val(values));
    }
}

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Runs `body`; an error or a panic leaves its text in `error` and gives None.
fn guarded<T>(error: Out, body: impl FnOnce() -> Fallible<T>) -> Option<T> {
    let text = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => return Some(value),
        Ok(Err(problem)) => problem.to_string(),
        Err(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
            .unwrap_or_else(|| "internal error".to_string()),
    };
    error.put(text.as_bytes());
    None
}

unsafe fn slice<'a, T>(data: *const T, size: usize) -> &'a [T] {
    if size == 0 {
        &[]
    } else {
        std::slice::from_raw_parts(data, size)
    }
}

/// # Safety
/// `json` points to `size` bytes; `error` is a valid sink.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_load(json: *const u8, size: usize, error: Out) -> *mut Handle {
    // Panics are reported through `error`; the default hook would print them on stderr as well.
    std::panic::set_hook(Box::new(|_| {}));
    match guarded(error, || Handle::load(slice(json, size))) {
        Some(handle) => Box::into_raw(Box::new(handle)),
        None => std::ptr::null_mut(),
    }
}

/// # Safety
/// `handle` came from defectoscope_tokenizer_load and is not used afterwards.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_free(handle: *mut Handle) {
    if !handle.is_null() {
        drop(Box::from_raw(handle));
    }
}

/// Adds tokens: a JSON list of objects with the fields of `AddedToken`, all of them.
///
/// # Safety
/// As for load; nobody else uses the handle meanwhile.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_add_tokens(
    handle: *mut Handle,
    json: *const u8,
    size: usize,
    error: Out,
) -> bool {
    guarded(error, || (*handle).add_tokens(slice(json, size))).is_some()
}

/// Ids (u32) of UTF-8 text.
///
/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_encode(
    handle: *const Handle,
    text: *const u8,
    size: usize,
    special: bool,
    ids: Out,
    error: Out,
) -> bool {
    guarded(error, || {
        ids.put(&(*handle).encode(slice(text, size), special)?);
        Ok(())
    })
    .is_some()
}

/// Text of `count` ids, special tokens left out.
///
/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_decode(
    handle: *const Handle,
    ids: *const u32,
    count: usize,
    text: Out,
    error: Out,
) -> bool {
    guarded(error, || {
        text.put((*handle).decode(slice(ids, count))?.as_bytes());
        Ok(())
    })
    .is_some()
}

/// The entry as the vocabulary spells it; false where the id has none.
///
/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_token(handle: *const Handle, id: u32, text: Out) -> bool {
    match (*handle).token(id) {
        Some(token) => {
            text.put(token.as_bytes());
            true
        }
        None => false,
    }
}

/// The id of an entry, or -1.
///
/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_find(handle: *const Handle, token: *const u8, size: usize) -> i64 {
    std::str::from_utf8(slice(token, size)).ok().and_then(|text| (*handle).find(text)).map_or(-1, i64::from)
}

/// Largest id and one.
///
/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_size(handle: *const Handle) -> u32 {
    (*handle).size
}

/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_is_special(handle: *const Handle, id: u32) -> bool {
    (*handle).is_special(id)
}

/// The id that encode(..., true) puts first, or -1.
///
/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_start(handle: *const Handle) -> i64 {
    (*handle).start.map_or(-1, i64::from)
}

/// Whether entries are spelled in GPT-2's byte letters.
///
/// # Safety
/// As for load.
#[no_mangle]
pub unsafe extern "C" fn defectoscope_tokenizer_is_byte_level(handle: *const Handle) -> bool {
    (*handle).byte_level
}

/// What a code point looks like: 0 visible, 1 combining mark, 2 invisible (control, format, private, separator).
#[no_mangle]
pub extern "C" fn defectoscope_character_kind(code: u32) -> u8 {
    match char::from_u32(code) {
        None => 2,
        Some(c) if c.is_mark() => 1,
        Some(c) if c.is_other_control() || c.is_other_format() || c.is_other_private_use() || c.is_separator() => {
            2
        }
        Some(_) => 0,
    }
}
