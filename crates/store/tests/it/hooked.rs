//! A sealer that stops in the middle of an opening, so that a test can do something in that moment.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};

use store::sealing::{DataKey, DataKeyId, SealedDataKey, Sealer, SealerError};

/// How long anybody waits for the other.
const LIMIT: Duration = Duration::from_secs(30);

/// Opens data keys as another one does; the first time it says so, and waits until it may.
pub(crate) struct Hooked {
    sealer: Arc<dyn Sealer>,
    stop: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

/// The other end: what is stopped.
pub(crate) struct Stopped {
    is_there: Receiver<()>,
    go_on: Sender<()>,
}

impl Hooked {
    pub(crate) fn before(sealer: Arc<dyn Sealer>) -> (Arc<Self>, Stopped) {
        let ((is_there, there), (go_on, goes_on)) = (mpsc::channel(), mpsc::channel());
        let hooked = Self { sealer, stop: Mutex::new(Some((is_there, goes_on))) };
        (Arc::new(hooked), Stopped { is_there: there, go_on })
    }
}

impl Stopped {
    /// Waits until the sealer is asked.
    pub(crate) fn is_there(&self) {
        self.is_there.recv_timeout(LIMIT).expect("the sealer is asked in time");
    }

    /// Lets it answer.
    pub(crate) fn goes_on(self) {
        self.go_on.send(()).expect("somebody waits");
    }
}

impl Sealer for Hooked {
    fn name(&self) -> Option<String> {
        self.sealer.name()
    }

    fn seal(&self, id: DataKeyId, key: &DataKey) -> Result<SealedDataKey, SealerError> {
        self.sealer.seal(id, key)
    }

    fn unseal(&self, sealed: &SealedDataKey) -> Result<DataKey, SealerError> {
        let stop = self.stop.lock().expect("a lock").take();
        if let Some((is_there, goes_on)) = stop {
            is_there.send(()).expect("somebody listens");
            goes_on.recv_timeout(LIMIT).expect("it goes on in time");
        }
        self.sealer.unseal(sealed)
    }
}
