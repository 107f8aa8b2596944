//! Writes one large object while its bytes come in: multipart, parts in memory, a few of them on their way at a time.

use std::collections::VecDeque;
use std::pin::pin;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesOrdered;

use crate::ledger::DeliveredObject;
use crate::policy::{OutputCompression, limits};
use crate::ports::{ObjectInfo, PartTag, PortError, Store, UploadId};

/// An upload that has not been completed. Dropping it leaves the parts to the bucket's lifecycle rule; [`Upload::abort`] is kinder.
pub struct Upload<'a> {
    store: &'a dyn Store,
    key: String,
    info: ObjectInfo,
    id: Option<UploadId>,
    sink: Sink,
    /// Full parts that are not on their way yet.
    ready: VecDeque<Bytes>,
    in_flight: FuturesOrdered<BoxFuture<'a, Result<PartTag, PortError>>>,
    parts: Vec<PartTag>,
    numbered: u32,
    bytes: u64,
}

enum Sink {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl<'a> Upload<'a> {
    /// An upload to `key` that has not begun: nothing is asked of the store before there is something to write.
    pub fn new(store: &'a dyn Store, key: String, info: ObjectInfo, compression: OutputCompression) -> Self {
        let sink = match compression {
            OutputCompression::None => Sink::Plain(Vec::new()),
            OutputCompression::Gzip => Sink::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
        };
        Self {
            store,
            key,
            info,
            id: None,
            sink,
            ready: VecDeque::new(),
            in_flight: FuturesOrdered::new(),
            parts: Vec::new(),
            numbered: 0,
            bytes: 0,
        }
    }

    /// Takes bytes into memory. [`Upload::flush`] must follow before more than a few parts' worth are taken.
    pub fn take(&mut self, bytes: &[u8]) {
        match &mut self.sink {
            Sink::Plain(part) => {
                let mut left = bytes;
                while part.len() + left.len() >= limits::PART_BYTES {
                    let (fits, rest) = left.split_at(limits::PART_BYTES - part.len());
                    part.extend_from_slice(fits);
                    // What fills one part will fill the next: it gets its room at once.
                    let full = std::mem::replace(part, Vec::with_capacity(limits::PART_BYTES));
                    self.ready.push_back(full.into());
                    left = rest;
                }
                part.extend_from_slice(left);
            }
            Sink::Gzip(encoder) => {
                // Writing into a Vec cannot fail.
                drop(std::io::Write::write_all(encoder, bytes));
                while encoder.get_ref().len() >= limits::PART_BYTES {
                    let rest = encoder.get_mut().split_off(limits::PART_BYTES);
                    self.ready.push_back(std::mem::replace(encoder.get_mut(), rest).into());
                }
            }
        }
    }

    /// Sends every full part on its way, and waits while too many are.
    pub async fn flush(&mut self) -> Result<(), PortError> {
        while let Some(part) = self.ready.pop_front() {
            self.send(part).await?;
        }
        Ok(())
    }

    /// Whether no further byte can be taken: the store holds so many parts of one object, and no more.
    pub fn is_full(&self) -> bool {
        self.numbered as usize + self.ready.len() >= limits::PARTS_MAX
    }

    /// Waits for something else while parts go on leaving.
    pub async fn beside<T>(&mut self, other: impl Future<Output = T>) -> Result<T, PortError> {
        let mut other = pin!(other);
        loop {
            match select(other, pin!(self.progress())).await {
                Either::Left((done, _)) => return Ok(done),
                Either::Right((left, rest)) => {
                    left?;
                    other = rest;
                }
            }
        }
    }

    /// Waits for the part that left first; pending for ever when none is on its way.
    async fn progress(&mut self) -> Result<(), PortError> {
        match self.in_flight.next().await {
            Some(part) => {
                self.parts.push(part?);
                Ok(())
            }
            None => futures_util::future::pending().await,
        }
    }

    /// Whether no byte has been taken.
    pub fn is_empty(&self) -> bool {
        let rest = match &self.sink {
            Sink::Plain(part) => part,
            Sink::Gzip(encoder) => encoder.get_ref(),
        };
        self.numbered == 0 && self.ready.is_empty() && rest.is_empty()
    }

    /// Sends the rest and waits for all parts. The object is still not visible: the caller completes the upload.
    pub async fn finish(&mut self) -> Result<DeliveredObject, PortError> {
        self.flush().await?;
        let rest = match std::mem::replace(&mut self.sink, Sink::Plain(Vec::new())) {
            Sink::Plain(part) => part,
            Sink::Gzip(encoder) => {
                encoder.finish().map_err(|error| PortError::new(format!("compress {}", self.key), error))?
            }
        };
        if !rest.is_empty() || self.numbered == 0 {
            self.send(rest.into()).await?;
        }
        while let Some(part) = self.in_flight.next().await {
            self.parts.push(part?);
        }
        let upload = self.id.clone().ok_or_else(|| PortError::new("cannot upload", "the upload has no id"))?;
        Ok(DeliveredObject { key: self.key.clone(), bytes: self.bytes, upload, parts: std::mem::take(&mut self.parts) })
    }

    /// Gives the upload up. Errors are not interesting: the lifecycle rule of the bucket removes what stays.
    pub async fn abort(mut self) {
        while self.in_flight.next().await.is_some() {}
        if let Some(id) = &self.id
            && let Err(error) = self.store.abort_upload(&self.key, id).await
        {
            tracing::debug!(key = self.key, %error, "an upload was left to the lifecycle rule");
        }
    }

    async fn send(&mut self, part: Bytes) -> Result<(), PortError> {
        let id = match &self.id {
            Some(id) => id.clone(),
            None => self.id.insert(self.store.begin_upload(&self.key, &self.info).await?).clone(),
        };
        while self.in_flight.len() >= limits::PARTS_IN_FLIGHT {
            self.progress().await?;
        }
        self.numbered += 1;
        self.bytes += part.len() as u64;
        let (store, key, number) = (self.store, self.key.clone(), self.numbered);
        self.in_flight.push_back(Box::pin(async move { store.upload_part(&key, &id, number, part).await }));
        Ok(())
    }
}
