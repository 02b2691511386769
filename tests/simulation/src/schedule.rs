//! One thread at a time, chosen by a seed.
