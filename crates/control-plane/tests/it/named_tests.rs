//! What is taken for a test that a document names.

use testkit::named_tests::has_test;

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let text = "#[test]\n/// Why.\nfn one() {}\n\nfn helper() {}\n    #[tokio::test(start_paused = true)]\n    async fn two() {\n";
    assert!(has_test(text, "one") && has_test(text, "two"));
    assert!(!has_test(text, "helper") && !has_test(text, "on") && !has_test(text, "three"));
}
