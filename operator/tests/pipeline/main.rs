//! From a fixture through the real `validate` and `build` to whole objects, and to the status:
//! no client, no cluster.

mod builders;
mod fixture;
mod progress;
