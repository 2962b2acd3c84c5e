//! A store's file with wrong bytes in it: it is refused, or read as far as it can be, and nothing panics.

use cometql_engine::StoreRequest;

use super::conformance::{
    KEEP_ALL, TENANT, append_request, channel, inbox_append, open_channel, try_ask, user, wait,
};
use super::open::FILE;
use super::{Durability, Store};
use crate::fuzz::check;
use cometql_protocol::wire::{Epoch, Position};

/// Each three bytes of an input are a place in the file (two bytes, little end first, times 4) and what stands there then.
#[test]
fn fuzz_storage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let store = Store::open(directory.path(), Durability::Power).unwrap();
    open_channel(&store, TENANT, "web_a", 5);
    _ = try_ask(&store, append_request("web_a", 1, KEEP_ALL));
    inbox_append(&store, 7, 1, 9);
    wait(async {
        let rows = vec![(user(7), "hash".into())];
        store.set_hashes(TENANT, rows).await.unwrap();
        store.shutdown().await;
    });
    let good = std::fs::read(&path).unwrap();
    check(include_str!("../../fuzz/storage.txt"), &[], |bytes| {
        let mut damaged = good.clone();
        for part in bytes.as_chunks::<3>().0 {
            let at = usize::from(u16::from_le_bytes([part[0], part[1]])) * 4;
            let end = damaged.len();
            damaged[at % end] = part[2];
        }
        for rest in ["-wal", "-shm"] {
            // It may not be there.
            _ = std::fs::remove_file(directory.path().join(format!("{FILE}{rest}")));
        }
        std::fs::write(&path, damaged).unwrap();
        if let Ok(store) = Store::open(directory.path(), Durability::Process) {
            use_all(&store);
            wait(store.shutdown());
        }
    });
}

/// Whatever comes of it.
pub(super) fn use_all(store: &Store) {
    let tenant = TENANT;
    let channel = channel("web_a");
    _ = try_ask(
        store,
        StoreRequest::OpenChannel {
            tenant,
            channel: channel.clone(),
            start: Position {
                epoch: Epoch(6),
                offset: 0,
            },
            renewed: None,
            log: None,
        },
    );
    _ = try_ask(
        store,
        StoreRequest::ReadHistory {
            tenant,
            channel,
            after: 0,
            limit: 10,
            newest: true,
            log: None,
        },
    );
    _ = try_ask(store, append_request("web_a", 2, KEEP_ALL));
    _ = store.settings();
    wait(async {
        _ = store.hash(tenant, user(7)).await;
        _ = store.purge(2_000_000, u64::MAX).await;
    });
}
