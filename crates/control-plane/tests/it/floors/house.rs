//! Which module of a crate uses which, and where that leads round.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::source::{Reference, Source};

/// The path of a module below its crate; empty for the crate.
pub(super) type Module = Vec<String>;

/// The modules of a crate, and what each uses.
#[derive(Default)]
pub(super) struct House {
    modules: BTreeSet<Module>,
    imports: BTreeMap<(Module, String), Reference>,
    /// Who uses whom, with one of the paths that say so.
    uses: BTreeMap<(Module, Module), String>,
}

impl House {
    /// Reads the `src` of a crate. A program beside a library is left out: it can only use it.
    pub(super) fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(src, &Vec::new(), &mut files);
        Self::of(&files)
    }

    /// Builds a crate from the texts of its modules.
    pub(super) fn of(files: &BTreeMap<Module, String>) -> Self {
        let sources: BTreeMap<Module, Source> =
            files.iter().map(|(module, text)| (module.clone(), Source::read(text))).collect();
        let tests: Vec<Module> = sources
            .iter()
            .flat_map(|(module, source)| source.tests.iter().map(|name| below(module, name.split("::"))))
            .collect();
        let live = |module: &Module| !tests.iter().any(|test| module.starts_with(test));
        let mut house = Self::default();
        for (module, source) in sources.iter().filter(|(module, _)| live(module)) {
            house.modules.insert(module.clone());
            house.modules.extend(source.inline.iter().map(|inline| below(module, inline)));
            for import in &source.imports {
                let place = below(module, &import.from.inside);
                house.imports.insert((place, import.name.clone()), import.from.clone());
            }
        }
        for (module, source) in sources.iter().filter(|(module, _)| live(module)) {
            for reference in source.imports.iter().map(|import| &import.from).chain(&source.paths) {
                let place = below(module, &reference.inside);
                if let Some(target) = house.resolve(&place, &reference.path, 0).filter(|target| *target != place) {
                    house.uses.entry((place, target)).or_insert_with(|| reference.path.join("::"));
                }
            }
        }
        house
    }

    /// The module where what a path names is at home: a name that is only passed on is followed.
    fn resolve(&self, place: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut at = place.clone();
        let mut rest = path;
        match rest.split_first() {
            Some((first, others)) if first == "crate" => (at, rest) = (Module::new(), others),
            Some((first, others)) if first == "self" => rest = others,
            Some((first, _)) if first == "super" => {}
            // Other crates, and names of a `use` that is read itself.
            Some((first, _)) if !self.modules.contains(&below(place, [first])) => return None,
            _ => {}
        }
        while let Some((name, others)) = rest.split_first() {
            let child = below(&at, [name]);
            if name == "super" {
                at.pop();
            } else if self.modules.contains(&child) {
                at = child;
            } else if let Some(passed_on) = self.imports.get(&(at.clone(), name.clone())).filter(|_| depth < 8) {
                let whole: Vec<String> = passed_on.path.iter().chain(others).cloned().collect();
                return self.resolve(&at, &whole, depth + 1).or(Some(at));
            } else {
                break;
            }
            rest = others;
        }
        Some(at)
    }

    /// The modules right below one.
    pub(super) fn rooms(&self, of: &Module) -> BTreeSet<String> {
        let below = self.modules.iter().filter(|module| module.starts_with(of));
        below.filter_map(|module| module.get(of.len())).cloned().collect()
    }

    /// Who of the modules right below one uses whom, each with all that is below it.
    pub(super) fn uses(&self, of: &Module) -> BTreeMap<(String, String), String> {
        let mut found = BTreeMap::new();
        for ((from, to), path) in &self.uses {
            if let (true, true, Some(user), Some(used)) =
                (from.starts_with(of), to.starts_with(of), from.get(of.len()), to.get(of.len()))
                && user != used
            {
                found.entry((user.clone(), used.clone())).or_insert_with(|| format!("{} uses {path}", from.join("::")));
            }
        }
        found
    }

    /// All circles: sets of modules side by side that use each other, as paths.
    pub(super) fn circles(&self) -> BTreeSet<String> {
        let mut circles = BTreeSet::new();
        for module in &self.modules {
            let uses = self.uses(module);
            let rooms = self.rooms(module);
            let reach: BTreeMap<&String, BTreeSet<&String>> =
                rooms.iter().map(|room| (room, reached(room, &uses))).collect();
            for room in &rooms {
                let circle: Vec<&str> = reach[room]
                    .iter()
                    .filter(|other| reach[**other].contains(room))
                    .map(|other| other.as_str())
                    .collect();
                if !circle.is_empty() {
                    circles.insert(format!("{}: {}", module.join("::"), circle.join(" ")));
                }
            }
        }
        circles
    }
}

/// All that a module uses, and what that uses.
fn reached<'a>(from: &'a String, uses: &'a BTreeMap<(String, String), String>) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(user) = open.pop() {
        for (_, used) in uses.keys().filter(|(other, _)| other == user) {
            if reached.insert(used) {
                open.push(used);
            }
        }
    }
    reached
}

fn below(module: &Module, path: impl IntoIterator<Item = impl ToString>) -> Module {
    module.iter().cloned().chain(path.into_iter().map(|name| name.to_string())).collect()
}

fn collect(folder: &Path, module: &Module, files: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            collect(&path, &below(module, [name]), files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            match name.as_str() {
                "lib" if module.is_empty() => drop(files.insert(Module::new(), text)),
                "main" if module.is_empty() => {}
                "mod" => drop(files.insert(module.clone(), text)),
                _ => drop(files.insert(below(module, [name]), text)),
            }
        }
    }
}
