//! Files that import each other in a circle, read from the paths in `use` and in the code.
//!
//! A file may use what its parent module defines, and a parent may re-export its children: neither makes a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};

/// Path of a module below the root of the crate.
type Module = Vec<String>;

/// The circles among the files of a crate, each with the names of its files.
pub fn circles(src: &Path, files: &[std::path::PathBuf]) -> Vec<Vec<String>> {
    let modules: BTreeMap<Module, &std::path::PathBuf> =
        files.iter().filter(|file| !is_test(file)).map(|file| (module_of(src, file), file)).collect();
    let names: BTreeSet<Module> = modules.keys().cloned().collect();
    let imports: BTreeMap<Module, BTreeSet<Module>> = modules
        .iter()
        .map(|(module, file)| {
            let text = std::fs::read_to_string(file).unwrap();
            (module.clone(), imports(module, &text, &names))
        })
        .collect();
    let reachable: BTreeMap<&Module, BTreeSet<&Module>> =
        imports.keys().map(|module| (module, reachable(module, &imports))).collect();
    let mut found = BTreeSet::new();
    for module in imports.keys().filter(|module| reachable[module].contains(module)) {
        let circle: Vec<String> = reachable[module]
            .iter()
            .filter(|other| reachable[*other].contains(module))
            .map(|other| modules[*other].strip_prefix(src).unwrap().display().to_string())
            .collect();
        found.insert(circle);
    }
    found.into_iter().collect()
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs") == "tests")
}

fn module_of(src: &Path, file: &Path) -> Module {
    let path = file.strip_prefix(src).unwrap().with_extension("");
    let mut parts: Module = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

fn reachable<'a>(from: &Module, imports: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&Module> = imports[from].iter().collect();
    while let Some(module) = next.pop() {
        if found.insert(module) {
            next.extend(&imports[module]);
        }
    }
    found
}

/// The modules with a file of their own that a file names, without its ancestors.
fn imports(module: &Module, text: &str, files: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut named = Named::default();
    named.visit_file(&syn::parse_file(text).unwrap());
    let own = named.paths.iter().filter_map(|path| resolve(module, path, files));
    let reexported = named.reexports.iter().filter_map(|path| resolve(module, path, files));
    own.chain(reexported.filter(|target| !target.starts_with(module)))
        .filter(|target| !module.starts_with(target))
        .collect()
}

/// The module with a file of its own that a path leads into.
fn resolve(module: &Module, path: &[String], files: &BTreeSet<Module>) -> Option<Module> {
    let first = path.first()?.as_str();
    let (mut full, mut rest) = match first {
        "crate" => (vec![], &path[1..]),
        "super" | "self" => (module.clone(), path),
        child => {
            let inside = [module.as_slice(), &[child.to_owned()]].concat();
            files.contains(&inside).then_some((module.clone(), path))?
        }
    };
    while let Some((first, tail)) = rest.split_first().filter(|(first, _)| matches!(first.as_str(), "super" | "self")) {
        if first == "super" {
            full.pop();
        }
        rest = tail;
    }
    full.extend_from_slice(rest);
    (0..=full.len()).rev().map(|length| full[..length].to_vec()).find(|candidate| files.contains(candidate))
}

/// The paths of a file, but for its tests.
#[derive(Default)]
struct Named {
    paths: Vec<Vec<String>>,
    /// Paths of `pub use`.
    reexports: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let is_test = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|cfg| cfg == "test")
        });
        if !is_test {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut paths = vec![];
        leaves(&item.tree, &mut vec![], &mut paths);
        match item.vis {
            syn::Visibility::Inherited => self.paths.extend(paths),
            _ => self.reexports.extend(paths),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if matches!(parts[0].as_str(), "crate" | "super" | "self") && parts.len() > 1 {
            self.paths.push(parts);
        }
        visit::visit_path(self, path);
    }
}

fn leaves(tree: &syn::UseTree, before: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            leaves(&path.tree, before, found);
            before.pop();
        }
        syn::UseTree::Name(name) => found.push([before.as_slice(), &[name.ident.to_string()]].concat()),
        syn::UseTree::Rename(name) => found.push([before.as_slice(), &[name.ident.to_string()]].concat()),
        syn::UseTree::Glob(_) => found.push(before.clone()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| leaves(item, before, found)),
    }
}

#[test]
fn a_circle_is_found_and_a_parent_is_none() {
    let files: BTreeSet<Module> =
        [vec![], vec!["a".into()], vec!["a".into(), "x".into()], vec!["b".into()]].into_iter().collect();
    let of = |module: &[&str], text: &str| {
        let module: Module = module.iter().map(|part| (*part).to_owned()).collect();
        imports(&module, text, &files).into_iter().map(|module| module.join("::")).collect::<Vec<_>>()
    };
    assert_eq!(of(&["b"], "use crate::a::{x::{Y, Z as W}, V};"), ["a", "a::x"]);
    assert_eq!(of(&["a", "x"], "use super::V; fn f() { crate::b::g() }"), ["b"], "the parent does not count");
    assert_eq!(of(&["a"], "mod x; pub use x::Y;"), Vec::<String>::new(), "a re-export does not count");
    assert_eq!(of(&["a"], "mod x; use x::Y; #[cfg(test)] mod tests { use crate::b; }"), ["a::x"], "nor do tests");
}
