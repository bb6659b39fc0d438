//! Finds import cycles: modules of one crate that need each other, so that none can be read alone.
//!
//! A module is a file. It imports another one if a path in it, of a `use` or inline, names
//! something there; `mod child;` alone is no import. Tests do not count: code under `#[cfg(test)]`
//! and files whose names begin with `tests`. Neither does the crate's root, which knows all its
//! modules; its imports and re-exports count as imported from their origin. `pub use module::*` in
//! the root, and methods, which name no module, are not seen. It must not know the other rules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, UseTree};

/// Where the modules of the crates are that must not have a cycle.
const CRATES: [&str; 4] = ["src/", "cli/src/", "integration/src/", "xtask/src/"];

/// A cycle, or a file that cannot be parsed.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: String,
    pub line: usize,
    pub what: String,
}

/// The crate that ARCHITECTURE.md has a picture of.
const FILTER: &str = "src/";

/// The heading above that picture.
const PICTURE: &str = "\n## Rooms\n";

/// The import cycles in the files, given as path and text; one for each group of modules that
/// import each other. With ARCHITECTURE.md also imports that point up in its picture of the rooms.
pub fn problems<'f>(
    files: impl Iterator<Item = (&'f str, &'f str)>,
    picture: Option<&str>,
) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut crates: BTreeMap<String, Crate> = BTreeMap::new();
    for (path, text) in files {
        let Some((root, module)) = module_of(path) else { continue };
        match syn::parse_file(text) {
            Ok(file) => crates.entry(root).or_default().add(module, path, &file),
            Err(error) => problems.push(Problem {
                path: path.to_owned(),
                line: error.span().start().line,
                what: format!("cannot be parsed: got {error}, expected Rust"),
            }),
        }
    }
    problems.extend(crates.values_mut().flat_map(Crate::cycles));
    if let (Some(filter), Some(picture)) = (crates.get(FILTER), picture) {
        problems.extend(filter.upward(&Levels::of(picture)));
    }
    problems
}

/// The picture of the rooms in ARCHITECTURE.md: the level of each, counted from the top.
struct Levels(BTreeMap<String, usize>);

impl Levels {
    /// The first block of text after the heading. Each line is a level: its rooms, two blanks, and what
    /// they are for.
    fn of(page: &str) -> Levels {
        let after = page.split_once(PICTURE).map_or("", |(_, after)| after);
        let block = after.split("```").nth(1).unwrap_or_default();
        let lines = block.lines().skip(1).filter(|line| !line.starts_with(' ')).enumerate();
        let rooms = |line: &str| -> Vec<String> {
            let names = line.split_once("  ").map_or(line, |(names, _)| names);
            names.split_whitespace().map(str::to_owned).collect()
        };
        Levels(
            lines
                .flat_map(|(level, line)| rooms(line).into_iter().map(move |r| (r, level)))
                .collect(),
        )
    }
}

/// A module's name from the root of its crate; empty for the root itself.
type Name = Vec<String>;

/// The crate of a file and its module there. Each program below `bin/` is a crate of its own.
fn module_of(path: &str) -> Option<(String, Name)> {
    let (mut root, mut rest) = CRATES.iter().find_map(|root| {
        Some((String::from(*root), path.strip_prefix(root)?.strip_suffix(".rs")?))
    })?;
    if let Some(program) = rest.strip_prefix("bin/") {
        let (name, inside) = program.split_once('/').unwrap_or((program, "main"));
        root = format!("{root}bin/{name}/");
        rest = inside;
    }
    let rest = rest.strip_suffix("/mod").unwrap_or(rest);
    let is_root = matches!(rest, "lib" | "main");
    let name = if is_root { Name::new() } else { rest.split('/').map(str::to_owned).collect() };
    Some((root, name))
}

/// The modules of a crate, as read.
#[derive(Default)]
struct Crate {
    modules: BTreeMap<Name, Module>,
    /// Modules that are declared under `#[cfg(test)]`.
    tests: BTreeSet<Name>,
}

/// A module, as read.
#[derive(Default)]
struct Module {
    path: String,
    named: Vec<Named>,
    /// Names that a `use` imports, and their paths from the crate's root.
    imported: BTreeMap<String, Name>,
    /// From where a `use` brings in every name.
    globs: Vec<Name>,
}

/// A path that was found, as written.
struct Named {
    path: Name,
    /// The module of it, with modules that are no files.
    at: Name,
    line: usize,
}

/// One module's first import of another one.
struct Import {
    written: String,
    path: String,
    line: usize,
}

type Imports = BTreeMap<Name, BTreeMap<Name, Import>>;

impl Crate {
    fn add(&mut self, name: Name, path: &str, file: &syn::File) {
        // A root may be two files, of a library and of a program.
        let module = self.modules.entry(name.clone()).or_default();
        module.path = path.to_owned();
        let mut reader = Reader { at: name, module, tests: &mut self.tests };
        reader.visit_file(file);
    }

    fn cycles(&mut self) -> Vec<Problem> {
        let tests = &self.tests;
        self.modules.retain(|name, _| {
            let declared = |test: &Name| name.starts_with(test);
            !name.iter().any(|part| part.starts_with("tests")) && !tests.iter().any(declared)
        });
        let imports = self.imports();
        let mut seen = BTreeSet::new();
        let mut problems = Vec::new();
        for module in imports.keys() {
            if seen.contains(module) {
                continue;
            }
            let Some(cycle) = shortest_cycle(module, &imports) else { continue };
            let back = |other: &&Name| reachable(other, &imports).contains(module);
            let group: Vec<Name> =
                reachable(module, &imports).iter().filter(back).cloned().collect();
            problems.extend(describe(&cycle, &group, &imports));
            seen.extend(group);
        }
        problems
    }

    /// Imports of rooms above, and rooms that the picture lacks.
    fn upward(&self, levels: &Levels) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (from, imports) in self.imports() {
            let Some(room) = from.first() else { continue };
            let Some(level) = levels.0.get(room) else {
                let path = self.modules.get(&from).map_or_else(String::new, |m| m.path.clone());
                let what = format!(
                    "room without a place: got {room}, expected it in the picture under `## Rooms` of \
                     ARCHITECTURE.md"
                );
                problems.push(Problem { path, line: 1, what });
                continue;
            };
            let above =
                |to: &Name| to.first().and_then(|to| levels.0.get(to)).is_some_and(|l| l < level);
            for (_, import) in imports.into_iter().filter(|(to, _)| above(to)) {
                let what = format!(
                    "import of a room above: got `{}`, expected rooms beside or below {room} in the \
                     picture under `## Rooms` of ARCHITECTURE.md",
                    import.written
                );
                problems.push(Problem { path: import.path, line: import.line, what });
            }
        }
        problems
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (from, module) in self.modules.iter().filter(|(name, _)| !name.is_empty()) {
            let own = imports.entry(from.clone()).or_default();
            for named in &module.named {
                for to in self.owners(named, module) {
                    own.entry(to).or_insert_with(|| Import {
                        written: named.path.join("::"),
                        path: module.path.clone(),
                        line: named.line,
                    });
                }
            }
            own.remove(from);
        }
        imports
    }

    /// The modules in which what the path names may be; more than one only with `use …::*`.
    fn owners(&self, named: &Named, module: &Module) -> BTreeSet<Name> {
        let [first, rest @ ..] = &named.path[..] else { return BTreeSet::new() };
        let full = if let Some(absolute) = absolute(&named.path, &named.at) {
            vec![absolute]
        } else if let Some(imported) = module.imported.get(first) {
            vec![[&imported[..], rest].concat()]
        } else {
            let child = |base: &Name| [&base[..], &named.path[..1]].concat();
            let bases = std::iter::once(&named.at).chain(&module.globs);
            let bases = bases.filter(|base| self.modules.contains_key(&child(base)));
            bases.map(|base| [&base[..], &named.path[..]].concat()).collect()
        };
        full.into_iter().filter_map(|path| self.owner(&path)).collect()
    }

    /// The module with the longest name that the path begins with.
    fn owner(&self, path: &[String]) -> Option<Name> {
        let longest = |path: &[String]| {
            let mut lengths = (1..=path.len()).rev();
            let length = lengths.find(|length| self.modules.contains_key(&path[..*length]))?;
            Some(path[..length].to_vec())
        };
        longest(path).or_else(|| {
            let root = self.modules.get(&Name::new())?;
            longest(root.imported.get(path.first()?)?)
        })
    }
}

/// A path that begins with `crate`, `self` or `super`, from the crate's root.
fn absolute(path: &[String], at: &[String]) -> Option<Name> {
    let ups = path.iter().take_while(|part| *part == "super").count();
    let (base, rest) = match path.first().map(String::as_str)? {
        "crate" => (&[][..], &path[1..]),
        "self" => (at, &path[1..]),
        "super" => (&at[..at.len().saturating_sub(ups)], &path[ups..]),
        _ => return None,
    };
    Some([base, rest].concat())
}

/// All modules that a module imports, directly or not.
fn reachable(from: &Name, imports: &Imports) -> BTreeSet<Name> {
    let mut found = BTreeSet::new();
    let mut next = vec![from];
    while let Some(module) = next.pop() {
        for to in imports.get(module).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(to.clone()) {
                next.push(to);
            }
        }
    }
    found
}

/// The shortest way from a module back to it, with it at both ends.
fn shortest_cycle(module: &Name, imports: &Imports) -> Option<Vec<Name>> {
    let mut ways = VecDeque::from([vec![module.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let Some(last) = way.last() else { continue };
        for to in imports.get(last).into_iter().flat_map(BTreeMap::keys) {
            let longer = [&way[..], std::slice::from_ref(to)].concat();
            if to == module {
                return Some(longer);
            }
            if seen.insert(to.clone()) {
                ways.push_back(longer);
            }
        }
    }
    None
}

fn describe(cycle: &[Name], group: &[Name], imports: &Imports) -> Option<Problem> {
    let steps = cycle.windows(2).filter_map(|step| imports.get(&step[0])?.get(&step[1]));
    let steps: Vec<&Import> = steps.collect();
    let first = steps.first()?;
    let shown = |names: &[Name], between: &str| {
        names.iter().map(|name| name.join("::")).collect::<Vec<_>>().join(between)
    };
    let got = steps.iter().map(|i| format!("`{}` in {}:{}", i.written, i.path, i.line));
    let got = got.collect::<Vec<_>>().join(", ");
    let all = if group.len() < cycle.len() {
        String::new()
    } else {
        format!(" ({} modules need each other: {})", group.len(), shown(group, ", "))
    };
    let what = format!(
        "import cycle: {}{all}; got {got}, expected none; move what both need into a module below \
         both",
        shown(cycle, " -> ")
    );
    Some(Problem { path: first.path.clone(), line: first.line, what })
}

/// Reads one file.
struct Reader<'c> {
    at: Name,
    module: &'c mut Module,
    tests: &'c mut BTreeSet<Name>,
}

impl Reader<'_> {
    fn found(&mut self, path: Name, line: usize) {
        self.module.named.push(Named { path, at: self.at.clone(), line });
    }

    /// The paths in code. A single name is no path to another module.
    fn inline(&mut self, path: &[&Ident]) {
        if let [first, _, ..] = path {
            let line = first.span().start().line;
            self.found(path.iter().map(|ident| text(ident)).collect(), line);
        }
    }

    /// Arguments of macros and attributes, which have no syntax yet.
    fn tokens(&mut self, stream: &TokenStream) {
        let tokens: Vec<TokenTree> = stream.clone().into_iter().collect();
        let mut path: Vec<&Ident> = Vec::new();
        let mut colons = 0;
        for token in &tokens {
            match token {
                TokenTree::Punct(colon) if colon.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) if colons == 2 => {
                    // Without a name before the `::` it is of another crate, or of a type.
                    if !path.is_empty() {
                        path.push(ident);
                    }
                }
                TokenTree::Ident(ident) => self.inline(&std::mem::replace(&mut path, vec![ident])),
                TokenTree::Group(group) => {
                    self.inline(&std::mem::take(&mut path));
                    self.tokens(&group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {
                    self.inline(&std::mem::take(&mut path));
                }
            }
            colons = 0;
        }
        self.inline(&path);
    }

    fn import(&mut self, before: &[String], tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                self.import(&[before, &[text(&path.ident)]].concat(), &path.tree);
            }
            UseTree::Name(name) => self.import_as(before, &name.ident, &name.ident),
            UseTree::Rename(name) => self.import_as(before, &name.ident, &name.rename),
            UseTree::Glob(glob) => {
                let line = glob.star_token.span.start().line;
                let from = absolute(before, &self.at);
                self.module.globs.extend(from);
                self.found(before.to_vec(), line);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(before, tree);
                }
            }
        }
    }

    fn import_as(&mut self, before: &[String], name: &Ident, known: &Ident) {
        let (line, known) = (name.span().start().line, text(known));
        let mut path = before.to_vec();
        // `use module::{self}` names the module.
        if name != "self" || before.is_empty() {
            path.push(text(name));
        }
        let known = if known == "self" { path.last().cloned().unwrap_or_default() } else { known };
        // Without `crate` or the like it is a child's, or of another crate.
        let full = absolute(&path, &self.at).unwrap_or_else(|| [&self.at[..], &path[..]].concat());
        self.module.imported.insert(known, full);
        self.found(path, line);
    }
}

fn text(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_owned()
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

/// Passes over what is for tests only.
macro_rules! without_tests {
    ($($visit:ident: $node:ident;)*) => {
        $(fn $visit(&mut self, node: &'ast syn::$node) {
            if !is_test(&node.attrs) {
                visit::$visit(self, node);
            }
        })*
    };
}

impl<'ast> Visit<'ast> for Reader<'_> {
    without_tests! {
        visit_item_const: ItemConst;
        visit_item_fn: ItemFn;
        visit_item_impl: ItemImpl;
        visit_item_static: ItemStatic;
        visit_item_struct: ItemStruct;
        visit_impl_item_fn: ImplItemFn;
    }

    fn visit_item_mod(&mut self, node: &'ast syn::ItemMod) {
        self.at.push(text(&node.ident));
        match (is_test(&node.attrs), &node.content) {
            (false, _) => visit::visit_item_mod(self, node),
            (true, None) => drop(self.tests.insert(self.at.clone())),
            (true, Some(_)) => {}
        }
        self.at.pop();
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        // `::name` is always of another crate.
        if node.leading_colon.is_none() && !is_test(&node.attrs) {
            self.import(&[], &node.tree);
        }
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        if node.leading_colon.is_none() {
            let path: Vec<&Ident> = node.segments.iter().map(|segment| &segment.ident).collect();
            self.inline(&path);
        }
        visit::visit_path(self, node);
    }

    /// `pub(in …)` is a visibility, and imports nothing.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_token_stream(&mut self, node: &'ast TokenStream) {
        self.tokens(node);
    }
}

#[cfg(test)]
mod tests;
