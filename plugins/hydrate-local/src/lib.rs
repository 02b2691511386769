//! Proposes local copies: for volumes of a certain size, while the local pool has room for them,
//! at certain hours of the day.
