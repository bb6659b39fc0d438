//! The host: what Envoy gives the module, as far as a request needs it. It keeps no header map: an
//! edit is counted and forgotten.

use wasmtime::error::Context as _;
use wasmtime::{
    Caller, Config, Engine, Extern, Instance, Linker, Memory, Result, Store, Val, ensure,
};

use crate::profile::{self, Profile};

/// What the module's calls find and leave.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) request: Vec<u8>,
    pub(crate) response: Vec<u8>,
    pub(crate) body: Vec<u8>,
    configuration: Vec<u8>,
    /// The number of a call that was made.
    pub(crate) call: Option<u32>,
    calls: u32,
    metrics: u32,
    /// Headers added.
    pub(crate) added: u32,
    nanos: u64,
    /// What the module's functions took, if they tell.
    pub(crate) profile: Profile,
}

/// A compiled module.
pub(crate) struct Module {
    engine: Engine,
    module: wasmtime::Module,
}

/// A module that has read its configuration.
pub(crate) struct Guest {
    store: Store<Host>,
    instance: Instance,
}

impl Module {
    pub(crate) fn of(bytes: &[u8]) -> Result<Self> {
        let mut config = Config::new();
        config.consume_fuel(true);
        let engine = Engine::new(&config)?;
        let module = wasmtime::Module::new(&engine, bytes)?;
        Ok(Self { engine, module })
    }

    pub(crate) fn start(&self, configuration: &str) -> Result<Guest> {
        let mut store = Store::new(&self.engine, Host::default());
        store.set_fuel(u64::MAX)?;
        let instance = linker(&self.module, &mut store)?.instantiate(&mut store, &self.module)?;
        let mut guest = Guest { store, instance };
        guest.host().configuration = configuration.as_bytes().to_vec();
        guest.run("_initialize", &[])?;
        guest.run("proxy_on_context_create", &[1, 0])?;
        let taken = guest.call("proxy_on_configure", &[1, u32::try_from(configuration.len())?])?;
        ensure!(taken == Some(1), "the module refuses the configuration");
        Ok(guest)
    }
}

impl Guest {
    pub(crate) fn host(&mut self) -> &mut Host {
        self.store.data_mut()
    }

    /// Runs a callback, and gives how many instructions that took.
    pub(crate) fn run(&mut self, name: &str, arguments: &[u32]) -> Result<u64> {
        self.store.set_fuel(u64::MAX)?;
        self.call(name, arguments)?;
        Ok(u64::MAX - self.store.get_fuel()?)
    }

    fn call(&mut self, name: &str, arguments: &[u32]) -> Result<Option<i32>> {
        let function = self.instance.get_func(&mut self.store, name).context(name.to_owned())?;
        let arguments: Vec<Val> =
            arguments.iter().map(|n| Val::I32(i32::from_ne_bytes(n.to_ne_bytes()))).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        function.call(&mut self.store, &arguments, &mut results)?;
        Ok(results.first().and_then(Val::i32))
    }
}

fn memory(caller: &mut Caller<'_, Host>) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).expect("the module has a memory")
}

fn write(caller: &mut Caller<'_, Host>, at: u32, bytes: &[u8]) {
    memory(caller).write(caller, at as usize, bytes).expect("the module's pointer is its own");
}

/// Hands bytes to the module, in memory that it allocates.
fn hand_over(mut caller: Caller<'_, Host>, bytes: &[u8], data: u32, size: u32) -> u32 {
    let allocate = caller.get_export("proxy_on_memory_allocate").and_then(Extern::into_func);
    let allocate = allocate.expect("the module allocates").typed::<u32, u32>(&caller);
    let length = u32::try_from(bytes.len()).expect("small");
    let at = allocate.expect("one number").call(&mut caller, length).expect("it allocates");
    write(&mut caller, at, bytes);
    write(&mut caller, data, &at.to_le_bytes());
    write(&mut caller, size, &length.to_le_bytes());
    0
}

fn linker(module: &wasmtime::Module, store: &mut Store<Host>) -> Result<Linker<Host>> {
    type C<'a> = Caller<'a, Host>;
    let mut l = Linker::new(module.engine());
    l.func_wrap(profile::HOST, "enter", |mut c: C, function: u32| -> Result<()> {
        let fuel = c.get_fuel()?;
        c.data_mut().profile.enter(function, fuel);
        Ok(())
    })?;
    l.func_wrap(profile::HOST, "leave", |mut c: C, _: u32| -> Result<()> {
        let fuel = c.get_fuel()?;
        c.data_mut().profile.leave(fuel);
        Ok(())
    })?;
    let env = "env";
    l.func_wrap(env, "proxy_get_header_map_pairs", |c: C, map: u32, data: u32, size: u32| {
        let bytes = if map == 0 { c.data().request.clone() } else { c.data().response.clone() };
        hand_over(c, &bytes, data, size)
    })?;
    l.func_wrap(
        env,
        "proxy_get_buffer_bytes",
        |c: C, kind: u32, _start: u32, _max: u32, data: u32, size: u32| {
            let bytes =
                if kind == 7 { c.data().configuration.clone() } else { c.data().body.clone() };
            hand_over(c, &bytes, data, size)
        },
    )?;
    l.func_wrap(
        env,
        "proxy_http_call",
        |mut c: C,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         _: u32,
         token: u32| {
            c.data_mut().calls += 1;
            let number = c.data().calls;
            c.data_mut().call = Some(number);
            write(&mut c, token, &number.to_le_bytes());
            0_u32
        },
    )?;
    l.func_wrap(
        env,
        "proxy_add_header_map_value",
        |mut c: C, _: u32, _: u32, _: u32, _: u32, _: u32| {
            c.data_mut().added += 1;
            0_u32
        },
    )?;
    l.func_wrap(
        env,
        "proxy_replace_header_map_value",
        |mut c: C, _: u32, _: u32, _: u32, _: u32, _: u32| {
            c.data_mut().added += 1;
            0_u32
        },
    )?;
    l.func_wrap(env, "proxy_define_metric", |mut c: C, _: u32, _: u32, _: u32, id: u32| {
        c.data_mut().metrics += 1;
        let number = c.data().metrics;
        write(&mut c, id, &number.to_le_bytes());
        0_u32
    })?;
    l.func_wrap(env, "proxy_increment_metric", |_: C, _: u32, _: i64| 0_u32)?;
    l.func_wrap(env, "proxy_record_metric", |_: C, _: u32, _: i64| 0_u32)?;
    l.func_wrap(env, "proxy_remove_header_map_value", |_: C, _: u32, _: u32, _: u32| 0_u32)?;
    l.func_wrap(env, "proxy_log", |_: C, _: u32, _: u32, _: u32| 0_u32)?;
    l.func_wrap(env, "proxy_set_property", |_: C, _: u32, _: u32, _: u32, _: u32| 0_u32)?;
    l.func_wrap(env, "proxy_get_shared_data", |_: C, _: u32, _: u32, _: u32, _: u32, _: u32| {
        1_u32
    })?;
    l.func_wrap(env, "proxy_set_shared_data", |_: C, _: u32, _: u32, _: u32, _: u32, _: u32| {
        0_u32
    })?;
    for name in [
        "proxy_continue_stream",
        "proxy_set_effective_context",
        "proxy_set_tick_period_milliseconds",
    ] {
        l.func_wrap(env, name, |_: C, _: u32| 0_u32)?;
    }
    let wasi = "wasi_snapshot_preview1";
    l.func_wrap(wasi, "clock_time_get", |mut c: C, _: u32, _: u64, at: u32| {
        c.data_mut().nanos += 1_000_000;
        let nanos = 1_860_000_000_000_000_000 + c.data().nanos;
        write(&mut c, at, &nanos.to_le_bytes());
        0_u32
    })?;
    l.func_wrap(wasi, "random_get", |mut c: C, at: u32, size: u32| {
        write(&mut c, at, &vec![7; size as usize]);
        0_u32
    })?;
    l.func_wrap(wasi, "environ_sizes_get", |mut c: C, count: u32, size: u32| {
        write(&mut c, count, &[0; 4]);
        write(&mut c, size, &[0; 4]);
        0_u32
    })?;
    l.func_wrap(wasi, "environ_get", |_: C, _: u32, _: u32| 0_u32)?;
    l.func_wrap(wasi, "fd_write", |_: C, _: u32, _: u32, _: u32, _: u32| 0_u32)?;
    l.func_wrap(wasi, "proc_exit", |_: C, _: u32| {})?;
    // The rest is named by methods that nothing calls.
    for import in module.imports() {
        if l.get(&mut *store, import.module(), import.name()).is_err()
            && let wasmtime::ExternType::Func(ty) = import.ty()
        {
            let name = import.name().to_owned();
            l.func_new(import.module(), import.name(), ty, move |_, _, _| {
                Err(wasmtime::Error::msg(format!("{name} is not to be called")))
            })?;
        }
    }
    Ok(l)
}
