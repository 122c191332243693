pub mod get;

use crate::support::Test;

pub fn tests() -> Vec<Test> {
    get::tests()
}
