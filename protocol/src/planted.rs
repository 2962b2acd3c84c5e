//! Bugs that a build may have on purpose, to see that the simulator finds them (`cargo xtask planted`). In every other
//! build all of this is the constant `false`.

/// True where this bug is wanted: the guard that asks is to fail.
#[inline]
#[must_use]
pub fn planted(bug: &str) -> bool {
    #[cfg(planted_bug)]
    return PLANTED.get() == bug;
    #[cfg(not(planted_bug))]
    {
        _ = bug;
        false
    }
}

#[cfg(planted_bug)]
thread_local! {
    static PLANTED: std::cell::Cell<&'static str> = const { std::cell::Cell::new("") };
}

/// Wants this bug from now on, on this thread; empty = none.
#[cfg(planted_bug)]
pub fn plant(bug: &'static str) {
    PLANTED.set(bug);
}
