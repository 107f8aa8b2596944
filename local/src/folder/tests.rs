use super::*;
use std::collections::BTreeMap;

fn folder() -> (tempfile::TempDir, FolderStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(&FolderLock::take(folder.path()).unwrap());
    (folder, store)
}

fn info() -> ObjectInfo {
    ObjectInfo::of("application/json")
}

#[tokio::test]
async fn an_object_is_the_file_of_its_key() {
    let (folder, store) = folder();
    store.create("output/a b.csv/%C3%A9/manifest.json", "{}".into(), &info()).await.unwrap();
    assert_eq!(fs::read(folder.path().join("output/a b.csv/%C3%A9/manifest.json")).unwrap(), b"{}");
    assert_eq!(fs::read_dir(folder.path().join(".dropcollect/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn no_key_leads_out_of_the_folder() {
    let (_folder, store) = folder();
    for key in ["", "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.", "a\0b", ".dropcollect/lock", ".dropcollect"] {
        assert!(store.put(key, "x".into(), &info()).await.is_err(), "{key:?}");
        assert!(store.get(key).await.is_err(), "{key:?}");
    }
    store.put("a/.dropcollect", "x".into(), &info()).await.unwrap();
    assert_eq!(store.list("", None).await.unwrap().keys, ["a/.dropcollect"]);
}

#[tokio::test]
async fn a_file_and_a_folder_of_one_name_are_a_clear_error() {
    let (_folder, store) = folder();
    store.put("a", "x".into(), &info()).await.unwrap();
    store.put("b/c", "x".into(), &info()).await.unwrap();
    let errors = [
        store.create("a/b", "x".into(), &info()).await.unwrap_err(),
        store.put("a/b/c", "x".into(), &info()).await.unwrap_err(),
        store.create("b", "x".into(), &info()).await.unwrap_err(),
        store.put("b", "x".into(), &info()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.source.to_string().contains("a file system cannot hold"), "{error}: {}", error.source);
    }
    assert!(store.get("a/b").await.unwrap().is_none());
    assert!(store.get("b").await.unwrap().is_none());
}

#[tokio::test]
async fn long_segments_are_listed_in_order() {
    let (_folder, store) = folder();
    let x = |count: usize, rest: &str| format!("{}{rest}", "x".repeat(count));
    let mut keys: Vec<_> = [249, 250, 251, 499, 500, 501, 750, 900].iter().map(|count| x(*count, "")).collect();
    keys.extend([
        x(250, "-"),
        x(250, "+"),
        x(249, "-"),
        x(248, "/a"),
        x(252, "/a"),
        x(252, "-"),
        x(502, "/a/b"),
        x(502, "-/a"),
    ]);
    for key in &keys {
        assert_eq!(store.create(key, "x".into(), &info()).await.unwrap(), Written::New, "{key}");
    }
    keys.sort();
    assert_eq!(store.list("", None).await.unwrap().keys, keys);
    assert_eq!(
        store.list(&x(252, ""), None).await.unwrap().keys.len(),
        keys.iter().filter(|key| key.starts_with(&x(252, ""))).count()
    );
    for at in 0..keys.len() {
        assert_eq!(store.list("", Some(&keys[at])).await.unwrap().keys, keys[at + 1..]);
    }
}

#[tokio::test]
async fn a_restart_keeps_open_uploads() {
    let folder = tempfile::tempdir().unwrap();
    let open = || FolderStore::open(&FolderLock::take(folder.path()).unwrap());
    let store = open();
    let upload = store.begin_upload("a/b", &info()).await.unwrap();
    let part = store.upload_part("a/b", &upload, 1, "x".into()).await.unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.open_uploads().await.unwrap(), [(upload.clone(), "a/b".to_owned())]);
    assert_eq!(store.complete_upload("a/b", &upload, &[part]).await.unwrap(), Completed::Yes);
    assert_eq!(store.open_uploads().await.unwrap(), []);
}

#[tokio::test]
async fn a_reader_needs_no_lock_and_writes_nothing() {
    let (folder, store) = folder();
    store.put("a", "x".into(), &info()).await.unwrap();
    let reader = FolderStore::reader(folder.path());
    assert_eq!(reader.get("a").await.unwrap().unwrap().body, "x");
    assert!(reader.put("a", "y".into(), &info()).await.is_err());
    assert!(reader.create("b", "y".into(), &info()).await.is_err());
    assert!(reader.begin_upload("b", &info()).await.is_err());
    assert!(FolderStore::reader(&folder.path().join("none")).list("", None).await.unwrap().keys.is_empty());
}

#[tokio::test]
async fn an_input_that_changes_is_never_taken_for_the_old_one() {
    use pipeline::ports::Inputs;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.csv");
    fs::write(&path, vec![b'x'; 600_000]).unwrap();
    let inputs = FolderInputs::new("local");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let object = inputs.add("in.csv", &path, BTreeMap::new(), now).await.unwrap();
    assert_eq!(object.run(), inputs.add("in.csv", &path, BTreeMap::new(), now).await.unwrap().run());
    let mut body = inputs.open(&object).await.unwrap().unwrap().body;
    body.next().await.unwrap().unwrap();
    fs::write(&path, vec![b'y'; 600_000]).unwrap();
    while let Ok(piece) = body.next().await {
        assert!(piece.is_some(), "the end of a changed file is an error");
    }
    assert!(inputs.open(&object).await.unwrap().is_none());
    fs::remove_file(&path).unwrap();
    assert!(inputs.open(&object).await.unwrap().is_none());
}
