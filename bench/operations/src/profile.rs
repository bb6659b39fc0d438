//! Where the instructions of a row go: each function of the module is wrapped in one that tells the host
//! of its entry and its exit. The wrappers are a few instructions each, which count for their caller.

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

/// The functions that run, innermost last, and what each has taken so far.
#[derive(Default)]
pub(crate) struct Profile {
    /// Its number, the fuel at its entry, and what the functions took that it called.
    running: Vec<(u32, u64, u64)>,
    taken: HashMap<u32, Taken>,
}

impl Profile {
    pub(crate) fn enter(&mut self, function: u32, fuel: u64) {
        self.running.push((function, fuel, 0));
    }

    pub(crate) fn leave(&mut self, fuel: u64) {
        let Some((function, at, within)) = self.running.pop() else { return };
        let all = at - fuel;
        let taken = self.taken.entry(function).or_default();
        taken.own += all - within;
        taken.times += 1;
        taken.all += all;
        if let Some((.., within)) = self.running.last_mut() {
            *within += all;
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
