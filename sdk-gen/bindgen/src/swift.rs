//! `uniffi-bindgen-swift`: headers and module maps for XCFrameworks.

fn main() {
    uniffi::uniffi_bindgen_swift();
}
