//! Wall time of each operation. `cargo bench --package micro -- hit` measures those whose name
//! contains `hit`. Nothing is asserted, because time depends on the machine.

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    for operation in micro::all() {
        let mut repeat = operation.set_up();
        criterion.bench_function(&operation.name, |bencher| bencher.iter(&mut repeat));
    }
    criterion.final_summary();
}
