//! Where the instructions of a row go: each function of the module is wrapped in one that tells the host
//! of its entry and its exit. What a wrapper takes, three instructions and one for each parameter, counts
//! for the function that it wraps.

use std::collections::HashMap;

use walrus::ir::{VisitorMut, dfs_pre_order_mut};
use walrus::{
    ElementItems, ExportItem, FunctionBuilder, FunctionId, FunctionKind, LocalFunction, Module,
    ValType,
};
use wasmtime::Result;
use wasmtime::error::Context as _;

/// The host's functions, which [`instrumented`] has the module call.
pub(crate) const HOST: &str = "profile";

/// What a function took: by itself, how often, and with all that it called.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) own: u64,
    pub(crate) times: u64,
    pub(crate) all: u64,
}

/// One call of a function, from its entry to its exit.
struct Running {
    function: u32,
    /// The fuel at its entry.
    at: u64,
    /// What the functions took that it called.
    within: u64,
    /// Whether another call of the same function is around it: that one counts for both.
    again: bool,
}

/// The functions that run, innermost last, and what each has taken so far.
#[derive(Default)]
pub(crate) struct Profile {
    running: Vec<Running>,
    taken: HashMap<u32, Taken>,
}

impl Profile {
    pub(crate) fn enter(&mut self, function: u32, fuel: u64) {
        let again = self.running.iter().any(|outer| outer.function == function);
        self.running.push(Running { function, at: fuel, within: 0, again });
    }

    pub(crate) fn leave(&mut self, fuel: u64) {
        let Some(Running { function, at, within, again }) = self.running.pop() else { return };
        let all = at - fuel;
        let taken = self.taken.entry(function).or_default();
        taken.own += all - within;
        taken.times += 1;
        if !again {
            taken.all += all;
        }
        if let Some(caller) = self.running.last_mut() {
            caller.within += all;
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Profile::default();
    }

    /// The functions that took most by themselves.
    pub(crate) fn most(&self, names: &[String]) -> Vec<(Taken, String)> {
        let name = |number: &u32| names.get(*number as usize).cloned().unwrap_or_default();
        let mut all: Vec<_> = self.taken.iter().map(|(n, taken)| (*taken, name(n))).collect();
        all.sort_by(|(a, one), (b, other)| b.own.cmp(&a.own).then(one.cmp(other)));
        all
    }
}

/// The module with each of its functions wrapped, and the names of those by their numbers.
pub(crate) fn instrumented(bytes: &[u8]) -> Result<(Vec<u8>, Vec<String>)> {
    let mut module = Module::from_buffer(bytes).map_err(|e| wasmtime::Error::msg(e.to_string()))?;
    let tells = module.types.add(&[ValType::I32], &[]);
    let (enter, _) = module.add_import_func(HOST, "enter", tells);
    let (leave, _) = module.add_import_func(HOST, "leave", tells);
    let own: Vec<FunctionId> = module.funcs.iter_local().map(|(id, _)| id).collect();
    let (mut wrappers, mut names) = (HashMap::new(), Vec::new());
    for (number, id) in own.iter().enumerate() {
        let number = i32::try_from(number).context("more functions than numbers")?;
        let function = module.funcs.get(*id);
        names.push(function.name.clone().unwrap_or_default());
        let kind = module.types.get(function.ty());
        let (parameters, results) = (kind.params().to_vec(), kind.results().to_vec());
        let mut builder = FunctionBuilder::new(&mut module.types, &parameters, &results);
        let arguments: Vec<_> = parameters.iter().map(|kind| module.locals.add(*kind)).collect();
        let mut body = builder.func_body();
        body.i32_const(number).call(enter);
        for argument in &arguments {
            body.local_get(*argument);
        }
        body.call(*id).i32_const(number).call(leave);
        wrappers.insert(*id, builder.finish(arguments, &mut module.funcs));
    }
    let wrapped = |id: &mut FunctionId| {
        if let Some(wrapper) = wrappers.get(id) {
            *id = *wrapper;
        }
    };
    for id in &own {
        if let FunctionKind::Local(function) = &mut module.funcs.get_mut(*id).kind {
            redirect(function, &wrappers);
        }
    }
    for export in module.exports.iter_mut() {
        if let ExportItem::Function(id) = &mut export.item {
            wrapped(id);
        }
    }
    for element in module.elements.iter_mut() {
        if let ElementItems::Functions(ids) = &mut element.items {
            ids.iter_mut().for_each(wrapped);
        }
    }
    Ok((module.emit_wasm(), names))
}

/// Every call of a function goes to its wrapper.
fn redirect(function: &mut LocalFunction, wrappers: &HashMap<FunctionId, FunctionId>) {
    struct Calls<'w>(&'w HashMap<FunctionId, FunctionId>);
    impl VisitorMut for Calls<'_> {
        fn visit_function_id_mut(&mut self, id: &mut FunctionId) {
            if let Some(wrapper) = self.0.get(id) {
                *id = *wrapper;
            }
        }
    }
    let entry = function.entry_block();
    dfs_pre_order_mut(&mut Calls(wrappers), function, entry);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_calls_itself_counts_once() {
        let mut profile = Profile::default();
        // Fuel goes down: 10 of `reads`, then `parses` with 30 of its own around 5 of an inner call.
        profile.enter(0, 100);
        profile.enter(1, 90);
        profile.enter(1, 70);
        profile.leave(65);
        profile.leave(55);
        profile.leave(55);
        profile.leave(1);
        let names = ["reads".to_owned(), "parses".to_owned()];
        let taken: Vec<_> = profile
            .most(&names)
            .into_iter()
            .map(|(taken, name)| (name, taken.own, taken.times, taken.all))
            .collect();
        assert_eq!(taken, [("parses".to_owned(), 35, 2, 35), ("reads".to_owned(), 10, 1, 45)]);
    }

    #[test]
    fn calls_exports_and_tables_all_go_through_a_wrapper() -> Result<()> {
        const MODULE: &str = r#"(module
            (type $t (func (param i32) (result i32)))
            (table 1 funcref) (elem (i32.const 0) $direct)
            (func $direct (type $t) (i32.add (local.get 0) (i32.const 1)))
            (func (export "run") (param i32) (result i32)
                (call_indirect (type $t) (call $direct (local.get 0)) (i32.const 0))))"#;
        let (module, names) = instrumented(&wat::parse_str(MODULE)?)?;
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, module)?;
        let mut linker = wasmtime::Linker::new(&engine);
        linker.func_wrap(HOST, "enter", |mut told: wasmtime::Caller<'_, Vec<i32>>, n: i32| {
            told.data_mut().push(n);
        })?;
        linker.func_wrap(HOST, "leave", |mut told: wasmtime::Caller<'_, Vec<i32>>, n: i32| {
            told.data_mut().push(-n - 1);
        })?;
        let mut store = wasmtime::Store::new(&engine, Vec::new());
        let instance = linker.instantiate(&mut store, &module)?;
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run")?;
        assert_eq!(run.call(&mut store, 40)?, 42);
        let number = |name: &str| names.iter().position(|one| one == name).unwrap() as i32;
        let (direct, run) = (number("direct"), number(""));
        let once = [direct, -direct - 1];
        assert_eq!(store.data()[..], [&[run][..], &once, &once, &[-run - 1]].concat());
        Ok(())
    }
}
