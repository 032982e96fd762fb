//! Files that kumactl reads, and the YAML that it prints.

use model::{document, yaml};
use serde_json::{Map, Value};

use crate::captures;

/// Prints documents as `apply --dry-run` does: meta and spec of inlined kinds are two blocks.
fn dry_run(text: &str) -> String {
    let documents: Vec<String> = document::split_yaml(text)
        .iter()
        .map(|text| {
            let document = document::from_yaml(text).expect("document");
            let shown = document.to_rest();
            if document.kind.spec == model::SpecForm::Json {
                return yaml::to_string(&shown);
            }
            let (meta, spec): (Map<_, _>, Map<_, _>) = shown
                .as_object()
                .cloned()
                .unwrap_or_default()
                .into_iter()
                .partition(|(name, _)| document::META.contains(&name.as_str()));
            let spec = if spec.is_empty() { String::new() } else { yaml::to_string(&Value::Object(spec)) };
            yaml::to_string(&Value::Object(meta)) + &spec
        })
        .collect();
    documents.join("---\n")
}

fn runs(wanted: impl Fn(&Value, &str) -> bool) -> Vec<Value> {
    let mut runs = captures::lines("3.0-preview", "kumactl.jsonl");
    runs.retain(|run| {
        let args: Vec<&str> = run["args"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        wanted(run, &args.join(" "))
    });
    runs
}

#[test]
fn a_dry_run_prints_what_kumactl_prints() {
    let runs = runs(|run, args| args == "apply --dry-run -f -" && run["exit"] == 0);
    assert!(captures::folder().is_none() || runs.len() >= 3);
    for run in runs {
        assert_eq!(dry_run(run["stdin"].as_str().unwrap()), run["stdout"].as_str().unwrap());
    }
}

#[test]
fn bad_documents_are_refused_in_kumactls_words() {
    let runs = runs(|run, args| args == "apply -f -" && run["stderr"].as_str().unwrap().starts_with("resource["));
    assert!(captures::folder().is_none() || runs.len() >= 9);
    for run in runs {
        let stderr = run["stderr"].as_str().unwrap();
        let documents = document::split_yaml(run["stdin"].as_str().unwrap());
        let (index, expected) =
            stderr.lines().next().unwrap().strip_prefix("resource[").unwrap().split_once("]: ").unwrap();
        let index: usize = index.parse().unwrap();
        let error = document::from_yaml(&documents[index]).expect_err("refused");
        let error = format!("{}: {error}", error.stage());
        // Texts of Go's readers may be ours.
        match expected
            .split_once("invalid meta type")
            .or_else(|| expected.split_once("error unmarshaling JSON: while decoding JSON: "))
        {
            Some((_, tail)) if tail.contains("time:") => assert!(error.contains(tail), "{error}"),
            Some((head, _)) => assert!(error.starts_with(head), "{error}"),
            None => assert_eq!(error, expected),
        }
    }
}

#[test]
fn good_documents_are_taken() {
    for run in runs(|run, args| args == "apply -f -" && run["exit"] == 0 && run["stdin"].is_string()) {
        for text in document::split_yaml(run["stdin"].as_str().unwrap()) {
            document::from_yaml(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        }
    }
}

#[test]
fn yaml_is_printed_byte_for_byte() {
    let runs = runs(|run, args| args.ends_with("-o yaml") && run["exit"] == 0 && run["cut"].is_null());
    let mut checked = 0;
    for run in &runs {
        let text = run["stdout"].as_str().unwrap();
        let value: Value = serde_saphyr::from_str(text).expect("yaml");
        let sorted =
            text.lines().position(|line| line.starts_with("type: ")).is_none_or(|at| at + 1 == text.lines().count());
        if sorted {
            checked += 1;
            assert_eq!(yaml::to_string(&value), text);
        }
    }
    assert!(captures::folder().is_none() || checked >= 8, "{checked} of {}", runs.len());
}

#[test]
fn a_document_is_sent_as_kumactl_sends_it() {
    let mut checked = 0;
    for run in runs(|run, args| args.starts_with("apply") && run["requestsSeen"].is_array() && run["stdin"].is_string())
    {
        let documents = document::split_yaml(run["stdin"].as_str().unwrap());
        let put = run["requestsSeen"].as_array().unwrap().iter().find(|request| request["method"] == "PUT");
        let (Some(put), [text]) = (put, documents.as_slice()) else { continue };
        let sent: Value = serde_json::from_str(put["body"].as_str().unwrap()).unwrap();
        assert_eq!(document::from_yaml(text).expect("document").to_rest(), sent);
        checked += 1;
    }
    assert!(captures::folder().is_none() || checked >= 4, "{checked}");
}
