//! Connections to the database: how they are made, kept, and thrown away when nobody knows what they are up to.

use std::{io, ops::Deref, path::Path, time::Duration};

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime,
};
use tokio::time::timeout;
use tokio_postgres::{Client, Connection, Socket, config::TargetSessionAttrs, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    OpenError,
    error::Trouble,
    settings::{Pool, Settings, Times},
    tls,
};

/// What the database shows of us in its list of sessions.
const APPLICATION: &str = "kuma-cp";
/// After so long without a word the system asks whether the other end is there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// A connection that is told what happens: a client, and what has to be polled for it.
pub(super) type Raw = (Client, Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

/// Makes connections and keeps them.
pub(super) struct Connections {
    pool: deadpool_postgres::Pool,
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    kept: Pool,
    connect_timeout: Duration,
}

impl Connections {
    /// Connects to nobody yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, OpenError> {
        let (tls, mode) = tls::connector(&settings.tls)?;
        let mut config = tokio_postgres::Config::new();
        if settings.host.starts_with('/') {
            config.host_path(Path::new(&settings.host));
        } else {
            config.host(settings.host.as_str());
        }
        config
            .port(settings.port)
            .user(settings.user.as_str())
            .password(settings.password.reveal())
            .dbname(settings.database.as_str())
            .application_name(APPLICATION)
            .ssl_mode(mode)
            .connect_timeout(settings.connect_timeout)
            .tcp_user_timeout(KEEPALIVE)
            .keepalives_idle(KEEPALIVE)
            // After a failover the one of before may still answer, and would refuse every write.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        let kept = settings.pool;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls.clone(), recycling);
        let session = session(settings.times);
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(kept.max_open)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(settings.connect_timeout))
            .post_create(Hook::async_fn(move |client: &mut ClientWrapper, _| {
                let session = session.clone();
                Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
            }))
            .pre_recycle(Hook::sync_fn(move |_, known| {
                let limit = kept.max_lifetime + kept.lifetime_jitter.mul_f64(rand::random());
                if known.age() > limit { Err(HookError::message("the connection is old")) } else { Ok(()) }
            }))
            .build()
            .map_err(|cause| OpenError::Thread(io::Error::other(cause)))?;
        Ok(Self { pool, config, tls, kept, connect_timeout: settings.connect_timeout })
    }

    /// Returns a connection that nobody else uses.
    pub(super) async fn get(&self) -> Result<Held, Trouble> {
        match self.pool.get().await {
            Ok(object) => Ok(Held { object: Some(object), is_clean: false }),
            Err(PoolError::Backend(cause) | PoolError::PostCreateHook(HookError::Backend(cause))) => Err(cause.into()),
            Err(PoolError::Timeout(_)) => Err(Trouble::Silent(self.connect_timeout)),
            Err(other) => Err(Trouble::Way(other.to_string())),
        }
    }

    /// Makes a connection that is none of those that are kept.
    pub(super) async fn raw(&self) -> Result<Raw, Trouble> {
        let connecting = self.config.connect(self.tls.clone());
        let connected = timeout(self.connect_timeout, connecting).await;
        Ok(connected.map_err(|_elapsed| Trouble::Silent(self.connect_timeout))??)
    }

    /// Closes all that are not in use: after one was lost, the others are most likely lost, too.
    pub(super) fn forget(&self) {
        self.pool.retain(|_, _| false);
    }

    /// Closes what was not used for long, what is too old, and what is too many.
    pub(super) fn tidy(&self) {
        let mut idle = 0_usize;
        self.pool.retain(|client, known| {
            let is_kept = !client.is_closed()
                && known.age() <= self.kept.max_lifetime + self.kept.lifetime_jitter
                && idle < self.kept.max_idle
                && (idle < self.kept.min_open || known.last_used() <= self.kept.max_idle_time);
            idle += usize::from(is_kept);
            is_kept
        });
    }
}

/// What each connection is told when it is new. To compile a statement takes longer than any of them does, and a planner that
/// does not know how large a table is takes a small one for worth it.
fn session(times: Times) -> String {
    format!(
        "SET lock_timeout = {lock}; SET idle_in_transaction_session_timeout = {idle};
         SELECT set_config('client_connection_check_interval', '1s', false) FROM pg_catalog.pg_settings
             WHERE name = 'client_connection_check_interval';
         SELECT set_config('jit', 'off', false) FROM pg_catalog.pg_settings WHERE name = 'jit';
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
        lock = times.lock().as_millis(),
        idle = times.idle_in_transaction().as_millis(),
    )
}

/// A connection in use. One that is dropped before it was given back is closed: it may be in the middle of something.
pub(super) struct Held {
    object: Option<Object>,
    is_clean: bool,
}

impl Held {
    /// Lets others use it: no transaction is open on it.
    pub(super) fn give_back(mut self) {
        self.is_clean = true;
    }
}

impl Deref for Held {
    type Target = ClientWrapper;

    #[expect(clippy::expect_used, reason = "it is taken when this is dropped")]
    fn deref(&self) -> &ClientWrapper {
        self.object.as_ref().expect("a connection until it is dropped")
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.is_clean
        {
            drop(Object::take(object));
        }
    }
}

/// Gives up after this time.
pub(super) async fn within<T>(limit: Duration, asked: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
    timeout(limit, asked).await.unwrap_or(Err(Trouble::Silent(limit)))
}
