//! Each input of the corpus keeps the promises of its target.

use std::path::Path;

#[test]
fn the_corpus_keeps_all_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    for (name, target) in fuzz_targets::TARGETS {
        let inputs: Vec<_> =
            std::fs::read_dir(corpus.join(name)).expect(name).map(|entry| entry.expect(name)).collect();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for input in inputs {
            println!("{}", input.path().display());
            target(&std::fs::read(input.path()).expect("an input"));
        }
    }
}
