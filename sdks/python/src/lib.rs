//! `meetbot._core`: the Rust SDK as a Python module. It extracts arguments, calls and converts; the logic is in `crates/meetbot` or in Python.

mod call;
mod client;
mod completions;
mod convert;
mod events;
mod exchange;
mod local;
mod runtime;
mod tasks;
mod waiting;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<client::Core>()?;
    module.add_class::<call::Task>()?;
    module.add_class::<completions::Completions>()?;
    module.add_class::<convert::Answer>()?;
    module.add_class::<events::Events>()?;
    module.add_class::<exchange::Exchange>()?;
    module.add_class::<waiting::Wait>()?;
    module.add_function(wrap_pyfunction!(local::api_path, module)?)?;
    module.add_function(wrap_pyfunction!(local::check_secret, module)?)?;
    module.add_function(wrap_pyfunction!(local::sign, module)?)?;
    module.add_function(wrap_pyfunction!(local::sign_standard, module)?)?;
    module.add_function(wrap_pyfunction!(local::verify_standard, module)?)?;
    module.add_function(wrap_pyfunction!(local::verify_signature, module)?)
}
