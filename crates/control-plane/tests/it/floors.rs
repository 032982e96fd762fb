//! The floors inside the crates: modules side by side do not use each other in circles, and those of the server program
//! use only what is on floors below theirs. What is read are imports and paths, of code that is not for tests only;
//! what a module does to another through a method or a trait is not seen.

mod house;
mod source;

use std::collections::{BTreeMap, BTreeSet};

use house::{House, Module};

use testkit::named_tests::repository;

const FLOORS: &str = include_str!("floors.txt");

/// The lines of `floors.txt`, by section.
fn sections() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut sections: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut current = "";
    for line in FLOORS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => current = name,
            None => sections.entry(current).or_default().push(line),
        }
    }
    sections
}

/// All crates, by name.
fn houses() -> BTreeMap<String, House> {
    let folders = std::fs::read_dir(repository().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let houses = folders.filter(|folder| folder.join("src").is_dir()).map(|folder| {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        (name, House::read(&folder.join("src")))
    });
    houses.collect()
}

fn module(path: &str) -> Module {
    path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// What is wrong with the floors of a module.
fn faults(house: &House, of: &Module, floors: &[&str]) -> Vec<String> {
    let named: Vec<(&str, usize)> = floors
        .iter()
        .enumerate()
        .flat_map(|(floor, line)| line.split_whitespace().map(move |room| (room, floor)))
        .collect();
    let floor_of: BTreeMap<&str, usize> = named.iter().copied().collect();
    let rooms = house.rooms(of);
    let mut faults = Vec::new();
    if named.len() != floor_of.len() {
        faults.push("a module is on two floors".to_owned());
    }
    let known: BTreeSet<String> = floor_of.keys().map(|room| (*room).to_owned()).collect();
    faults.extend(rooms.difference(&known).map(|room| format!("{room} is on no floor")));
    faults.extend(known.difference(&rooms).map(|room| format!("{room} is no module")));
    for ((user, used), why) in house.uses(of) {
        if let (Some(above), Some(below)) = (floor_of.get(user.as_str()), floor_of.get(used.as_str()))
            && above <= below
        {
            faults.push(format!("{user} is not above {used}: {why}"));
        }
    }
    faults
}

#[test]
fn modules_use_what_is_on_floors_below_theirs() {
    let houses = houses();
    let sections = sections();
    assert!(sections.contains_key("control-plane"), "the floors were read");
    for (section, floors) in sections.iter().filter(|(section, _)| **section != "circles") {
        let (package, path) = section.split_once(' ').unwrap_or((section, ""));
        let faults = faults(&houses[package], &module(path), floors);
        assert!(faults.is_empty(), "{section}:\n{}", faults.join("\n"));
    }
}

#[test]
fn no_circle_of_imports_is_without_its_reason() {
    let sections = sections();
    let reasons = sections["circles"].iter().map(|line| line.split_once(" = ").expect("a circle has a reason"));
    let known: BTreeSet<String> = reasons.map(|(circle, _reason)| circle.to_owned()).collect();
    let found: BTreeSet<String> = houses()
        .iter()
        .flat_map(|(package, house)| {
            house.circles().into_iter().map(move |circle| match circle.strip_prefix(": ") {
                Some(rooms) => format!("{package}: {rooms}"),
                None => format!("{package} {circle}"),
            })
        })
        .collect();
    assert_eq!(found, known, "left: circles that are there; right: those with a reason");
}

/// A crate of these modules: path and text.
fn house(files: &[(&str, &str)]) -> House {
    House::of(&files.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect())
}

fn uses(house: &House, of: &str) -> Vec<String> {
    house.uses(&module(of)).into_keys().map(|(user, used)| format!("{user} {used}")).collect()
}

#[test]
fn imports_and_paths_are_read_wherever_they_stand() {
    for (text, expected) in [
        ("use crate::b::Thing;", vec!["a b"]),
        ("use crate::{b::{self, Thing as Other}, c::{d::*, Deep}};", vec!["a b", "a c"]),
        ("pub(crate) use super::c::Thing;", vec!["a c"]),
        ("fn f() -> crate::b::Thing { super::c::make() }", vec!["a b", "a c"]),
        ("fn f() { if x { use crate::b; } }", vec!["a b"]),
        ("mod inner { use super::super::b; fn f() { crate::c::g() } }", vec!["a b", "a c"]),
        ("#[doc = \"]\"] use crate::b;", vec!["a b"]),
        ("fn f<'a>(x: &'a str) { let y = ['\"', '\\'', '{']; crate::b::g() }", vec!["a b"]),
        ("use other::b; use std::{fmt, io}; fn f() { b::g(); other::crate_::c() }", vec![]),
        (
            "// use crate::b;\n/* crate::b /* */ crate::c */ const T: &str = \"crate::b::x\"; const R: &str = r#\"\"crate::c::x\"#;",
            vec![],
        ),
        ("#[cfg(test)]\nmod tests { use crate::b; } fn f() { crate::c::g() }", vec!["a c"]),
        (
            "#[cfg(test)]\n#[expect(dead_code)]\nfn f<A, B>(x: [A; 2]) -> B { crate::b::g() }\nuse crate::c;",
            vec!["a c"],
        ),
        ("#[cfg(test)] use crate::{b::X, b::Y}; struct S { #[cfg(test)] x: crate::b::X, y: crate::c::Y }", vec!["a c"]),
        ("pub(in crate::b) fn f() {}", vec![]),
    ] {
        let house = house(&[("", "mod a; mod b; mod c;"), ("a", text), ("b", ""), ("c", ""), ("c::d", "")]);
        assert_eq!(uses(&house, ""), expected, "{text}");
    }
}

#[test]
fn a_name_that_is_passed_on_is_followed_home() {
    let house = house(&[
        ("", "mod a; mod b; pub use b::{Thing, deep::Other};"),
        ("a", "use crate::Thing; fn f() { crate::Other::new() }"),
        ("b", "mod deep; mod user; pub use deep::Inner;"),
        ("b::deep", ""),
        ("b::user", "use super::Inner;"),
    ]);
    assert_eq!(uses(&house, ""), ["a b"]);
    assert_eq!(uses(&house, "b"), ["user deep"]);
}

#[test]
fn circles_are_found_at_any_depth_and_not_in_tests() {
    let house = house(&[
        ("", "mod a; mod b; mod c;"),
        ("a", "mod x; mod y; mod z; #[cfg(test)] mod tests;"),
        ("a::x", "use super::y;"),
        ("a::y", "use super::z;"),
        ("a::z", "use crate::a::x;"),
        ("a::tests", "use crate::b;"),
        ("b", "use crate::c;"),
        ("c", "use crate::a;"),
    ]);
    assert_eq!(house.circles().into_iter().collect::<Vec<_>>(), ["a: x y z"]);
}

#[test]
fn a_module_that_is_not_where_it_should_be_is_named() {
    let house = house(&[("", "mod a; mod b; mod c;"), ("a", "use crate::b;"), ("b", ""), ("c", "")]);
    let check = |floors: &[&str], expected: &[&str]| assert_eq!(faults(&house, &module(""), floors), expected);
    check(&["b c", "a"], &[]);
    check(&["a b", "c"], &["a is not above b: a uses crate::b"]);
    check(&["a", "b", "c"], &["a is not above b: a uses crate::b"]);
    check(&["b", "a"], &["c is on no floor"]);
    check(&["b c", "a d"], &["d is no module"]);
    check(&["b c", "a b"], &["a module is on two floors", "a is not above b: a uses crate::b"]);
}
