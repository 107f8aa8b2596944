//! The dataset bucket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use pipeline::ports::{Completed, Listing, ObjectInfo, PortError, Store, Tag, UploadId, Written};

use super::{Outcome, Report, checks, holds, same};

/// Tasks that race for one thing.
const RACERS: usize = 16;
/// Least size of a part that is not the last.
const PART: usize = 5 * 1024 * 1024;
/// Longest key (S3).
const KEY_BYTES_MAX: usize = 1_024;

/// All checks of a store, on keys below `prefix` (empty, or with a `/` at its end) where there is nothing yet.
pub async fn check_store(adapter: &str, store: Arc<dyn Store>, prefix: &str) -> Report {
    let room = &Room { store, prefix: prefix.to_owned() };
    let checks = checks![
        room,
        what_is_not_there_is_none,
        a_key_is_created_once,
        of_racing_creators_one_wins,
        put_overwrites,
        replace_compares_and_swaps,
        of_racing_replacements_one_wins,
        an_empty_body_is_an_object,
        a_large_body_comes_back_whole,
        keys_may_be_long,
        keys_are_listed_in_byte_order,
        pages_follow_each_other,
        an_upload_is_visible_when_completed,
        parts_stand_in_the_order_given,
        a_part_that_is_sent_again_has_the_same_tag,
        an_upload_replaces_an_object,
        an_upload_is_completed_once,
        racing_completions_make_one_object,
        an_aborted_upload_is_gone,
        uploads_of_one_key_are_apart,
        an_upload_needs_parts_that_it_has,
    ];
    Report::of(adapter, checks).await
}

struct Room {
    store: Arc<dyn Store>,
    prefix: String,
}

impl Room {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn create(&self, key: &str, body: impl Into<Bytes> + Send) -> Result<Written, PortError> {
        self.store.create(key, body.into(), &info()).await
    }

    async fn body(&self, key: &str) -> Result<Option<Bytes>, PortError> {
        Ok(self.store.get(key).await?.map(|stored| stored.body))
    }

    async fn tag(&self, key: &str) -> Result<Tag, PortError> {
        let stored = self.store.get(key).await?;
        stored.map(|stored| stored.tag).ok_or_else(|| PortError::new(format!("get {key}"), "there is no such object"))
    }

    /// An upload with these parts, which are sent from the last to the first.
    async fn upload(
        &self,
        key: &str,
        bodies: &[Bytes],
    ) -> Result<(UploadId, Vec<pipeline::ports::PartTag>), PortError> {
        let upload = self.store.begin_upload(key, &info()).await?;
        let mut parts = Vec::new();
        for (number, body) in (1..).zip(bodies).collect::<Vec<_>>().into_iter().rev() {
            parts.push(self.store.upload_part(key, &upload, number, body.clone()).await?);
        }
        parts.reverse();
        Ok((upload, parts))
    }
}

fn info() -> ObjectInfo {
    ObjectInfo::of("application/octet-stream")
}

async fn what_is_not_there_is_none(room: &Room) -> Outcome {
    same("get", room.body(&room.key("none/at-all")).await?, None::<Bytes>)?;
    same("list", room.store.list(&room.key("none/"), None).await?, Listing::default())
}

async fn a_key_is_created_once(room: &Room) -> Outcome {
    let key = room.key("create");
    same("first", room.create(&key, "one").await?, Written::New)?;
    same("second", room.create(&key, "two").await?, Written::Kept)?;
    same("the same bytes", room.create(&key, "one").await?, Written::Kept)?;
    same("body", room.body(&key).await?, Some(Bytes::from("one")))
}

async fn of_racing_creators_one_wins(room: &Room) -> Outcome {
    for round in 0..8 {
        let key = room.key(&format!("create-race/{round}"));
        let racers = (0..RACERS).map(|racer| {
            let (store, key) = (room.store.clone(), key.clone());
            tokio::spawn(async move { store.create(&key, racer.to_string().into(), &info()).await })
        });
        let mut winners = Vec::new();
        for (racer, written) in try_join_all(racers).await?.into_iter().enumerate() {
            winners.extend((written? == Written::New).then_some(racer));
        }
        same("winners", winners.len(), 1)?;
        same("body", room.body(&key).await?, Some(Bytes::from(winners[0].to_string())))?;
    }
    Ok(())
}

async fn put_overwrites(room: &Room) -> Outcome {
    let key = room.key("put");
    for body in ["one", "two", "three"] {
        room.store.put(&key, body.into(), &info()).await?;
        same("body", room.body(&key).await?, Some(Bytes::from(body)))?;
    }
    same("create", room.create(&key, "four").await?, Written::Kept)
}

async fn replace_compares_and_swaps(room: &Room) -> Outcome {
    let key = room.key("replace");
    let replace = |body: &'static str, expected: Option<Tag>| {
        let key = &key;
        async move { room.store.replace(key, body.into(), expected.as_ref()).await }
    };
    let other = Tag("00000000000000000000000000000000".to_owned());
    same("absent, expected some", replace("zero", Some(other)).await?, Written::Kept)?;
    same("still absent", room.body(&key).await?, None::<Bytes>)?;
    same("absent, expected none", replace("one", None).await?, Written::New)?;
    same("there, expected none", replace("two", None).await?, Written::Kept)?;
    let first = room.tag(&key).await?;
    same("there, expected it", replace("two", Some(first.clone())).await?, Written::New)?;
    same("there, expected the one before", replace("three", Some(first)).await?, Written::Kept)?;
    same("body", room.body(&key).await?, Some(Bytes::from("two")))?;
    let second = room.tag(&key).await?;
    room.store.put(&key, "four".into(), &info()).await?;
    same("after a put", replace("five", Some(second)).await?, Written::Kept)?;
    same("body", room.body(&key).await?, Some(Bytes::from("four")))
}

async fn of_racing_replacements_one_wins(room: &Room) -> Outcome {
    let key = room.key("replace-race");
    for round in 0..8 {
        let expected = if round == 0 { None } else { Some(room.tag(&key).await?) };
        let racers = (0..RACERS).map(|racer| {
            let (store, key, expected) = (room.store.clone(), key.clone(), expected.clone());
            let body = format!("{round} {racer}");
            tokio::spawn(async move { store.replace(&key, body.into(), expected.as_ref()).await })
        });
        let mut winners = Vec::new();
        for (racer, written) in try_join_all(racers).await?.into_iter().enumerate() {
            winners.extend((written? == Written::New).then_some(racer));
        }
        same("winners", winners.len(), 1)?;
        same("body", room.body(&key).await?, Some(Bytes::from(format!("{round} {}", winners[0]))))?;
    }
    Ok(())
}

async fn an_empty_body_is_an_object(room: &Room) -> Outcome {
    let key = room.key("empty");
    same("create", room.create(&key, "").await?, Written::New)?;
    same("again", room.create(&key, "x").await?, Written::Kept)?;
    same("body", room.body(&key).await?, Some(Bytes::new()))
}

async fn a_large_body_comes_back_whole(room: &Room) -> Outcome {
    let body: Bytes = (0..6 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    room.store.put(&room.key("large"), body.clone(), &info()).await?;
    same("put", room.body(&room.key("large")).await?.as_ref() == Some(&body), true)?;
    same("create", room.create(&room.key("large-2"), body.clone()).await?, Written::New)?;
    same("create", room.body(&room.key("large-2")).await? == Some(body), true)
}

async fn keys_may_be_long(room: &Room) -> Outcome {
    // Of many segments as the pipeline makes them, and of a single one as percent-encoding makes them.
    for segment in [format!("{}/", "s".repeat(200)), "%E6%97%A5".to_owned()] {
        let folder = room.key(&format!("long-{}/", segment.len()));
        let mut key = folder.clone();
        key.extend(segment.chars().cycle().take(KEY_BYTES_MAX - 1 - folder.len()));
        key.push('x');
        same("bytes", key.len(), KEY_BYTES_MAX)?;
        same("create", room.create(&key, "long").await?, Written::New)?;
        same("again", room.create(&key, "x").await?, Written::Kept)?;
        same("body", room.body(&key).await?, Some(Bytes::from("long")))?;
        same("list", room.store.list(&folder, None).await?, Listing { keys: vec![key], more: false })?;
    }
    Ok(())
}

/// Ten keys for each number. What stands before and behind `/` in the order of bytes is mixed with it.
const ENDS: [&str; 10] = ["-a", ".a", "~a", " a", "%C3%A9", "_a", "A", "/a", "/b-c", "/b/c"];

async fn keys_are_listed_in_byte_order(room: &Room) -> Outcome {
    let folder = room.key("list/");
    let mut keys: Vec<_> = (0..250).flat_map(|at| ENDS.map(|end| format!("{folder}{at:04}{end}"))).collect();
    stream::iter(keys.clone())
        .map(|key| async move { room.create(&key, "x").await })
        .buffer_unordered(RACERS)
        .try_collect::<Vec<_>>()
        .await?;
    room.create(&room.key("list-0"), "x").await?;
    room.create(&room.key("lis"), "x").await?;
    keys.sort();

    let list = |prefix: &str, after: Option<&str>| {
        let (prefix, after) = (format!("{folder}{prefix}"), after.map(|after| format!("{folder}{after}")));
        async move { room.store.list(&prefix, after.as_deref()).await }
    };
    let below = |prefix: &str| -> Vec<String> {
        let prefix = format!("{folder}{prefix}");
        keys.iter().filter(|key| key.starts_with(&prefix)).take(1_000).cloned().collect()
    };
    for (prefix, count, more) in [
        ("", 1_000, true),
        ("00", 1_000, false),
        ("0007", 10, false),
        ("0007/", 3, false),
        ("0007/b", 2, false),
        ("0007/b/", 1, false),
        ("0007-", 1, false),
        ("0007 a", 1, false),
        ("0007%C3%A9", 1, false),
        ("0007%", 1, false),
        ("0007/c", 0, false),
        ("9", 0, false),
    ] {
        let listing = list(prefix, None).await?;
        same(&format!("prefix {prefix:?}"), &listing, &Listing { keys: below(prefix), more })?;
        same(&format!("count of {prefix:?}"), listing.keys.len(), count)?;
    }
    let after = async |prefix, after| list(prefix, Some(after)).await.map(|listing| listing.keys.first().cloned());
    let key = |name: &str| Some(format!("{folder}{name}"));
    same("after a key", after("0007", "0007/a").await?, key("0007/b-c"))?;
    same("after no key", after("0007", "0007/").await?, key("0007/a"))?;
    same("after a key that begins others", after("0007", "0007/b").await?, key("0007/b-c"))?;
    same("after what stands before the prefix", after("0007", "0003~a").await?, key("0007 a"))?;
    same("after what stands behind the prefix", after("0007", "0008").await?, None)?;
    same("after the last", after("0007", "0007~a").await?, None)
}

/// Reads the keys of the check before.
async fn pages_follow_each_other(room: &Room) -> Outcome {
    let folder = room.key("list/");
    let mut expected: Vec<_> = (0..250).flat_map(|at| ENDS.map(|end| format!("{folder}{at:04}{end}"))).collect();
    expected.sort();
    let (mut keys, mut pages, mut more) = (Vec::<String>::new(), Vec::new(), true);
    while more && pages.len() < 4 {
        let page = room.store.list(&folder, keys.last().map(String::as_str)).await?;
        pages.push(page.keys.len());
        keys.extend(page.keys);
        more = page.more;
    }
    same("pages", pages, [1_000, 1_000, 500])?;
    same("keys", keys, expected)
}

async fn an_upload_is_visible_when_completed(room: &Room) -> Outcome {
    let key = room.key("upload/one");
    let (upload, parts) = room.upload(&key, &["one".into()]).await?;
    same("before", room.body(&key).await?, None::<Bytes>)?;
    same("listed before", room.store.list(&room.key("upload/"), None).await?.keys, Vec::<String>::new())?;
    same("complete", room.store.complete_upload(&key, &upload, &parts).await?, Completed::Yes)?;
    same("after", room.body(&key).await?, Some(Bytes::from("one")))?;
    same("listed after", room.store.list(&room.key("upload/"), None).await?.keys, [key.clone()])?;
    same("create", room.create(&key, "two").await?, Written::Kept)
}

async fn parts_stand_in_the_order_given(room: &Room) -> Outcome {
    let key = room.key("upload-order");
    let bodies: [Bytes; 3] = [vec![b'a'; PART].into(), vec![b'b'; PART].into(), "c".into()];
    let (upload, parts) = room.upload(&key, &bodies).await?;
    same("complete", room.store.complete_upload(&key, &upload, &parts).await?, Completed::Yes)?;
    holds(room.body(&key).await? == Some(bodies.concat().into()), || "the parts are in another order".to_owned())
}

async fn a_part_that_is_sent_again_has_the_same_tag(room: &Room) -> Outcome {
    let key = room.key("upload-resent");
    let (upload, parts) = room.upload(&key, &["one".into()]).await?;
    let again = room.store.upload_part(&key, &upload, 1, "one".into()).await?;
    same("tag", &again, &parts[0])?;
    same("complete", room.store.complete_upload(&key, &upload, &parts).await?, Completed::Yes)?;
    same("body", room.body(&key).await?, Some(Bytes::from("one")))
}

async fn an_upload_replaces_an_object(room: &Room) -> Outcome {
    let key = room.key("upload-over");
    room.store.put(&key, "old".into(), &info()).await?;
    let old = room.tag(&key).await?;
    let (upload, parts) = room.upload(&key, &["new".into()]).await?;
    same("before", room.body(&key).await?, Some(Bytes::from("old")))?;
    same("complete", room.store.complete_upload(&key, &upload, &parts).await?, Completed::Yes)?;
    same("after", room.body(&key).await?, Some(Bytes::from("new")))?;
    same("replace of the old one", room.store.replace(&key, "x".into(), Some(&old)).await?, Written::Kept)
}

async fn an_upload_is_completed_once(room: &Room) -> Outcome {
    let key = room.key("upload-twice");
    let (upload, parts) = room.upload(&key, &["one".into()]).await?;
    same("first", room.store.complete_upload(&key, &upload, &parts).await?, Completed::Yes)?;
    let object = room.tag(&key).await?;
    // S3 remembers what it has completed and says so again, for a while. Either answer is right; another object would not be.
    room.store.complete_upload(&key, &upload, &parts).await?;
    same("tag after the second", room.tag(&key).await?, object.clone())?;
    room.store.abort_upload(&key, &upload).await?;
    same("tag after an abort", room.tag(&key).await?, object)?;
    same("body", room.body(&key).await?, Some(Bytes::from("one")))
}

async fn racing_completions_make_one_object(room: &Room) -> Outcome {
    let key = room.key("upload-race");
    let (upload, parts) = room.upload(&key, &["one".into()]).await?;
    let racers = (0..RACERS).map(|_| {
        let (store, key, upload, parts) = (room.store.clone(), key.clone(), upload.clone(), parts.clone());
        tokio::spawn(async move { store.complete_upload(&key, &upload, &parts).await })
    });
    let completed = try_join_all(racers).await?.into_iter().collect::<Result<Vec<_>, _>>()?;
    // The contract lets more than one of them see that the object is there.
    holds(completed.contains(&Completed::Yes), || "nobody completed it".to_owned())?;
    same("body", room.body(&key).await?, Some(Bytes::from("one")))
}

async fn an_aborted_upload_is_gone(room: &Room) -> Outcome {
    let key = room.key("upload-aborted");
    let (upload, parts) = room.upload(&key, &["one".into()]).await?;
    room.store.abort_upload(&key, &upload).await?;
    room.store.abort_upload(&key, &upload).await?;
    same("complete", room.store.complete_upload(&key, &upload, &parts).await?, Completed::Gone)?;
    same("body", room.body(&key).await?, None::<Bytes>)?;
    let late = room.store.upload_part(&key, &upload, 2, "two".into()).await;
    holds(late.is_err(), || "a part of an aborted upload was taken".to_owned())
}

async fn uploads_of_one_key_are_apart(room: &Room) -> Outcome {
    let key = room.key("upload-two");
    let (one, one_parts) = room.upload(&key, &["one".into()]).await?;
    let (two, two_parts) = room.upload(&key, &["two".into()]).await?;
    holds(one != two, || "two uploads have one id".to_owned())?;
    same("complete one", room.store.complete_upload(&key, &one, &one_parts).await?, Completed::Yes)?;
    same("body", room.body(&key).await?, Some(Bytes::from("one")))?;
    same("complete two", room.store.complete_upload(&key, &two, &two_parts).await?, Completed::Yes)?;
    same("body", room.body(&key).await?, Some(Bytes::from("two")))
}

async fn an_upload_needs_parts_that_it_has(room: &Room) -> Outcome {
    let key = room.key("upload-parts");
    let (upload, parts) = room.upload(&key, &["one".into()]).await?;
    let (other, foreign) = room.upload(&key, &["another".into()]).await?;
    for wrong in [&[][..], &foreign] {
        let completed = room.store.complete_upload(&key, &upload, wrong).await;
        holds(completed.is_err(), || format!("completed with {} wrong parts", wrong.len()))?;
    }
    same("body", room.body(&key).await?, None::<Bytes>)?;
    room.store.abort_upload(&key, &other).await?;
    same("complete", room.store.complete_upload(&key, &upload, &parts).await?, Completed::Yes)
}
