//! Where the tests of a [`World`](fieldseal_testkit::world::World) are run: here on ports in memory. The same modules are run
//! on PostgreSQL by `crates/sqlx`, whose `tests!` makes trials of them.

use fieldseal_testkit::world::Ground;

use crate::common::Result;

/// Functions of a ground as tests; in the second form, of an operation and a ground, one for each operation. One that is left
/// out is never used, which the compiler says. What polls by hand, and knows what each poll does, is for memory alone.
macro_rules! tests {
    ($($test:ident)* $(; in memory: $($in_memory:ident)*)?) => {
        mod memory {
            $(#[test]
            fn $test() -> crate::common::Result {
                crate::ground::run(super::$test)
            })*
            $($(#[test]
            fn $in_memory() -> crate::common::Result {
                crate::ground::run(super::$in_memory)
            })*)?
        }
    };
    ({ $($test:ident)* $(; in memory: $($in_memory:ident)*)? } $operations:tt) => {
        mod memory {
            use crate::operations::Operation;

            $(tests! { @each $test $operations })*
            $($(tests! { @each $in_memory $operations })*)?
        }
    };
    (@each $test:ident [$($operation:ident)*]) => {
        #[expect(non_snake_case, reason = "as the operation is named")]
        mod $test {
            use super::Operation;

            $(#[test]
            fn $operation() -> crate::common::Result {
                crate::ground::run(async |on| super::super::$test(Operation::$operation, on).await)
            })*
        }
    };
}

pub(crate) fn run(test: impl AsyncFnOnce(&Ground) -> Result) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test(&Ground::memory()))
}
