//! gRPC codecs of the KDS streams: what is sent was encoded before, what is received is a prost message.

use std::marker::PhantomData;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::kds::frames::weight;

/// Sends finished frames, so that one encoding serves every stream; decodes `T`.
///
/// The buffers start small: an idle stream should cost little.
pub(crate) struct FrameCodec<T>(PhantomData<T>);

impl<T> Default for FrameCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(1024, 32 * 1024)
}

impl<T: Message + Default + Send + 'static> Codec for FrameCodec<T> {
    type Encode = Bytes;
    type Decode = T;
    type Encoder = Finished;
    type Decoder = Prost<T>;

    fn encoder(&mut self) -> Finished {
        Finished
    }

    fn decoder(&mut self) -> Prost<T> {
        Prost(PhantomData)
    }
}

/// Copies finished bytes.
pub(crate) struct Finished;

impl Encoder for Finished {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}

/// Decodes one protobuf message.
pub(crate) struct Prost<T>(PhantomData<T>);

impl<T: Message + Default> Decoder for Prost<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        weight::check(&bytes).map_err(|heavy| Status::resource_exhausted(heavy.to_string()))?;
        match T::decode(bytes) {
            Ok(message) => Ok(Some(message)),
            Err(broken) => Err(Status::invalid_argument(format!("the message cannot be decoded: {broken}"))),
        }
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
