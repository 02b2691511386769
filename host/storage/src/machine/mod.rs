//! What the node knows of itself.

mod fake;
