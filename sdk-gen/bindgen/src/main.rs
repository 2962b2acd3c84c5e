//! `uniffi-bindgen` in the version that the library was built with: the two must not differ.

fn main() {
    uniffi::uniffi_bindgen_main();
}
